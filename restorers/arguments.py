"""Checks of what networks are built with: a stranger's ``config.json`` and a recipe may say anything.

All of them raise ValueError with a clause that names the argument; whoever read the file makes a sentence of it.
"""

from __future__ import annotations

from collections.abc import Sequence


def check_whole(name: str, value: object, least: int = 1, *, optional: bool = False) -> None:
    """Refuse what is no whole number of at least ``least``.

    Args:
        name: Of the argument.
        value: What came.
        least: Smallest number.
        optional: Whether None is right, too.

    Raises:
        ValueError: It is something else.
    """
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is a whole number from {least}{' or none' if optional else ''}, not {value!r}")


def check_sides(value: object, least: int) -> None:
    """Refuse what is neither None, a side in pixels of at least ``least``, nor several of them.

    Raises:
        ValueError: It is something else.
    """
    several = isinstance(value, Sequence) and not isinstance(value, str) and value
    for side in value if several else [value]:
        check_whole("side", side, least, optional=not several)


def check_share(name: str, value: object) -> None:
    """Refuse what is neither None nor a number between 0 and 1.

    Raises:
        ValueError: It is something else.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1):
        raise ValueError(f"{name} is a number between 0 and 1 or none, not {value!r}")
