"""Numbers of a recipe, checked before anything is trained."""

from __future__ import annotations

import math
from typing import Any

from errors import UsageError


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


def _bounds(least: float, most: float, above: float = -math.inf) -> str:
    said = [f"above {above:g}"] if math.isfinite(above) else []
    said += [f"at least {least:g}"] if math.isfinite(least) else []
    said += [f"at most {most:g}"] if math.isfinite(most) else []
    return f" {' and '.join(said)}" if said else ""
