"""Views: how large a step's crops are, and how far pictures are reduced before they are cropped.

A small crop of a reduced picture shows the scene at the price of a corner of it. Where time is short, a network learns
what depends on the scene (how much haze lies where) from many of those, and what depends on pixels from few crops of
larger pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errors import UsageError, check_names
from training.stages import Stages, ends

_KEYS = ("until", "crop", "zoom", "aspect")


@dataclass(frozen=True)
class View:
    """What a sample shows of its picture.

    Attributes:
        crop: Rows of the crop in pixels.
        zoom: Least and greatest factor by which the picture is reduced first; never below the crop.
        aspect: Columns of the crop over its rows.
    """

    crop: int
    zoom: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0

    @property
    def columns(self) -> int:
        """Columns of the crop."""
        return round(self.crop * self.aspect)

    def short(self, height: int, width: int, rng: np.random.Generator) -> int:
        """Short side, in pixels, of a picture of ``height`` x ``width``, once reduced for this view."""
        short = min(height, width)
        if self.zoom[1] <= 1:
            return short
        least = math.ceil(short * max(self.crop / height, self.columns / width))
        return max(least, round(short / rng.uniform(*self.zoom)))


class Views:
    """Views by the step alone, so that a resumed run draws what the uninterrupted one draws.

    Args:
        crop: Rows of the crops in pixels, or several that alternate from step to step.
        zoom: Least and greatest factor by which pictures are reduced.
        stages: Each a table with ``until``, the first step that is no longer of it, and ``crop``, ``zoom`` or
            ``aspect`` in place of those, in order.
        aspect: Columns of the crops over their rows; that of most pictures, 4/3, shows them whole.

    Raises:
        UsageError: A stage has no ``until`` or ends before the one before it, or a zoom does not go upwards from 1.
        UnknownNameError: A stage has another entry.

    Example:
        >>> views = Views(crop=96, stages=[{"until": 100, "crop": 64, "zoom": [4.0, 7.0]}])
        >>> views.at(99)
        View(crop=64, zoom=(4.0, 7.0), aspect=1.0)
        >>> views.at(100)
        View(crop=96, zoom=(1.0, 1.0), aspect=1.0)
    """

    def __init__(
        self,
        crop: int | Sequence[int],
        zoom: Sequence[float] = (1.0, 1.0),
        stages: Sequence[Mapping[str, Any]] = (),
        aspect: float = 1.0,
    ) -> None:
        check_names("entry of a view", (key for stage in stages for key in stage), _KEYS)
        views = [
            _alternating(stage.get("crop", crop), stage.get("zoom", zoom), stage.get("aspect", aspect))
            for stage in stages
        ]
        self._stages = Stages(ends(stages, "views"), views, _alternating(crop, zoom, aspect))

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Views:
        """From a recipe's ``data``: its ``crop``, and ``zoom``, ``views`` and ``aspect`` if it has them."""
        return cls(data["crop"], data.get("zoom", (1.0, 1.0)), data.get("views", ()), float(data.get("aspect", 1.0)))

    def at(self, step: int) -> View:
        """The view of ``step``."""
        views = self._stages.at(step)
        return views[step % len(views)]


def _alternating(crop: int | Sequence[int], zoom: Sequence[float], aspect: float) -> tuple[View, ...]:
    least, most = map(float, zoom)
    if not 1 <= least <= most:
        raise UsageError(f"A recipe's zoom is [least, greatest], neither below 1; it is [{least:g}, {most:g}].")
    crops = crop if isinstance(crop, Sequence) else (crop,)
    return tuple(View(int(side), (least, most), float(aspect)) for side in crops)
