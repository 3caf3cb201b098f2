"""The dehazing task: hazy crops in, clear crops wanted; L1, contrastive regularisation, and what a recipe adds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from training import entries
from training.growth import Growth
from training.hazy_pairs import open_sources
from training.losses.contrastive import ContrastiveRegularisation
from training.losses.features import create_features
from training.losses.frequency import spectrum_distance
from training.losses.log_error import log_error
from training.pairs_task import PairsTask
from training.recipe import Recipe
from training.settle import settle

TERMS = ("l1", "log_error", "contrastive", "spectrum")


class DehazeTask(PairsTask):
    """Train a dehazer on pairs.

    The recipe's tables:

    - ``data``: ``sources``: name (``nyu``, ``photographs``, ``exposures``, ``folders``, ``sets``) to its options with a
      ``share`` of the samples; ``crop``, ``aspect``, ``zoom``, ``shows`` and ``views``, see ``training/views.py``;
      ``growth``, see ``training/growth.py``; ``settle``, the number of crops by which AECR-Net's start weights are
      scaled (``training/settle.py``).
    - ``loss``: weights ``l1``, ``log_error`` (``training/losses/log_error.py``), ``contrastive``, ``spectrum``; for the
      contrastive term ``features`` (``vgg19``, ``squeezenet``, ``clip``), ``negatives``, ``positives_only``, ``floor``,
      and ``after``, the step from which it is added.
    - ``validation``: ``source``, ``pairs`` of the quick selection, and the source's own options.
    """

    pair = ("hazy", "clear")
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("sources", "crop", "aspect", "zoom", "shows", "views", "growth", "settle"),
        "loss": (*TERMS, "features", "negatives", "positives_only", "floor", "after"),
        "validation": ("source", "pairs", "draws", "haze"),
    }

    required = ("crop", "sources")

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        loss = recipe.loss
        self.weights = entries.weights(loss, TERMS)
        self.after = entries.whole(loss.get("after", 0), "loss.after")
        self.negatives = entries.whole(loss.get("negatives", 1), "loss.negatives", least=1)
        self.floor = entries.number(loss.get("floor", 0.0), "loss.floor", least=0)
        self.settled = entries.whole(recipe.data.get("settle", 0), "data.settle")
        self.growth = Growth(self.model, recipe.data.get("growth", ()))
        self._contrastive: list[ContrastiveRegularisation] = []  # in a list: frozen networks are no submodules

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        self.source = open_sources(self.recipe.data["sources"], root, cache, self.recipe.validation)
        if self.weights["contrastive"]:
            loss = self.recipe.loss
            self._contrastive = [
                ContrastiveRegularisation(
                    create_features(str(loss.get("features", "squeezenet")), root),
                    negatives=self.negatives,
                    positives_only=bool(loss.get("positives_only", False)),
                    floor=self.floor,
                )
            ]

    def start(self) -> None:
        """See :meth:`RestorerTask.start`; start weights may be scaled by data, too."""
        super().start()
        if self.settled:
            settle(self.model, torch.stack([self.sample(index)["hazy"] for index in range(self.settled)]))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        hazy, clear = batch["hazy"], batch["clear"]
        self.growth.at(self.step)
        restored = self.model.enhance(hazy)
        restored = restored.float()
        losses = {"l1": (restored - clear).abs().mean()}
        if self.weights["log_error"]:
            losses["log_error"] = log_error(restored, clear)
        if self.weights["spectrum"]:
            losses["spectrum"] = spectrum_distance(restored, clear)
        if self._contrastive and self.step < self.after:
            losses["contrastive"] = restored.new_zeros(())
        elif self._contrastive:
            losses["contrastive"] = self._contrastive[0].to(restored.device)(restored, clear, hazy)
        total = torch.stack([self.weights[key] * value for key, value in losses.items()]).sum()
        return {"loss": total, **losses}
