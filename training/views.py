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
from training.entries import between, number, whole
from training.stages import Stages, ends

_KEYS = ("until", "crop", "zoom", "aspect", "shows")


@dataclass(frozen=True)
class View:
    """What a sample shows of its picture.

    Attributes:
        crop: Rows of the crop in pixels.
        zoom: Least and greatest factor by which the picture is reduced first; never below the crop.
        aspect: Columns of the crop over its rows.
        shows: Least and greatest share of the picture that the crop shows, as a length; goes before the zoom. Pictures
            of all sizes are cropped alike by it.
    """

    crop: int
    zoom: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    shows: tuple[float, float] | None = None

    @property
    def columns(self) -> int:
        """Columns of the crop."""
        return round(self.crop * self.aspect)

    def short(self, height: int, width: int, rng: np.random.Generator) -> int:
        """Short side, in pixels, of a picture of ``height`` x ``width``, once reduced for this view."""
        short = min(height, width)
        if self.shows is None and self.zoom[1] <= 1:
            return short
        least = math.ceil(short * max(self.crop / height, self.columns / width))
        if self.shows is not None:
            return max(least, min(short, round(least / rng.uniform(*self.shows))))
        return max(least, round(short / rng.uniform(*self.zoom)))


class Views:
    """Views by the step alone, so that a resumed run draws what the uninterrupted one draws.

    Args:
        crop: Rows of the crops in pixels, or several that alternate from step to step.
        zoom: Least and greatest factor by which pictures are reduced.
        stages: Each a table with ``until``, the first step that is no longer of it, and ``crop``, ``zoom``, ``aspect``
            or ``shows`` in place of those, in order.
        aspect: Columns of the crops over their rows; that of most pictures, 4/3, shows them whole. Of several, each
            goes with the crop at the same place.
        shows: Least and greatest share of a picture that a crop shows, in place of the zoom; None, by the zoom.

    Raises:
        UsageError: A stage has no ``until`` or ends before the one before it, a zoom does not go upwards from 1, or
            shares upwards to 1, or a crop or an aspect is nothing that has pixels.
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
        aspect: float | Sequence[float] = 1.0,
        shows: Sequence[float] | None = None,
    ) -> None:
        until = ends(stages, "data.views")
        check_names("entry of a view", (key for stage in stages for key in stage), _KEYS)
        rest = {"crop": crop, "zoom": zoom, "aspect": aspect, "shows": shows}
        views = [_alternating(**{key: stage.get(key, value) for key, value in rest.items()}) for stage in stages]
        self._stages = Stages(until, views, _alternating(**rest))

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Views:
        """From a recipe's ``data``: its ``crop``, and ``zoom``, ``views``, ``aspect`` and ``shows`` if it has them."""
        given = {key: data[key] for key in ("zoom", "aspect", "shows") if key in data}
        return cls(data["crop"], stages=data.get("views", ()), **given)

    def at(self, step: int) -> View:
        """The view of ``step``."""
        views = self._stages.at(step)
        return views[step % len(views)]


def _alternating(
    crop: int | Sequence[int],
    zoom: Sequence[float],
    aspect: float | Sequence[float],
    shows: Sequence[float] | None,
) -> tuple[View, ...]:
    zooms = between(zoom, "data.zoom", least=1)
    shares = None if shows is None else between(shows, "data.shows", above=0, most=1)
    crops = [whole(rows, "data.crop", least=1) for rows in (crop if isinstance(crop, (list, tuple)) else [crop])]
    aspects = [number(x, "data.aspect", above=0) for x in (aspect if isinstance(aspect, (list, tuple)) else [aspect])]
    count = max(len(crops), len(aspects))
    if not crops or not aspects or count % len(crops) or count % len(aspects):
        raise UsageError(f"A recipe's crops and aspects go in pairs; there are {len(crops)} and {len(aspects)}.")
    return tuple(View(crops[i % len(crops)], zooms, aspects[i % len(aspects)], shares) for i in range(count))
