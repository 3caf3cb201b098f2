"""Entries of a recipe's tables, checked before anything is trained: numbers, ranges, and what has to be there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from errors import UsageError


def number(value: Any, name: str, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf) -> float:
    """A finite number, which may be written as YAML 1.1 does not know it (``2e-4`` without a dot).

    Args:
        value: What the recipe has.
        name: Of the entry, for messages.
        least: The smallest that it may be.
        most: The largest that it may be.
        above: What it has to be larger than.

    Raises:
        UsageError: It is no such number.

    Example:
        >>> number("2e-4", "learning_rate", above=0)
        0.0002
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and least <= found <= most and found > above):
        raise UsageError(f"The recipe's {name} is {value!r}; it has to be a number{_bounds(least, most, above)}.")
    return found


def whole(value: Any, name: str, *, least: int, most: float = math.inf) -> int:
    """A whole number.

    Raises:
        UsageError: It is none, or is out of range.
    """
    found = number(value, name, least=least, most=most)
    if found != int(found):
        raise UsageError(f"The recipe's {name} is {value!r}; it has to be a whole number{_bounds(least, most)}.")
    return int(found)


def span(
    value: Any, name: str, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> tuple[float, float]:
    """A range [least, greatest] of two numbers, the first no larger than the second.

    Raises:
        UsageError: It is none, or reaches beyond what it may.
    """
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        low, high = (number(bound, name, least=least, most=most, above=above) for bound in value)
        if low <= high:
            return low, high
    bounds = _bounds(least, most, above)
    raise UsageError(f"The recipe's {name} is {value!r}; it has to be [least, greatest], two numbers{bounds}.")


def required(table: Mapping[str, Any], key: str, name: str) -> Any:
    """An entry that a table cannot do without.

    Raises:
        UsageError: It is not there.
    """
    if key not in table:
        raise UsageError(f"The recipe has no {name}.{key}; add it, as the recipes in training/recipes/ have it.")
    return table[key]


def table(value: Any, name: str) -> Mapping[str, Any]:
    """A table of names and values.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"The recipe's {name} is {value!r}; it has to be a table of names and values.")
    return value


def tables(value: Any, name: str) -> list[Mapping[str, Any]]:
    """A list of tables, such as stages.

    Raises:
        UsageError: It is none.
    """
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise UsageError(f"The recipe's {name} is {value!r}; it has to be a list of tables.")
    return [table(one, name) for one in value]


def weights(loss: Mapping[str, Any], terms: Sequence[str]) -> dict[str, float]:
    """Weights of the terms of a loss, 0 for those that the recipe's ``loss`` does not name.

    Raises:
        UsageError: One is negative or no number, or all are 0 and nothing would be learned.
    """
    found = {term: number(loss.get(term, 0.0), f"loss.{term}", least=0) for term in terms}
    if not any(found.values()):
        raise UsageError(f"No loss of the recipe has a weight; give one of {', '.join(terms)} a weight above 0.")
    return found


def _bounds(least: float, most: float, above: float = -math.inf) -> str:
    said = [f"above {above:g}"] if math.isfinite(above) else []
    said += [f"at least {least:g}"] if math.isfinite(least) else []
    said += [f"at most {most:g}"] if math.isfinite(most) else []
    return f" {' and '.join(said)}" if said else ""
