"""LIME: brighten the dark by an illumination map that follows the picture's structure.

Guo, Li, Ling, "LIME: Low-Light Image Enhancement via Illumination Map Estimation", IEEE TIP 26(2), 2017. The first
guess of the illumination is the brightest channel (equation 2); it is smoothed along its structure (equation 14), and
every pixel is brightened by its inverse.

Three departures, each measured in ``docs/methods/lime.md``: the exponent of the illumination is not a constant 0.8 but
the one that brings the mean luma to middle grey; brightening saturates smoothly where plain division would clip; and
the dark parts, whose noise would be brightened too, are denoised by a small guided filter in place of BM3D.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from guided_filter import guided_filter
from restorers.base import Restorer
from restorers.blocks.structure_smoothing import smooth
from restorers.card import RestorerCard
from restorers.classical.planes import enhance_planes

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
_LARGEST_EXPONENT = 2.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Lime(Restorer):
    """Low-light enhancement by illumination map.

    Args:
        strength: Weight of smoothness in the illumination map, alpha in the paper.
        sigma: Standard deviation in pixels of the window that tells structure from texture.
        exposure: Mean luma to aim for; a picture that is brighter already is left alone.
        exponent: Exponent of the illumination, gamma in the paper; None: the one that reaches ``exposure``.
        noise: Standard deviation of the noise that is smoothed away in the dark, in steps of 1/255; 0: none is.
    """

    card = CARD

    def __init__(
        self,
        strength: float = 30.0,
        sigma: float = 2.0,
        exposure: float = MIDDLE_GREY,
        exponent: float | None = None,
        noise: float = 2.0,
    ) -> None:
        super().__init__()
        self.strength, self.sigma, self.exposure = strength, sigma, exposure
        self.exponent, self.noise = exponent, noise

    def enhance(self, x: Tensor) -> Tensor:
        """Float (N, 3, H, W) to the same; see :meth:`restore_planes`."""
        return enhance_planes(self.restore_planes, x)

    def restore_planes(self, picture: np.ndarray) -> np.ndarray:
        """Float32 (3, H, W) in [0, 1] to the same."""
        picture = np.clip(picture, 0, 1)
        light = np.clip(smooth(picture.max(axis=0), self.strength, self.sigma), _DARKEST, 1)
        if self.noise > 0:
            picture = denoise_dark(picture, light, self.noise / 255)
        exponent = self.exponent
        if exponent is None:
            exponent = exposing_exponent(picture, light, self.exposure)
        return brighten(picture, light ** np.float32(-exponent))


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


def exposing_exponent(picture: np.ndarray, light: np.ndarray, exposure: float) -> float:
    """Exponent of the illumination that brings the mean luma to ``exposure``; 0 if it is that bright already.

    Found by bisection on a picture a quarter as large: the mean luma grows with the exponent.
    """
    height, width = light.shape
    size = (max(1, width // 4), max(1, height // 4))
    pixels = cv2.resize(picture.transpose(1, 2, 0), size, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    small_light = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    low, high = 0.0, _LARGEST_EXPONENT
    for _ in range(12):
        middle = (low + high) / 2
        brightened = brighten(pixels, small_light ** np.float32(-middle))
        if float((_LUMA @ brightened.reshape(3, -1)).mean(dtype=np.float64)) < exposure:
            low = middle
        else:
            high = middle
    return low


def denoise_dark(picture: np.ndarray, light: np.ndarray, noise: float) -> np.ndarray:
    """Smooth variations of the size of ``noise``, the more the darker (the recomposition of equation 19)."""
    smoothed = np.stack([guided_filter(channel, channel, 2, noise * noise) for channel in picture])
    return np.clip(picture * light + smoothed * (1 - light), 0, 1)
