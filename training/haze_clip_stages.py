"""Stages of the haze CLIP's training: what is drawn, how the losses weigh, how fast it learns; by the step alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from errors import UsageError, check_names
from training.stages import ends


@dataclass(frozen=True)
class Stage:
    """What holds from step ``begin`` to before step ``until``.

    Attributes:
        begin: Its first step.
        until: The first step that is no longer of it.
        grids: [rows, columns, pictures] to draw from; rows and columns in patches.
        sampler: Shares that :meth:`training.haze_batches.Sampler.batch` takes.
        weights: Of losses, in place of the recipe's.
        ema: Decay of the moving average in place of the recipe's.
        rate: Where a schedule of its own starts; without it the recipe's goes on.
        warmup: Steps over which that rises.
        cosine: Steps over which it falls; 0 for the stage's length.
    """

    begin: int
    until: int
    grids: Sequence[Sequence[int]]
    sampler: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    ema: float | None = None
    rate: float | None = None
    warmup: int = 1
    cosine: int = 0

    def learning_rate(self, step: int) -> float | None:
        """A linear rise times half a cosine down to two percent; None without a schedule of its own."""
        if self.rate is None:
            return None
        done = (step - self.begin) / (self.cosine or self.until - self.begin)
        rise = min((step - self.begin + 1) / self.warmup, 1.0)
        return self.rate * rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def read_stages(tables: Sequence[Mapping[str, Any]]) -> list[Stage]:
    """Stages from a recipe's tables.

    Raises:
        UsageError: One has no ``grids`` or no ``until``, or ends before the one before it.
        UnknownNameError: One has an entry that means nothing.
    """
    begins = [0, *ends(tables, "data.stages")]
    known = [f.name for f in fields(Stage) if f.name != "begin"]
    check_names("entry of a stage", (key for table in tables for key in table), known)
    if any(not table.get("grids") for table in tables):
        raise UsageError("Every stage of a recipe's data.stages needs 'grids', a list of [rows, columns, pictures].")
    return [Stage(begin=begin, **table) for begin, table in zip(begins, tables, strict=False)]
