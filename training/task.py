"""Task: what a training run learns, apart from how the loop runs.

A task draws samples, computes losses, and offers validation pairs. Samples are pure functions of the recipe's seed
and a running number, so a run that was killed, or that is spread over several processes, sees exactly the samples it
would have seen otherwise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from errors import UnknownNameError, UsageError, check_names, first_line
from eval.protocol import DEFAULT
from restorers.base import Restorer
from restorers.networks import architecture
from training.recipe import Recipe


@dataclass(frozen=True)
class Pair:
    """A picture to restore and what it should become; made when it is needed.

    Attributes:
        name: For tables and messages.
        make: Returns the input and the reference, each (1, 3, H, W) in [0, 1].
    """

    name: str
    make: Callable[[], tuple[Tensor, Tensor]]


class Task(nn.Module):
    """Base of all tasks.

    A subclass keeps whatever it trains as submodules and frozen networks elsewhere (in a list, say): every parameter
    of the task is optimised, every buffer saved.

    Attributes:
        recipe: What to do.
        model: The restorer that is trained, validated and kept.
        protocol: By which a run is evaluated before it is published.
        step: Number of the step that is taken, from 0; the loop sets it.
        options: The recipe's tables to the entries that this task knows in them.

    Raises:
        UnknownNameError: A table of the recipe has an entry that means nothing to the task.
        UsageError: The network cannot be built as the recipe says.
    """

    protocol: str = DEFAULT
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        for table, known in self.options.items():
            check_names(f"{table} option", getattr(recipe, table), known)
        self.recipe, self.step = recipe, 0
        arguments = dict(recipe.network)
        kind = architecture(str(arguments.pop("architecture", ""))).load()
        try:
            self.model: Restorer = kind(**arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"The recipe's network cannot be built ({first_line(error)}); mend its entries."
            ) from error

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

    @abstractmethod
    def validation(self, *, full: bool = False) -> Sequence[Pair]:
        """Pairs never trained on: a quick selection for the loop, or all of them."""


_TASKS = {
    "dehaze": ("training.dehaze", "DehazeTask"),
    "scl_lle": ("training.scl_lle", "SclLleTask"),
    "ptg_rm": ("training.ptg_rm", "PtgRmTask"),
    "crl_sr": ("training.crl_sr", "CrlSrTask"),
}


def create_task(recipe: Recipe) -> Task:
    """Build the task a recipe names; weights start from the recipe's seed if the caller has set it.

    Raises:
        UnknownNameError: No such task.
    """
    if recipe.task not in _TASKS:
        raise UnknownNameError("training task", recipe.task, _TASKS)
    module, name = _TASKS[recipe.task]
    return getattr(import_module(module), name)(recipe)
