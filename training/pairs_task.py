"""What tasks that learn from pairs share: a source that draws them, crops by the step, held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor

from training.hazy_pairs import PairSource
from training.recipe import Recipe
from training.restorer_task import RestorerTask
from training.validate import ValidationPair
from training.views import Views


class PairsTask(RestorerTask):
    """Base of the tasks that learn from pairs; ``prepare`` opens their source.

    Attributes:
        source: Where pairs come from; None until it is opened.
        pair: What a sample calls the picture to restore and what it should become.
    """

    pair: ClassVar[tuple[str, str]] = ("degraded", "reference")

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.views = Views.of(recipe.data)
        self.source: PairSource | None = None

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        assert self.source is not None, "prepare() comes first"
        rng = np.random.default_rng((self.recipe.seed, index))
        return dict(zip(self.pair, self.source.draw(self.views.at(index // self.recipe.batch), rng), strict=True))

    def validation(self, *, full: bool = False) -> Sequence[ValidationPair]:
        """See :meth:`RestorerTask.validation`."""
        assert self.source is not None, "prepare() comes first"
        return self.source.pairs(full=full)
