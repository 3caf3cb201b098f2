"""Exposures of one scene: a multi-exposure set packed for training, and its held-out pairs of dark and well exposed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from training import data
from training.validate import ValidationPair

SHORT = 256
"""Packed pictures are reduced to this short side."""

VALIDATION_LUMA = (12.0, 45.0)
"""Mean luma, of 255, of a validation pair's dark picture."""


def open_exposures(root: Path, cache: Path) -> data.PicturePool:
    """Every exposure of the training scenes, reduced and packed, with its name, luma, and whether it is the best."""
    files = [root / "multi_exposure.tar"]
    return data.packed(cache, f"exposures-{SHORT}", files, partial(_exposures, root))[0]


def _exposures(root: Path) -> list[tuple[np.ndarray, dict]]:
    return [
        (data.reduce_picture(picture, SHORT), {"name": name, "luma": luma, "best": best})
        for name, luma, best, picture in data.multi_exposure(root)
    ]


def pseudo_pairs(root: Path) -> Sequence[ValidationPair]:
    """Validation pairs of the multi-exposure set's last 15 scenes: darkest of mean luma 12 to 45, best exposed."""
    scenes: dict[str, list[tuple[float, bool, np.ndarray]]] = {}
    for name, luma, best, picture in data.multi_exposure(root, validation=True):
        scenes.setdefault(Path(name).parent.name, []).append((luma, best, picture))
    pairs = []
    for scene, exposures in scenes.items():
        dark = [row for row in exposures if VALIDATION_LUMA[0] <= row[0] <= VALIDATION_LUMA[1]]
        if dark:
            darkest = min(dark, key=lambda row: row[0])[2]
            reference = next(picture for _, best, picture in exposures if best)
            pairs.append(ValidationPair(scene, partial(_tensors, darkest, reference)))
    return pairs


def _tensors(dark: np.ndarray, reference: np.ndarray) -> tuple[Tensor, Tensor]:
    return data.to_tensor(dark)[None], data.to_tensor(reference)[None]
