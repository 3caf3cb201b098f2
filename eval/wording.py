"""Names as words."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], most: int | None = None) -> str:
    """Names in a sentence, those beyond `most` counted.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], 1)
        ('a, b and c', 'a and 2 more')
    """
    if most is not None and len(names) > most:
        return some(names, most)
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def some(names: Sequence[str], most: int = 5) -> str:
    """Names as examples, those beyond `most` counted.

    Example:
        >>> some(["a", "b", "c"]), some(["a", "b", "c"], 2)
        ('a, b, c', 'a, b and 1 more')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "picture"), counted(2000, "picture")
        ('1 picture', '2,000 pictures')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
