"""Task: what a training run learns, apart from how the loop runs.

A task draws samples, computes losses, and measures and keeps what came out. Samples are pure functions of the
recipe's seed and a running number, so a run that was killed, or that is spread over several processes, sees exactly
the samples it would have seen otherwise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from errors import UnknownNameError, UsageError, check_names
from training.optimizers import Optimizers
from training.recipe import Recipe
from training.schedule import learning_rate


class Task(nn.Module):
    """Base of all tasks.

    A subclass keeps whatever it trains as submodules and frozen networks elsewhere (in a list, say): every parameter
    of the task is optimised, every buffer saved.

    Attributes:
        recipe: What to do.
        model: The network whose moving average is measured and kept.
        step: Number of the step that is taken, from 0; the loop sets it.
        options: The recipe's tables to the entries that this task knows in them.
        shared: The same, of entries that a whole family of tasks knows.
        required: Entries that the recipe's ``data`` cannot do without.

    Raises:
        UnknownNameError: A table of the recipe has an entry that means nothing to the task.
        UsageError: The recipe's ``data`` lacks an entry.
    """

    model: nn.Module
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    shared: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    required: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        for table, known in self.options.items():
            check_names(f"{table} option", getattr(recipe, table), (*known, *self.shared.get(table, ())))
        if missing := [key for key in self.required if recipe.data.get(key) is None]:
            raise UsageError(
                f"The recipe's data has no {' and no '.join(missing)}; add it as training/recipes/ show it."
            )
        self.recipe, self.step = recipe, 0

    @abstractmethod
    def prepare(self, root: Path, cache: Path) -> None:
        """Open the data below ``root``, packing it into ``cache`` first if that was not done yet."""

    def start(self) -> None:
        """Give a fresh run's network its start weights; a run that goes on has its own."""

    @abstractmethod
    def sample(self, index: int) -> dict[str, Tensor]:
        """Sample number ``index``, without a batch dimension; a pure function of the recipe and the number."""

    @abstractmethod
    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch: scalars, of which ``loss`` is minimised and all are logged."""

    def learning_rate(self, step: int) -> float:
        """Rate of a step, from 0."""
        return learning_rate(self.recipe, step)

    def decay(self, step: int) -> float:
        """Decay of the weights' moving average after a step, from 0."""
        return self.recipe.ema

    def optimizers(self) -> Optimizers:
        """What steps the parameters."""
        return Optimizers(self, weight_decay=self.recipe.weight_decay, muon=self.recipe.muon)

    def open_validation(self) -> None:
        """Make ready what :meth:`validate` needs, so that what is wrong with it shows before the first step."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures of averaged weights on what is never trained on; several processes share the work and the result."""

    @abstractmethod
    def keep(self, folder: Path, model: nn.Module, step: int, figures: Mapping[str, float]) -> None:
        """Write averaged weights into the run's folder as they will be published, with what traces them.

        Args:
            folder: Of the run.
            model: The moving average.
            step: How many steps were taken.
            figures: Of :meth:`validate`.
        """


_TASKS = {
    "dehaze": ("training.dehaze", "DehazeTask"),
    "scl_lle": ("training.scl_lle", "SclLleTask"),
    "dark_noise": ("training.dark_noise", "DarkNoiseTask"),
    "ptg_rm": ("training.ptg_rm", "PtgRmTask"),
    "crl_sr": ("training.crl_sr", "CrlSrTask"),
    "haze_clip": ("training.haze_clip", "HazeClipTask"),
}


def create_task(recipe: Recipe) -> Task:
    """Build the task a recipe names; weights start from the recipe's seed if the caller has set it.

    Raises:
        UnknownNameError: No such task.
    """
    return task_type(recipe.task)(recipe)


def task_type(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        UnknownNameError: No such task.
    """
    if name not in _TASKS:
        raise UnknownNameError("training task", name, _TASKS)
    module, kind = _TASKS[name]
    return getattr(import_module(module), kind)
