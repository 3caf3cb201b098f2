"""Padding by reflection, below and to the right, to the sizes that a network works on."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reflect_pad(x: Tensor, bottom: int, right: int) -> Tensor:
    """Pad below and to the right by reflection, repeatedly where the picture is smaller than the padding.

    Args:
        x: (N, C, H, W), both sides at least 2.
        bottom: Rows to add.
        right: Columns to add.

    Returns:
        (N, C, H + bottom, W + right).
    """
    while bottom or right:
        down, across = min(bottom, x.shape[-2] - 1), min(right, x.shape[-1] - 1)
        x = F.pad(x, (0, across, 0, down), mode="reflect")
        bottom, right = bottom - down, right - across
    return x


def padded_to_multiple(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Pad below and to the right by reflection to sides that are multiples of ``multiple`` and at least ``least``.

    Args:
        x: (N, C, H, W), both sides at least 2.
        multiple: In pixels.
        least: In pixels.

    Returns:
        (N, C, H', W'), the picture in its top left corner.
    """
    return reflect_pad(x, *(_missing(side, multiple, least) for side in x.shape[-2:]))


def _missing(side: int, multiple: int, least: int) -> int:
    wanted = max(side, least)
    return -(-wanted // multiple) * multiple - side
