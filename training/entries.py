"""Numbers of a recipe, checked before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from errors import UnknownNameError, UsageError


def number(
    value: Any, name: str, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> float:
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


def whole(value: Any, name: str, *, least: int = 0) -> int:
    """A whole number.

    Args:
        value: What the recipe has.
        name: Of the entry, for messages.
        least: The smallest that it may be.

    Raises:
        UsageError: It is no such number.
    """
    with suppress(UsageError):
        found = number(value, name, least=least)
        if found == int(found):
            return int(found)
    raise UsageError(f"The recipe's {name} is {value!r}; it has to be a whole number of at least {least}.")


def between(
    value: Any, name: str, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> tuple[float, float]:
    """Two numbers that something is drawn between: [least, greatest].

    Args:
        value: What the recipe has.
        name: Of the entry, for messages.
        least: The smallest that they may be.
        most: The largest that they may be.
        above: What they have to be larger than.

    Raises:
        UsageError: They are no such numbers.
    """
    if isinstance(value, (list, tuple)) and len(value) == 2:
        low, high = (number(end, name, least=least, most=most, above=above) for end in value)
        if low <= high:
            return low, high
    raise UsageError(
        f"The recipe's {name} is {value!r}; it has to be [least, greatest], numbers{_bounds(least, most, above)}."
    )


def table(value: Any, name: str) -> Mapping[str, Any]:
    """A table of names and values.

    Args:
        value: What the recipe has.
        name: Of the entry, for messages.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"The recipe's {name} is {value!r}; it has to be a table of names and values.")
    return value


def one_of(value: Any, name: str, known: Sequence[str]) -> str:
    """One of a few words.

    Raises:
        UnknownNameError: It is none of them.
    """
    if value not in known:
        raise UnknownNameError(name, str(value), known)
    return str(value)


def weights(loss: Mapping[str, Any], terms: Sequence[str]) -> dict[str, float]:
    """How much the terms of a loss weigh; absent ones nothing.

    Args:
        loss: The recipe's table.
        terms: What has a weight.

    Raises:
        UsageError: A weight is no number of at least 0, or none is above it, by which nothing would be learned.
    """
    found = {term: number(loss.get(term, 0.0), f"loss.{term}", least=0) for term in terms}
    if not any(found.values()):
        raise UsageError(
            f"The recipe's loss weighs nothing, so nothing would be learned; give one of {', '.join(terms)} a weight."
        )
    return found


def _bounds(least: float, most: float, above: float = -math.inf) -> str:
    said = [f"above {above:g}"] if math.isfinite(above) else []
    said += [f"of at least {least:g}"] if math.isfinite(least) else []
    said += [f"at most {most:g}"] if math.isfinite(most) else []
    return f" {' and '.join(said)}" if said else ""
