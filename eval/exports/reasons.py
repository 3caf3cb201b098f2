"""Why images have no score: one sentence a reason, however many images it struck."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.exports.printed import failure_line, plain
from eval.rows import WHOLE_PICTURE
from eval.selection import Failure
from eval.wording import listed
from images import SUFFIXES

if TYPE_CHECKING:
    from eval.suite import Ranking

HEADS = ("Images", "Methods", "Scores", "Why there are none")
"""Headings of `table`."""

_MOST_NAMES = 10
_ENDING = rf"(?:{'|'.join(map(re.escape, SUFFIXES))})\b"


@dataclass(frozen=True)
class Reason:
    """Why some images have no score: the names it struck, and the error of the first image in full."""

    images: tuple[str, ...]
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    error: str


def grouped(failures: Iterable[Failure]) -> list[Reason]:
    """Reasons, the one with the most images first; those that differ only in file names and numbers are one."""
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(_pattern(failure), []).append(failure)
    found = [
        Reason(
            images=tuple(dict.fromkeys(failure.image for failure in group)),
            methods=tuple(sorted({failure.method for failure in group})),
            metrics=tuple(dict.fromkeys(failure.metric for failure in group)),
            error=plain(group[0].error),
        )
        for group in groups.values()
    ]
    return sorted(found, key=lambda reason: -len(reason.images))


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
    ordered = grouped(failures)
    found = [_sentence(reason, title) for reason in ordered[:most]]
    rest = len(ordered) - most
    if rest > 0:
        found.append(f"Reasons beyond these: {rest}; the rows have them all.")
    return found


def table(ranking: Ranking) -> list[tuple[str, str, str, str]]:
    """The missing scores of a ranking under `HEADS`, a row a reason; what the set lacks comes last."""
    rows = []
    for blamed, failures in (("", ranking.failures), ("every method", ranking.unreferenced)):
        for reason in grouped(failures):
            images, methods = listed(reason.images, _MOST_NAMES), blamed or listed(reason.methods, _MOST_NAMES)
            scores = listed([failure_line(ranking, metric) for metric in reason.metrics])
            example = "for example: " if len(reason.images) > 1 else ""
            rows.append((images, methods, scores, example + reason.error))
    return rows


def _pattern(failure: Failure) -> str:
    """The error without what is one picture's own."""
    stem = re.escape(failure.image.rpartition("/")[2].partition("#")[0])
    own = rf"(?<!\w){stem}(?:[\w.-]*{_ENDING})?(?!\w)"
    some_file = rf"[^\s'\"(,]+{_ENDING}"
    text = re.sub(f"{own}|{some_file}", "*", failure.error, flags=re.IGNORECASE)
    return re.sub(r"\d+", "0", text)


def _sentence(reason: Reason, title: Callable[[str], str]) -> str:
    count = len(reason.images)
    who, example = ("1 image has", "") if count == 1 else (f"{count} images have", ", for example")
    what = "score" if WHOLE_PICTURE in reason.metrics else listed([title(metric) for metric in reason.metrics])
    return f"{who} no {what} with {listed(reason.methods)}{example}: {reason.error}"
