"""Luma and grey planes, exactly as the papers' codes compute them."""

from __future__ import annotations

import numpy as np

from eval.metrics.psnr import frozen
from images import GREY_WEIGHTS

Y_WEIGHTS = (65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0)
"""BT.601 limited-range luma on a 0-255 scale (MATLAB's ``rgb2ycbcr``); the offset is 16."""

Y_OFFSET = 16.0

MATLAB_GREY_WEIGHTS = (0.298936021293775390, 0.587043074451121360, 0.114020904255103250)
"""First row of the inverse of the NTSC matrix, which is what MATLAB's ``rgb2gray`` uses ("0.2989, 0.5870, 0.1140")."""


def luma(rgb: np.ndarray) -> np.ndarray:
    """Y of YCbCr: 16 + (65.481 R + 128.553 G + 24.966 B) / 255, for samples on a 0-255 scale; not rounded.

    Args:
        rgb: ``(H, W, 3)``, 0-255.

    Returns:
        float64 ``(H, W)``, 16-235.
    """
    return _plane(rgb, Y_WEIGHTS, Y_OFFSET)


def grey(rgb: np.ndarray) -> np.ndarray:
    """Grey = 0.299 R + 0.587 G + 0.114 B; not rounded.

    Args:
        rgb: ``(H, W, 3)``, any range.

    Returns:
        float64 ``(H, W)``.
    """
    return _plane(rgb, GREY_WEIGHTS, 0.0)


def matlab_grey(rgb: np.ndarray, width: int | None = None) -> np.ndarray:
    """MATLAB's ``rgb2gray`` of an 8-bit picture: rounded to integers, halves up.

    Args:
        rgb: uint8 ``(H, W, 3)``.
        width: How many pixels of each row are wanted; default: all.

    Returns:
        uint8 ``(H, width)``.
    """
    from eval.metrics.niqe_kernels import rounded_weighted_sum

    width = rgb.shape[1] if width is None else width
    return rounded_weighted_sum(frozen(np.ascontiguousarray(rgb)), width, *MATLAB_GREY_WEIGHTS)


def _plane(rgb: np.ndarray, weights: tuple[float, float, float], offset: float) -> np.ndarray:
    from eval.metrics.kernels import weighted_sum

    if rgb.dtype != np.uint8:
        rgb = rgb.astype(np.float64, copy=False)
    return weighted_sum(frozen(np.ascontiguousarray(rgb)), *weights, offset)
