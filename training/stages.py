"""Stages of a run: tables that hold until a step, in order; what a step gets depends on the step alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

from errors import UsageError
from training.entries import number

T = TypeVar("T")


class Stages(Generic[T]):
    """What holds in which step, so that a resumed run is the uninterrupted one.

    Args:
        until: For each stage the first step that is no longer of it.
        values: What holds in each.
        after: What holds after the last of them.

    Example:
        >>> stages = Stages([100, 200], ["small", "large"], "whole")
        >>> [stages.at(step) for step in (0, 99, 100, 200)]
        ['small', 'small', 'large', 'whole']
    """

    def __init__(self, until: Sequence[int], values: Sequence[T], after: T) -> None:
        self._stages = list(zip(until, values, strict=True))
        self._after = after

    def at(self, step: int) -> T:
        """What holds in ``step``."""
        return next((value for until, value in self._stages if step < until), self._after)


def ends(tables: Sequence[Mapping[str, Any]], what: str) -> list[int]:
    """The ``until`` of a recipe's stages.

    Args:
        tables: The recipe's stages.
        what: Their entry in the recipe, for messages.

    Raises:
        UsageError: They are no tables, or a stage has none or ends before the one before it.
    """
    if not isinstance(tables, (list, tuple)) or not all(isinstance(table, Mapping) for table in tables):
        raise UsageError(f"The recipe's {what} is {tables!r}; it has to be a list of tables, each with 'until'.")
    steps = [int(number(table.get("until", -1), f"{what}.until")) for table in tables]
    if any(step < 0 for step in steps) or any(b <= a for a, b in pairwise(steps)):
        raise UsageError(f"Every stage of a recipe's {what} needs 'until', a step later than the one before.")
    return steps
