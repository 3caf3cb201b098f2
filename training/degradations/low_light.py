"""Low light and over-exposure on tensors.

The order matters: darken, then add noise, then round. Noise added before darkening is invisible.
"""

from __future__ import annotations

import torch
from torch import Tensor


def darken(clear: Tensor, alpha: Tensor | float, beta: Tensor | float, gamma: Tensor | float) -> Tensor:
    """``alpha (beta I)^gamma`` (MBLLEN; Lv et al., BMVC 2018): alpha in [0.9,1], beta in [0.5,1], gamma in [1.5,5].

    Args:
        clear: (N,3,H,W) in [0,1].
        alpha: linear factor, a number or (N,1,1,1).
        beta: factor before the power.
        gamma: exponent.

    Returns:
        (N,3,H,W) in [0,1].
    """
    return (alpha * (beta * clear.clamp(0, 1)) ** gamma).clamp(0, 1)


def overexpose(clear: Tensor, gain: Tensor | float) -> Tensor:
    """Multiply linear light by ``gain`` and clip, as a sensor does; sRGB in and out (power 2.2)."""
    linear = clear.clamp(0, 1) ** 2.2
    return (linear * gain).clamp(0, 1) ** (1 / 2.2)


def shot_and_read_noise(
    picture: Tensor, shot: Tensor | float, read: Tensor | float, generator: torch.Generator
) -> Tensor:
    """Poisson-Gaussian noise in its usual normal approximation: variance ``shot * x + read``; clipped to [0,1]."""
    deviation = (shot * picture.clamp(0, 1) + read).sqrt()
    return (picture + deviation * torch.randn(picture.shape, generator=generator)).clamp(0, 1)
