"""Fit a pristine model of NIQE to a folder of natural photographs (paper, section II-C)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errors import ImageError, MetricError
from eval.metrics.niqe import BLOCK, FEATURES, block_features
from eval.metrics.niqe_model import NiqeModel, make_model
from images import Picture

SHARPNESS = 0.75
"""A block is kept when its mean local deviation exceeds this fraction of its picture's largest (the paper's choice)."""

LEAST_BLOCKS = 2 * FEATURES
"""With fewer blocks the covariance says little beyond noise."""


class Fit(NamedTuple):
    """A fitted model and what it rests on.

    Attributes:
        model: The model.
        pictures: Pictures that gave at least one block.
        blocks: Blocks kept.
        skipped: Names of pictures that could not be used, with the reason.
    """

    model: NiqeModel
    pictures: int
    blocks: int
    skipped: tuple[tuple[str, str], ...]


def sharp_features(image: np.ndarray, sharpness: float = SHARPNESS) -> np.ndarray:
    """Features ``(blocks, 36)`` of the sharp blocks of one photograph; flat blocks are left out.

    Raises:
        MetricError: A side is below 96 pixels.
    """
    blocks = block_features(image)
    keep = blocks.sharpness > sharpness * blocks.sharpness.max()
    return blocks.features[keep & ~np.isnan(blocks.features).any(axis=1)]


def fit(pictures: Iterable[Picture | Path], *, sharpness: float = SHARPNESS, source: str = "fitted here") -> Fit:
    """Mean and covariance of the sharp blocks of many photographs.

    Args:
        pictures: Photographs or their files, in any order; the model does not depend on it beyond rounding.
        sharpness: See :data:`SHARPNESS`.
        source: What the model says of its origin.

    Raises:
        MetricError: Too few usable blocks.
    """
    from images import read_picture

    found: list[np.ndarray] = []
    skipped: list[tuple[str, str]] = []
    for picture in pictures:
        try:
            picture = read_picture(picture) if isinstance(picture, Path) else picture
            features = sharp_features(picture.pixels, sharpness)
        except (ImageError, MetricError) as error:
            skipped.append((picture.name, str(error)))
            continue
        if len(features):
            found.append(features)
    blocks = sum(len(features) for features in found)
    if blocks < LEAST_BLOCKS:
        raise MetricError(
            f"{blocks} sharp blocks of {BLOCK}x{BLOCK} are too few for a model of {FEATURES} features; give at least "
            f"{LEAST_BLOCKS}, better the 125 photographs of the paper."
        )
    features = np.concatenate(found)
    model = make_model(features.mean(axis=0), np.cov(features, rowvar=False), source)
    return Fit(model, len(found), blocks, tuple(skipped))


def save_model(path: Path, fitted: Fit, about: str = "") -> None:
    """Write a model as ``.npz`` with the names ``mean``, ``covariance``, ``pictures``, ``blocks``, ``about``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.savez_compressed(
            stream,
            mean=fitted.model.mean,
            covariance=fitted.model.covariance,
            pictures=np.int64(fitted.pictures),
            blocks=np.int64(fitted.blocks),
            about=np.str_(about),
        )
