"""What PSNR averages: the logarithm of every picture's mean square error.

The mean of L1 or of squares is ruled by the pictures that are far off; a mean PSNR counts every picture's *relative*
error alike. As a loss: Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", CVPRW 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-5
"""Added to the mean square error: 50 dB are good enough."""


def log_error(restored: Tensor, clear: Tensor) -> Tensor:
    """Mean over pictures of ``log10(MSE)``: minus a tenth of their mean PSNR, below the floor.

    Args:
        restored: (N, 3, H, W).
        clear: (N, 3, H, W) in [0, 1].

    Example:
        >>> clear = torch.zeros(2, 3, 4, 4)
        >>> round(float(log_error(clear + 0.1, clear)), 2)
        -2.0
    """
    return torch.log10((restored - clear).square().mean((1, 2, 3)) + FLOOR).mean()
