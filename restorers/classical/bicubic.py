"""Bicubic enlargement as MATLAB does it: the baseline of every super-resolution table."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from resample import imresize
from restorers.base import Restorer
from restorers.card import RestorerCard
from restorers.classical.planes import enhance_planes


def card(scale: int) -> RestorerCard:
    """The facts of bicubic enlargement by a whole factor."""
    return RestorerCard(
        name=f"bicubic_x{scale}",
        title=f"Bicubic x{scale}",
        task="sr",
        summary="Cubic interpolation with MATLAB's kernel and border; adds no detail of its own.",
        paper="Keys: Cubic Convolution Interpolation for Digital Image Processing, IEEE TASSP 1981",
        paper_url="https://doi.org/10.1109/TASSP.1981.1163711",
        scale=scale,
        tiling="exact",
        receptive_field=4,
    )


class Bicubic(Restorer):
    """Enlarge by a whole factor.

    Args:
        scale: Output pixels per input pixel and side.
    """

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.card = card(scale)

    def enhance(self, x: Tensor) -> Tensor:
        """Float (N, 3, H, W) to (N, 3, sH, sW), not clamped."""
        return enhance_planes(self.restore_planes, x)

    def restore_planes(self, picture: np.ndarray) -> np.ndarray:
        """Float32 (3, H, W) to (3, sH, sW)."""
        enlarged = imresize(picture.transpose(1, 2, 0), self.scale)
        return enlarged.transpose(2, 0, 1)
