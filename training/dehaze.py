"""The dehazing task: hazy crops in, clear crops wanted; L1, contrastive regularisation, and what a recipe adds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from errors import UnknownNameError
from restorers import registry
from training.growth import Growth
from training.hazy_pairs import Source, open_source
from training.losses.contrastive import ContrastiveRegularisation
from training.losses.features import create_features
from training.losses.frequency import spectrum_distance
from training.recipe import Recipe
from training.settle import settle
from training.task import Pair, Task

_LOSSES = ("l1", "contrastive", "spectrum", "features", "negatives", "positives_only", "floor", "after")


class DehazeTask(Task):
    """Train a dehazer on pairs.

    The recipe's tables:

    - ``data``: ``crop`` in pixels, ``sources``: name (``nyu``, ``photographs``, ``folders``, ``sets``) to its
      options with a ``share`` of the samples; ``growth``, see ``training/growth.py``; ``start``, the registered
      method whose weights the network starts from, or ``settle``, the number of crops by which AECR-Net's start
      weights are scaled (``training/settle.py``).
    - ``loss``: weights ``l1``, ``contrastive``, ``spectrum``; for the contrastive term ``features`` (``vgg19``,
      ``squeezenet``, ``clip``), ``negatives``, ``positives_only``, ``floor``, and ``after``, the step from which it is
      added.
    - ``validation``: ``source``, ``pairs`` of the quick selection, and the source's own options.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        for key in recipe.loss:
            if key not in _LOSSES:
                raise UnknownNameError("loss option", key, _LOSSES)
        self.weights = {key: float(recipe.loss.get(key, 0.0)) for key in ("l1", "contrastive", "spectrum")}
        self.growth = Growth(self.model, recipe.data.get("growth", ()))
        self.sources: list[Source] = []
        self.shares: list[float] = []
        self._validation: Source | None = None
        self._contrastive: list[ContrastiveRegularisation] = []  # in a list: frozen networks are no submodules

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`; also loads the weights that the network starts from."""
        start = self.recipe.data.get("start")
        if start:
            self.model.load_state_dict(registry.create(str(start)).state_dict())
        options = self.recipe.data["sources"]
        wanted = dict(self.recipe.validation)
        judge = wanted.pop("source", next(iter(options)))
        opened: dict[str, Source] = {}
        for name, table in options.items():
            opened[name] = open_source(name, root, cache, table, wanted)
            self.sources.append(opened[name])
            self.shares.append(float(table.get("share", 1.0)))
        self._validation = opened.get(judge) or open_source(judge, root, cache, {}, wanted)
        if self.recipe.data.get("settle"):
            crops = [self.sample(index)["hazy"] for index in range(int(self.recipe.data["settle"]))]
            settle(self.model, torch.stack(crops))
        if self.weights["contrastive"]:
            loss = self.recipe.loss
            self._contrastive = [
                ContrastiveRegularisation(
                    create_features(str(loss.get("features", "squeezenet")), root),
                    negatives=int(loss.get("negatives", 1)),
                    positives_only=bool(loss.get("positives_only", False)),
                    floor=float(loss.get("floor", 0.0)),
                )
            ]

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        rng = np.random.default_rng((self.recipe.seed, index))
        shares = np.array(self.shares) / sum(self.shares)
        source = self.sources[int(rng.choice(len(self.sources), p=shares))]
        done = min(index / (self.recipe.steps * self.recipe.batch), 1.0)
        hazy, clear = source.draw(int(self.recipe.data["crop"]), rng, done)
        return {"hazy": hazy, "clear": clear}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        hazy, clear = batch["hazy"], batch["clear"]
        self.growth.at(self.step)
        restored = self.model.enhance(hazy)
        restored = restored.float()
        losses = {"l1": (restored - clear).abs().mean()}
        if self.weights["spectrum"]:
            losses["spectrum"] = spectrum_distance(restored, clear)
        if self._contrastive and self.step < int(self.recipe.loss.get("after", 0)):
            losses["contrastive"] = restored.new_zeros(())
        elif self._contrastive:
            losses["contrastive"] = self._contrastive[0].to(restored.device)(restored, clear, hazy)
        total = torch.stack([self.weights[key] * value for key, value in losses.items()]).sum()
        return {"loss": total, **losses}

    def validation(self, *, full: bool = False) -> Sequence[Pair]:
        """See :meth:`Task.validation`."""
        assert self._validation is not None, "prepare() comes first"
        return self._validation.pairs(full=full)
