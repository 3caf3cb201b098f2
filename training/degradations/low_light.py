"""Low light and over-exposure on tensors.

The order matters: darken, then add noise, then round. Noise added before darkening is invisible.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.degradations.camera import filter_each, gaussian_kernels


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


def correlated(noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
    """Noise as cameras leave it: interpolating colours spreads it over neighbours, and gain makes up for its strength.

    Args:
        noisy: (N,3,H,W) in [0,1].
        clean: the same pictures without noise.
        sigma: (N,) standard deviation, in pixels, of the Gaussian that spreads it.

    Returns:
        (N,3,H,W) in [0,1]; white noise keeps its deviation.
    """
    kernels = gaussian_kernels(sigma, 9)
    spread = filter_each(noisy - clean, kernels) / kernels.square().sum((1, 2)).sqrt().view(-1, 1, 1, 1)
    return (clean + spread).clamp(0, 1)


def low_light(
    clear: Tensor,
    gain: Tensor | float,
    shot: Tensor | float = 0.0,
    read: Tensor | float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A shorter exposure of the same scene: less linear light, sensor noise on it, then 8-bit sRGB (power 2.2).

    Args:
        clear: (N,3,H,W) sRGB in [0,1].
        gain: share of the light that is left, 0.02 to 0.25 say; a number or (N,1,1,1).
        shot: variance of the photon noise per unit of linear light: one over the electrons at white.
        read: variance of the read-out noise, in linear light.
        generator: source of the noise; not needed without noise.

    Returns:
        (N,3,H,W), multiples of 1/255.

    Example:
        >>> low_light(torch.full((1, 3, 1, 1), 1.0), 0.5**2.2).flatten().tolist()
        [0.501960813999176, 0.501960813999176, 0.501960813999176]
    """
    linear = clear.clamp(0, 1) ** 2.2 * gain
    noisy = any(bool(torch.as_tensor(variance).any()) for variance in (shot, read))
    if noisy:
        if generator is None:
            raise ValueError("noise needs a generator, so that it can be repeated")
        linear = shot_and_read_noise(linear, shot, read, generator)
    return (linear.clamp(0, 1) ** (1 / 2.2) * 255).round() / 255
