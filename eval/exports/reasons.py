"""Why images have no score: one sentence a reason, however many images it struck."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from eval.exports.printed import plain
from eval.rows import WHOLE_PICTURE
from eval.selection import Failure
from images import SUFFIXES

_ENDING = rf"(?:{'|'.join(map(re.escape, SUFFIXES))})\b"


def reasons(failures: Iterable[Failure], title: Callable[[str], str], most: int = 10) -> list[str]:
    """One sentence a reason, the one with the most images first.

    Reasons that differ only in file names and numbers are one; the sentence quotes the first.

    Args:
        failures: Scores that do not exist.
        title: A metric's name to its title.
        most: Sentences after which the rest is only counted.

    Example:
        >>> lost = [Failure(i, "input", "psnr", f"{i}.png has no reference.") for i in ("0003", "0007")]
        >>> reasons(lost, str.upper)
        ['2 images have no PSNR with input, for example: 0003.png has no reference.']
    """
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(_pattern(failure), []).append(failure)
    ordered = sorted(groups.values(), key=lambda group: -_count(group))
    found = [_sentence(group, title) for group in ordered[:most]]
    rest = len(ordered) - most
    if rest > 0:
        found.append(f"Reasons beyond these: {rest}; the rows have them all.")
    return found


def _pattern(failure: Failure) -> str:
    """The error without what is one picture's own."""
    stem = re.escape(failure.image.rpartition("/")[2].partition("#")[0])
    own = rf"(?<!\w){stem}(?:[\w.-]*{_ENDING})?(?!\w)"
    some_file = rf"[^\s'\"(,]+{_ENDING}"
    text = re.sub(f"{own}|{some_file}", "*", failure.error, flags=re.IGNORECASE)
    return re.sub(r"\d+", "0", text)


def _count(group: Sequence[Failure]) -> int:
    return len({failure.image for failure in group})


def _sentence(group: Sequence[Failure], title: Callable[[str], str]) -> str:
    count, metrics = _count(group), list(dict.fromkeys(failure.metric for failure in group))
    who, example = ("1 image has", "") if count == 1 else (f"{count} images have", ", for example")
    what = "score" if WHOLE_PICTURE in metrics else _listed([title(metric) for metric in metrics])
    methods = _listed(sorted({failure.method for failure in group}))
    return f"{who} no {what} with {methods}{example}: {plain(group[0].error)}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
