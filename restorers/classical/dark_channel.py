"""Dark channel prior: remove haze from one picture without a trained network.

He, Sun, Tang, "Single Image Haze Removal Using Dark Channel Prior", IEEE TPAMI 33(12), 2011, with the transmission
refined by the guided filter (TPAMI 35(6), 2013) in place of soft matting. In a haze-free patch some pixel of some
channel is almost black; whatever light is there instead is haze.

Departures from the paper, and what they bring, are measured in ``docs/methods/dark_channel.md``: the patch and the
radius grow with the picture, and the guided filter smooths more. ``DarkChannel.of_the_paper()`` has the paper's values.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from guided_filter import guided_filter
from images import GREY_WEIGHTS
from restorers.base import Restorer
from restorers.card import RestorerCard
from restorers.planes import enhance_planes

CARD = RestorerCard(
    name="dark_channel",
    title="Dark channel prior",
    task="dehaze",
    summary="Estimates the haze from the darkest colour of every patch and takes it away; needs no training.",
    paper="He, Sun, Tang: Single Image Haze Removal Using Dark Channel Prior, IEEE TPAMI 2011",
    paper_url="https://doi.org/10.1109/TPAMI.2010.168",
    tiling="whole",
)

_PATCH_SHARE, _RADIUS_SHARE = 1 / 12, 1 / 8
_GREY = np.array(GREY_WEIGHTS, np.float32)


class DarkChannel(Restorer):
    """Dark channel prior with guided filter.

    Args:
        patch: Side of the square over which the darkest value is taken, in pixels; None: a twelfth of the shorter
            side.
        omega: Share of the haze that is removed; a little is kept so that distance still looks distant.
        radius: Radius of the guided filter in pixels; None: an eighth of the shorter side.
        epsilon: Regularisation of the guided filter.
        floor: Smallest transmission, t0 in the paper.
        brightest: Share of pixels, those with the brightest dark channel, whose mean colour is the airlight.
        subsample: The guided filter's coefficients are found on a picture smaller by this factor.
    """

    card = CARD
    uncounted = "the dark channel prior"

    def __init__(
        self,
        patch: int | None = None,
        omega: float = 0.95,
        radius: int | None = None,
        epsilon: float = 1e-3,
        floor: float = 0.1,
        brightest: float = 0.001,
        subsample: int = 4,
    ) -> None:
        super().__init__()
        self.patch, self.omega, self.radius, self.epsilon = patch, omega, radius, epsilon
        self.floor, self.brightest, self.subsample = floor, brightest, subsample

    @classmethod
    def of_the_paper(cls) -> DarkChannel:
        """The values of the 2011 and 2013 papers: patch 15, radius 60, epsilon 1e-4, exact guided filter."""
        return cls(patch=15, radius=60, epsilon=1e-4, subsample=1)

    def enhance(self, x: Tensor) -> Tensor:
        """Float (N, 3, H, W) to the same; see :meth:`restore_planes`."""
        return enhance_planes(self.restore_planes, x)

    def restore_planes(self, picture: np.ndarray) -> np.ndarray:
        """Solve the haze equation I = J t + A (1 - t) for J.

        Args:
            picture: Float32 (3, H, W) in [0, 1].

        Returns:
            Float32 (3, H, W), not clamped.
        """
        side = min(picture.shape[1:])
        patch = self.patch or max(3, round(side * _PATCH_SHARE))
        radius = self.radius or max(4, round(side * _RADIUS_SHARE))
        light = airlight(picture, dark_channel(picture, patch), self.brightest)[:, None, None]
        transmission = 1 - np.float32(self.omega) * dark_channel(picture / light, patch)
        grey = cv2.transform(picture.transpose(1, 2, 0), _GREY[None])
        transmission = guided_filter(grey, transmission, radius, self.epsilon, subsample=self.subsample)
        np.clip(transmission, self.floor, 1, out=transmission)
        restored = picture - light
        restored /= transmission
        restored += light
        return restored


def dark_channel(picture: np.ndarray, patch: int) -> np.ndarray:
    """Smallest value of all channels over a square patch.

    Args:
        picture: Float32 (3, H, W).
        patch: Side in pixels; even values are made odd by adding one.

    Returns:
        Float32 (H, W). Beyond the border nothing counts.
    """
    darkest = np.minimum(np.minimum(picture[0], picture[1]), picture[2])
    patch = patch // 2 * 2 + 1
    return cv2.erode(darkest, np.ones((patch, patch), np.uint8))


def airlight(picture: np.ndarray, dark: np.ndarray, brightest: float = 0.001) -> np.ndarray:
    """Colour of the haze: mean colour where the dark channel is among its brightest (the 2011 paper).

    Pixels that tie with the last one of the share count too, so that the result does not depend on their order.

    Args:
        picture: Float32 (3, H, W).
        dark: Its dark channel (H, W).
        brightest: Share of pixels.

    Returns:
        Float32 (3,), at least 1/255 so that one can divide by it.
    """
    count = max(1, int(dark.size * brightest))
    threshold = np.partition(dark, dark.size - count, axis=None)[dark.size - count]
    chosen = picture[:, dark >= threshold]
    return np.maximum(chosen.mean(axis=1, dtype=np.float64), 1 / 255).astype(np.float32)
