"""LIME: brighten the dark by an illumination map that follows the picture's structure.

Guo, Li, Ling, "LIME: Low-Light Image Enhancement via Illumination Map Estimation", IEEE TIP 26(2), 2017. The first
guess of the illumination is the brightest channel; it is smoothed along its structure, and
every pixel is brightened by its inverse.

Three departures, each measured in ``docs/methods/lime.md``: the illumination is evened out less (exponent 0.25 in place
of 0.8) and the whole picture is exposed to middle grey instead; brightening saturates smoothly where plain division
would clip; and the dark parts, whose noise would be brightened too, are denoised by a small guided filter in place of
BM3D. ``Lime.of_the_paper()`` is without the first of them.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from guided_filter import guided_filter
from images import GREY_WEIGHTS
from restorers.base import Restorer
from restorers.blocks.structure_smoothing import smooth
from restorers.card import RestorerCard
from restorers.planes import enhance_planes

CARD = RestorerCard(
    name="lime",
    title="LIME",
    task="lowlight",
    summary="Finds how much light falls on every part of the picture and evens it out; needs no training.",
    paper="Guo, Li, Ling: LIME: Low-Light Image Enhancement via Illumination Map Estimation, IEEE TIP 2017",
    paper_url="https://doi.org/10.1109/TIP.2016.2639450",
    tiling="whole",
)

MIDDLE_GREY = 0.46
"""Luma of a surface that reflects 18 % of the light, in sRGB: what a photographer exposes for."""

_DARKEST = 0.01
_LARGEST_GAIN = 64.0
_LUMA = np.array(GREY_WEIGHTS, np.float32)


class Lime(Restorer):
    """Low-light enhancement by illumination map.

    Args:
        strength: Weight of smoothness in the illumination map, alpha in the paper.
        sigma: Standard deviation in pixels of the window that tells structure from texture.
        exponent: How far differences of illumination are evened out, gamma in the paper: 0 not at all, 1 entirely.
        exposure: Mean luma to which the whole picture is exposed; a picture that is brighter already stays as it is.
            None: no exposure beyond the paper's.
        noise: Standard deviation of the noise that is smoothed away in the dark, in steps of 1/255; 0: none is.
    """

    card = CARD

    def __init__(
        self,
        strength: float = 0.15,
        sigma: float = 2.0,
        exponent: float = 0.25,
        exposure: float | None = MIDDLE_GREY,
        noise: float = 2.0,
    ) -> None:
        super().__init__()
        self.strength, self.sigma, self.exponent = strength, sigma, exponent
        self.exposure, self.noise = exposure, noise

    @classmethod
    def of_the_paper(cls) -> Lime:
        """The paper's exponent of 0.8, and no exposure."""
        return cls(exponent=0.8, exposure=None)

    def enhance(self, x: Tensor) -> Tensor:
        """Float (N, 3, H, W) to the same; see :meth:`restore_planes`."""
        return enhance_planes(self.restore_planes, x)

    def restore_planes(self, picture: np.ndarray) -> np.ndarray:
        """Float32 (3, H, W) in [0, 1] to the same."""
        picture = np.clip(picture, 0, 1)
        light = np.clip(smooth(picture.max(axis=0), self.strength, self.sigma), _DARKEST, 1)
        if self.noise > 0:
            picture = denoise_dark(picture, light, self.noise / 255)
        gain = light ** np.float32(-self.exponent)
        if self.exposure is not None:
            gain = np.maximum(gain * np.float32(exposing_factor(picture, gain, self.exposure)), 1)
        return brighten(picture, gain)


def brighten(picture: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Multiply the light without clipping: ``1 - (1 - I)^gain``.

    For dark pixels this is ``gain I``, the paper's division by the illumination; white stays white.

    Args:
        picture: Float32 (3, H, W) in [0, 1].
        gain: Float32 (H, W), at least 1.

    Example:
        >>> dark = np.full((3, 1, 1), 0.01, np.float32)
        >>> float(brighten(dark, np.full((1, 1), 4.0, np.float32)).max().round(3))
        0.039
    """
    return 1 - (1 - picture) ** gain


def exposing_factor(picture: np.ndarray, gain: np.ndarray, exposure: float) -> float:
    """Factor of the gain that brings the mean luma to ``exposure``, where no pixel is darkened; at most 64.

    Found by bisection on a picture a quarter as large: the mean luma grows with the factor.
    """
    height, width = gain.shape
    size = (max(1, width // 4), max(1, height // 4))
    pixels = cv2.resize(picture.transpose(1, 2, 0), size, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    small_gain = cv2.resize(gain, size, interpolation=cv2.INTER_AREA)
    low, high = -np.log2(_LARGEST_GAIN), np.log2(_LARGEST_GAIN)
    for _ in range(16):
        middle = (low + high) / 2
        brightened = brighten(pixels, np.maximum(small_gain * np.float32(2.0**middle), 1))
        if float((_LUMA @ brightened.reshape(3, -1)).mean(dtype=np.float64)) < exposure:
            low = middle
        else:
            high = middle
    return float(2.0**low)


def denoise_dark(picture: np.ndarray, light: np.ndarray, noise: float) -> np.ndarray:
    """Smooth variations of the size of ``noise``, the more the darker: the paper's recomposition."""
    smoothed = np.stack([guided_filter(channel, channel, 2, noise * noise) for channel in picture])
    return np.clip(picture * light + smoothed * (1 - light), 0, 1)
