"""Dark pictures and what they should become: exposures of one scene, and photographs darkened as such scenes were."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from training import data
from training.degradations import camera
from training.entries import whole
from training.exposures import SHORT, open_exposures, pseudo_pairs
from training.hazy_pairs import PairSource
from training.validate import ValidationPair
from training.views import View

DARK_LUMA = (8.0, 50.0)
"""Mean luma, of 255, of dark pictures."""

BRIGHT_LUMA = (95.0, 140.0)
"""Mean luma of photographs that are well exposed enough to be darkened."""

_SPREAD = 2.0
"""By how many of a hundred grey levels the measured curves are smoothed."""


class Exposures(PairSource):
    """Dark pictures and the best exposure of the same scene.

    Args:
        root: Folder of the tar.
        cache: Folder of packed pictures.
        least: Smallest share of a scene's side in a crop; tones depend on what else is in the picture.
        validation: ``pairs`` of the quick selection.
    """

    def __init__(self, root: Path, cache: Path, least: float, validation: Mapping[str, Any]) -> None:
        self.root, self.least = root, least
        self.limit = whole(validation["pairs"], "validation.pairs") if "pairs" in validation else None
        self.pool = open_exposures(root, cache)
        facts = self.pool.facts
        best = {_scene(fact): index for index, fact in enumerate(facts) if fact["best"]}
        self.members = [
            (index, best[_scene(fact)])
            for index, fact in enumerate(facts)
            if DARK_LUMA[0] <= fact["luma"] <= DARK_LUMA[1] and not fact["best"]
        ]

    def draw(self, view: View, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One aligned pair (3, crop, crop) each: most of a scene, reduced, perhaps mirrored."""
        pair = [self.pool[index] for index in self.members[int(rng.integers(len(self.members)))]]
        dark, bright = data.random_square(pair, view.crop, self.least, rng)
        return data.to_tensor(dark), data.to_tensor(bright)

    def pairs(self, *, full: bool) -> list[ValidationPair]:
        """The pseudo-pairs of the held-out scenes, at full size."""
        found = list(pseudo_pairs(self.root))
        return found if full or self.limit is None else found[: self.limit]


class Darkened(PairSource):
    """Well exposed photographs and rooms, darkened by the curves that scenes in several exposures show.

    A hundred scenes say little about how bright the things of the world are. These are more; how cameras darken them is
    measured on those scenes: the mean dark level for every well exposed level, channel by channel, is a curve.

    Args:
        root: Folder of the tars.
        cache: Folder of packed pictures.
        exposures: Scenes whose curves darken; also what says how much of a picture a crop shows.
    """

    def __init__(self, root: Path, cache: Path, exposures: Exposures) -> None:
        self.exposures = exposures
        self.pool = open_well_exposed(root, cache)
        self.curves = [darkening_curves(exposures.pool[dark], exposures.pool[best]) for dark, best in exposures.members]

    def draw(self, view: View, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A darkened crop, compressed as a JPEG, and the crop itself, (3, crop, crop) each."""
        picture = self.pool[int(rng.integers(len(self.pool)))]
        (bright,) = data.random_square([picture], view.crop, self.exposures.least, rng)
        dark = bright
        for _ in range(8):
            curves = self.curves[int(rng.integers(len(self.curves)))]
            dark = np.stack([np.interp(bright[..., c], np.arange(256), curves[c]) for c in range(3)], -1)
            if DARK_LUMA[0] <= dark.mean() <= DARK_LUMA[1]:
                break
        compressed = camera.jpeg(data.to_tensor(dark.round().astype(np.uint8))[None], [int(rng.integers(75, 96))])
        return compressed[0], data.to_tensor(bright)

    def pairs(self, *, full: bool) -> list[ValidationPair]:
        """None of its own: nothing is validated on made pairs."""
        return []


def open_well_exposed(root: Path, cache: Path) -> data.PicturePool:
    """Photographs and rooms that are well exposed enough to be darkened, reduced and packed."""
    files = [root / "bsds400.tar", root / "nyu_images.tar"]
    return data.packed(cache, f"well-exposed-{SHORT}", files, partial(_well_exposed, root))[0]


def is_well_exposed(picture: np.ndarray) -> bool:
    """Whether the mean luma of a picture (H, W, 3) uint8 is that of photographs that may be darkened."""
    return BRIGHT_LUMA[0] <= float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean()) <= BRIGHT_LUMA[1]


def darkening_curves(dark: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Mean dark level for every bright level, channel by channel, smoothed and never falling.

    Args:
        dark: (H, W, 3) uint8.
        bright: The same scene, well exposed.

    Returns:
        (3, 256) float64 in [0, 255].

    Example:
        >>> bright = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
        >>> curves = darkening_curves(bright // 4, bright)
        >>> curves.shape, float(curves[0, 200].round())
        ((3, 256), 50.0)
    """
    curves = np.empty((3, 256))
    levels = np.arange(256)
    weights = np.exp(-0.5 * ((levels[:, None] - levels[None]) / (2.56 * _SPREAD)) ** 2)
    for channel in range(3):
        level = bright[..., channel].ravel()
        count = np.bincount(level, minlength=256)
        total = np.bincount(level, dark[..., channel].ravel(), 256)
        seen = np.flatnonzero(weights @ count > 1e-3)
        smooth = (weights @ total)[seen] / (weights @ count)[seen]
        curves[channel] = np.interp(levels, seen, np.maximum.accumulate(smooth))
    return curves


def _well_exposed(root: Path) -> list[tuple[np.ndarray, dict]]:
    rooms = ((f"nyu-{scene}", picture) for scene, picture, _ in data.nyu(root) if scene % data.NYU_STRIDE == 0)
    packed = []
    for name, picture in (*data.bsds(root), *rooms):
        if is_well_exposed(picture):
            packed.append((data.reduce_picture(picture, SHORT), {"name": name}))
    return packed


def _scene(fact: dict[str, object]) -> str:
    return Path(str(fact["name"])).parent.name
