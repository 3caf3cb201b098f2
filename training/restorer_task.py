"""What the tasks of all restorers share: the network by its architecture, pairs to validate on, the weight file."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn

from errors import UsageError, first_line
from eval.protocol import DEFAULT
from images import write_picture
from restorers import hub
from restorers.base import Restorer
from restorers.checkpoint import save_file
from restorers.networks import architecture
from training.entries import whole
from training.recipe import Recipe
from training.start import start_from
from training.task import Task
from training.validate import ValidationPair, sample_sheet, validate

WEIGHTS_FILE = "weights.safetensors"
"""In a run's folder: the averaged weights of the last validation."""


class RestorerTask(Task):
    """Base of the tasks that train a restorer.

    Every such task's ``data`` may have ``start``, the model whose weights the network starts from: a name, a weight
    file, a folder or a Hub address, whatever :func:`restorers.hub.load` takes.

    Attributes:
        model: The restorer.
        protocol: By which a run is evaluated before it is published.
        fresh: Beginnings of the names of tensors that the model to start from may lack.

    Raises:
        UnknownNameError: A table of the recipe has an entry that means nothing to the task.
        UsageError: The network cannot be built as the recipe says.
    """

    model: Restorer
    protocol: str = DEFAULT
    shared: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("start",)}
    fresh: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        arguments = dict(recipe.network)
        kind = architecture(str(arguments.pop("architecture", ""))).load()
        try:
            self.model = kind(**arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"The recipe's network cannot be built ({first_line(error)}); mend its entries."
            ) from error
        self._quick = whole(recipe.validation["pairs"], "validation.pairs") if "pairs" in recipe.validation else None
        self._pairs: list[ValidationPair] = []

    def quick(self, count: int) -> int:
        """How many of ``count`` validation pairs the quick selection has: all, unless the recipe says."""
        return count if self._quick is None else self._quick

    def start(self) -> None:
        """See :meth:`Task.start`: the weights of the model that ``data.start`` names, if it names one.

        Raises:
            UnveilError: There is no such model, it cannot be loaded, or its tensors are not the network's.
        """
        name = self.recipe.data.get("start")
        if name:
            model = hub.load(str(name), device="cpu")
            start_from(self.starting(model), model.state_dict(), str(name), self.fresh)

    def starting(self, model: Restorer) -> nn.Module:
        """The part of the network that takes over the weights of ``model``."""
        return self.model

    @abstractmethod
    def validation(self, *, full: bool = False) -> Sequence[ValidationPair]:
        """Pairs never trained on: a quick selection for the loop, or all of them."""

    def open_validation(self) -> None:
        """See :meth:`Task.open_validation`."""
        self._pairs = list(self.validation())

    def validate(self, model: nn.Module) -> dict[str, float]:
        """See :meth:`Task.validate`: how many pairs, and their mean PSNR and SSIM."""
        processes, device = PartialState(), _device(model)
        mine = list(enumerate(self._pairs))[processes.process_index :: processes.num_processes]
        rows = gather_object([(index, validate(model, pair, device)) for index, pair in mine])
        rows = [row for _, row in sorted(rows, key=lambda item: item[0])]
        means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]} if rows else {}
        return {"pairs": len(rows), **means}

    def keep(self, folder: Path, model: nn.Module, step: int, figures: Mapping[str, float]) -> None:
        """See :meth:`Task.keep`: a weight file, and a sheet of the first pairs."""
        if self.recipe.sheet and self._pairs:
            sheet = sample_sheet(model, self._pairs[: self.recipe.sheet], _device(model))
            write_picture(folder / "sheets" / f"step-{step:07d}.png", sheet)
        write_weights(folder / WEIGHTS_FILE, model, self.recipe, step, figures)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def write_weights(path: Path, model: nn.Module, recipe: Recipe, step: int, figures: Mapping[str, float]) -> None:
    """Write a network in half precision with everything needed to rebuild and trace it, whole or not at all."""
    network = dict(recipe.network)
    tensors = {
        key: (value.half() if value.is_floating_point() else value).cpu() for key, value in model.state_dict().items()
    }
    save_file(
        path,
        str(network.pop("architecture")),
        network,
        tensors,
        {"name": recipe.name, **recipe.card},
        recipe=replace(recipe, card={}).to_yaml(),
        step=str(step),
        figures=json.dumps(figures, sort_keys=True),
    )
