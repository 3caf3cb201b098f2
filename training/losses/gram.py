"""Triplets on Gram matrices: style, and with it exposure, compared without alignment (SCL-LLE, contrastive loss)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """Inner products of feature maps over positions, over C H W: (N, C, H, W) to (N, C, C).

    A constant map c gives ``c_i c_j / C``.
    """
    _, channels, height, width = features.shape
    rows = features.flatten(2)
    return rows @ rows.mT / (channels * height * width)


def gram_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Sum over layers, batch and entries of squared Gram differences, as the released script has it."""
    if len(a) != len(b):
        raise ValueError(f"expected the same layers on both sides, got {len(a)} and {len(b)}")
    return torch.stack([(gram(x) - gram(y)).square().sum() for x, y in zip(a, b, strict=True)]).sum()


def gram_triplet(
    output: Sequence[Tensor], positive: Sequence[Tensor], negative: Sequence[Tensor], *, margin: float = 0.04
) -> Tensor:
    """``max(D(H, P) - D(H, N) + margin, 0)`` on the features of output, positive and negative pictures.

    Args:
        output: Feature maps of the enhanced pictures, shallow layers (VGG's relu1_2 and relu2_2 in the script).
        positive: The same layers of unpaired well-exposed pictures.
        negative: The same layers of unpaired under- or over-exposed pictures.
        margin: Where the hinge switches off; the script's value for VGG-16.
    """
    return torch.relu(gram_distance(output, positive) - gram_distance(output, negative) + margin)
