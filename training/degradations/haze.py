"""Haze: the atmospheric scattering model on tensors.

``I(x) = J(x) t(x) + A (1 - t(x))`` with ``t(x) = exp(-beta d(x))`` (Koschmieder; McCartney 1976). Public sets apply it
to sRGB values directly, and so do we. RESIDE ITS and SOTS use depth divided by the scene's largest value, so their
``beta`` is on that scale: compare transmissions between sets, never betas.

Pictures are (N,3,H,W) in [0,1]; depth and transmission (N,1,H,W); every draw comes from the generator given.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MINIMUM_TRANSMISSION = 0.02
"""Below this nothing of the scene is left in 8 bits, so no pair can be learned from it."""

SOTS_BETAS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
SOTS_BORDER = 10


def transmission(depth: Tensor, beta: Tensor | float) -> Tensor:
    """``exp(-beta d)``, clamped to what 8 bits can still show.

    Args:
        depth: (N,1,H,W), zero or more.
        beta: scattering coefficient: a number, (N,1,1,1), or (N,1,H,W) for haze that is not homogeneous.

    Returns:
        (N,1,H,W) in [MINIMUM_TRANSMISSION, 1].
    """
    return torch.exp(-beta * depth).clamp(MINIMUM_TRANSMISSION, 1.0)


def scatter(clear: Tensor, t: Tensor, airlight: Tensor | float) -> Tensor:
    """``J t + A (1 - t)``.

    Args:
        clear: (N,3,H,W) in [0,1].
        t: transmission (N,1,H,W).
        airlight: a number, or (N,3,1,1) for coloured airlight.

    Returns:
        (N,3,H,W) in [0,1].

    Example:
        >>> black = torch.zeros(1, 3, 2, 2)
        >>> float(scatter(black, torch.full((1, 1, 2, 2), 0.25), 0.8).mean())
        0.6000000238418579
    """
    return clear * t + airlight * (1.0 - t)


def sots_pair(clear: Tensor, depth: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
    """One pair by the recipe of RESIDE's SOTS-indoor: white airlight, depth over its largest value, 10 pixels cropped.

    Args:
        clear: (1,3,480,640) in [0,1].
        depth: (1,1,h,w) raw depth of the scene at any size; enlarged bilinearly to the picture.
        beta: one of SOTS_BETAS.

    Returns:
        hazy (1,3,460,620), clear (1,3,460,620) and transmission (1,1,460,620).
    """
    distance = depth / depth.max()
    distance = F.interpolate(distance, clear.shape[-2:], mode="bilinear", align_corners=False)
    t = torch.exp(-beta * distance)
    inside = slice(SOTS_BORDER, -SOTS_BORDER)
    hazy = scatter(clear, t, 1.0)
    return hazy[..., inside, inside], clear[..., inside, inside], t[..., inside, inside]


def fractal_noise(
    count: int,
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    cells: float = 2.0,
    octaves: int = 4,
    persistence: float = 0.5,
) -> Tensor:
    """Smooth multi-octave value noise, each picture stretched to exactly [0,1].

    Args:
        count: pictures.
        height: rows.
        width: columns.
        generator: source of randomness.
        cells: bumps along the short side in the lowest octave.
        octaves: each has twice the cells and ``persistence`` times the amplitude of the one before.
        persistence: amplitude ratio of neighbouring octaves.

    Returns:
        (count,1,height,width).
    """
    short = min(height, width)
    total = torch.zeros(count, 1, height, width)
    for octave in range(octaves):
        per_side = cells * 2**octave
        if octave and per_side > short / 2:
            break
        grid = [max(2, math.ceil(side / short * per_side) + 1) for side in (height, width)]
        lattice = torch.rand(count, 1, *grid, generator=generator)
        total += persistence**octave * F.interpolate(lattice, (height, width), mode="bicubic", align_corners=True)
    low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - low) / (high - low).clamp_min(1e-6)


def patchiness(noise: Tensor, strength: Tensor | float = 1.0) -> Tensor:
    """Factor on beta that turns homogeneous haze into patches: about one on average, 0.05 to 2.

    Args:
        noise: (N,1,H,W) in [0,1], from ``fractal_noise``.
        strength: 0 leaves the haze homogeneous, 1 gives the full swing.
    """
    return (1.0 + strength * (1.6 * noise - 0.8)).clamp(0.05, 2.0)


def half_plane(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Masks that rise from 0 to 1 across a random line, sharply or softly; (count,1,height,width)."""
    angle = sample_uniform(count, 0.0, 2 * math.pi, generator)
    offset = sample_uniform(count, -0.3, 0.3, generator)
    softness = torch.exp(sample_uniform(count, math.log(0.004), math.log(0.12), generator))
    rows = torch.linspace(-0.5, 0.5, height).view(1, 1, height, 1)
    columns = torch.linspace(-0.5, 0.5, width).view(1, 1, 1, width)
    return torch.sigmoid((columns * angle.cos() + rows * angle.sin() - offset) / softness)


def sample_uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """``count`` draws from U(low, high), shaped (count,1,1,1) to broadcast over pictures."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def sample_airlight(
    count: int, generator: torch.Generator, *, low: float = 0.7, high: float = 1.0, tint: float = 0.03
) -> Tensor:
    """Airlight per picture and channel: brightness U(low, high), channels apart by up to ``tint``; (count,3,1,1)."""
    level = sample_uniform(count, low, high, generator)
    colour = tint * (2 * torch.rand(count, 3, 1, 1, generator=generator) - 1)
    return (level + colour).clamp(0.0, 1.0)
