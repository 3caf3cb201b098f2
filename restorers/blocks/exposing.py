"""A last tone curve for the whole picture, so that it is exposed as photographers expose.

Curves drawn place by place even out light, but a picture of many black or many white places comes out too dark or too
bright as a whole. Which brightness is wanted is no secret of the scene: well exposed pictures have a mean near middle
grey. A power, the curve that leaves black and white where they are, brings every picture there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from images import GREY_WEIGHTS

EXPONENTS = (0.35, 2.5)
"""Least and greatest exponent: what is nearly black everywhere stays dark."""
TOE = 1 / 510
"""Below half a step of 8 bits the curve is a straight line to zero, so that its slope stays finite."""
SAMPLES = 128
"""Pixels along the short side that the mean is taken of."""


def exposed(x: Tensor, luma: float | Tensor) -> Tensor:
    """Raise pictures to the power that gives them a mean luma, none below the least or above the greatest exponent.

    Args:
        x: (N, 3, H, W); values outside [0, 1] are clamped.
        luma: In (0, 1): a number, or (N, 1, 1, 1).

    Returns:
        (N, 3, H, W). Gradients flow through the curve, not through its exponent.

    Example:
        >>> y = exposed(torch.full((1, 3, 8, 8), 0.25), 0.5)
        >>> round(float(y.mean()), 3)
        0.5
    """
    x = x.clamp(0, 1)
    exponent = exponents(x.detach(), luma)
    return x.clamp_min(TOE) ** exponent * (x / TOE).clamp_max(1)


def exponents(x: Tensor, luma: float | Tensor) -> Tensor:
    """The powers (N, 1, 1, 1) of :func:`exposed`, by bisection: the mean falls as the exponent rises."""
    few = _few(x).clamp_min(TOE)
    low, high = (torch.full((len(x), 1, 1, 1), limit, device=x.device) for limit in EXPONENTS)
    for _ in range(20):
        middle = (low + high) / 2
        brighter = mean_luma(few**middle) > luma
        low, high = torch.where(brighter, middle, low), torch.where(brighter, high, middle)
    return ((low + high) / 2).to(x.dtype)


def mean_luma(x: Tensor) -> Tensor:
    """Mean luma (N, 1, 1, 1) of pictures (N, 3, H, W), of every so many pixels of large ones."""
    weights = torch.tensor(GREY_WEIGHTS, device=x.device).view(1, 3, 1, 1)
    return (_few(x) * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)


def _few(x: Tensor) -> Tensor:
    stride = max(1, min(x.shape[-2:]) // SAMPLES)
    return x[..., ::stride, ::stride].float()
