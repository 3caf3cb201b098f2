"""Distance between spectra: what pixels call small differences can be a missing frequency."""

from __future__ import annotations

import torch
from torch import Tensor


def spectrum_distance(restored: Tensor, clear: Tensor) -> Tensor:
    """Mean absolute difference of the two-dimensional Fourier transforms, real and imaginary parts apart.

    The transform is orthonormal, so the value is on the scale of the pixels.

    Args:
        restored: (N, C, H, W).
        clear: Same shape.
    """
    difference = torch.fft.rfft2((restored - clear).float(), norm="ortho")
    return torch.view_as_real(difference).abs().mean()
