"""What rounding to 8 bits took from the dark, given back as far as it can be guessed.

A picture that is brightened many times over shows its last bits: where there were two or three grey levels, there now
are flats with hard borders, in the squares in which JPEG decided about them. The truth lay somewhere in between. So
where all around is dark, steps of about one level are smoothed along whatever edges are stronger than that; and what
no smoothing can guess is drawn: grey noise as strong as the error of rounding, with the spectrum of photographs (Field,
"Relations between the statistics of natural images and the response properties of cortical cells", JOSA A 1987).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor

from guided_filter import guided_filter
from restorers.planes import enhance_planes

DARK = 24 / 255
"""Mean of the brightest channel, around a pixel, from which on nothing is smoothed."""
STEP = 1.5 / 255
"""Differences of this size count half as an edge."""
RADIUS = 16
"""Of the smoothing, in pixels: two of JPEG's blocks to each side."""
SUBSAMPLE = 4
NOISE = 12**-0.5 / 255
"""Standard deviation of what is drawn: that of an error spread evenly over one level. Below one level it fades: what
was black is not lit by it."""
COARSEST = 1 / 16
"""Cycles per pixel up to which the noise is equally strong; finer waves fade as one over their frequency. The period is
two of JPEG's blocks: what is coarser than that survived."""
NOISE_TILE = 512
"""Side of the noise, in pixels; it goes on seamlessly, and so weak it does not show that it repeats."""


def undo_rounding(x: Tensor) -> Tensor:
    """Smooth the last bits of what is dark, and draw what rounding took everywhere.

    Args:
        x: (N, 3, H, W) in [0, 1]. No gradient passes.

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    smooth = enhance_planes(smoothed_shadows, x)
    level = 255 * smooth.mean(1, keepdim=True)
    return (smooth + NOISE * level.clamp(max=1) * fixed_noise(*x.shape[-2:]).to(x)).clamp(0, 1)


def smoothed_shadows(picture: np.ndarray) -> np.ndarray:
    """Float32 (3, H, W) in [0, 1] to the same, smoothed the more the darker its surroundings are.

    Example:
        >>> steps = np.tile(np.float32([1, 2]).repeat(32) / 255, (3, 64, 1))
        >>> float(np.abs(np.diff(smoothed_shadows(steps))).max()) < 0.5 / 255
        True
    """
    side = 2 * RADIUS + 1
    brightness = cv2.blur(picture.max(0), (side, side), borderType=cv2.BORDER_REFLECT)
    weight = np.clip(1 - brightness / np.float32(DARK), 0, 1)
    if not weight.any():
        return picture
    smooth = np.stack([guided_filter(c, c, RADIUS, STEP**2, subsample=SUBSAMPLE) for c in picture])
    return picture + (smooth - picture) * weight


def fixed_noise(height: int, width: int) -> Tensor:
    """Noise (1, 1, height, width) of deviation one, the same in every picture, batch and run."""
    rows, columns = torch.arange(height) % NOISE_TILE, torch.arange(width) % NOISE_TILE
    return _tile()[:, :, rows[:, None], columns]


@cache
def _tile() -> Tensor:
    white = torch.randn(1, 1, NOISE_TILE, NOISE_TILE, generator=torch.Generator().manual_seed(0))
    down, across = torch.fft.fftfreq(NOISE_TILE)[:, None], torch.fft.rfftfreq(NOISE_TILE)
    spectrum = torch.fft.rfft2(white) / torch.hypot(down, across).clamp(min=COARSEST)
    noise = torch.fft.irfft2(spectrum, white.shape[-2:])
    return noise / noise.std()
