"""What the tasks of all restorers share: the network by its architecture, pairs to validate on, the weight file."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn

from errors import UsageError, first_line
from eval.protocol import DEFAULT
from images import write_picture
from restorers.base import Restorer
from restorers.checkpoint import save_file
from restorers.networks import architecture
from training.recipe import Recipe
from training.task import Task
from training.validate import ValidationPair, sample_sheet, validate

WEIGHTS_FILE = "weights.safetensors"
"""In a run's folder: the averaged weights of the last validation."""


class RestorerTask(Task):
    """Base of the tasks that train a restorer.

    Attributes:
        model: The restorer.
        protocol: By which a run is evaluated before it is published.

    Raises:
        UnknownNameError: A table of the recipe has an entry that means nothing to the task.
        UsageError: The network cannot be built as the recipe says.
    """

    model: Restorer
    protocol: str = DEFAULT

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
        self._pairs: list[ValidationPair] = []

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
