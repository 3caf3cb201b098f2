"""What every printed form of a leaderboard shows, decided once: headings, cells, sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval import stats
from eval.column import show
from eval.rows import WHOLE_PICTURE
from eval.suite import called
from eval.wording import counted, listed

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard
    from eval.suite import Ranking

LIMITS = {"seconds_per_mpix": 3, "gmacs": 4, "peak_mib": 3, "used_mib": 3}  # significant digits
FAILED = "Failed images"
"""Heading of the column that counts, per method, the images that lack a score."""

_MOST_SETS = 3


@dataclass(frozen=True)
class Cell:
    """One metric of one method: the raw mean, its printed form, and what stands around it."""

    metric: str
    value: float
    text: str
    mark: str
    group: str
    low: float
    high: float
    interval: str


@dataclass(frozen=True)
class Line:
    """One method; `cells` hold the metrics of one set after the other."""

    rank: str
    method: str
    cells: tuple[Cell, ...]
    average_rank: str
    failures: int
    costs: tuple[str, ...]


def set_name(ranking: Ranking) -> str:
    """The set that was scored, or the sets, side by side or pooled; "" where a single one has no name."""
    if ranking.datasets == ("",):
        return ""
    names = [name or "unnamed" for name in ranking.datasets]
    rest = len(names) - _MOST_SETS
    return ", ".join(names[:_MOST_SETS]) + (f" and {rest} more" if rest > 0 else "")


def headline(ranking: Ranking) -> str:
    """What the table is of: the set and the protocol."""
    name = set_name(ranking)
    return f"Leaderboard{f' of {name}' if name else ''} ({ranking.protocol_name or 'unnamed protocol'})"


def groups(ranking: Ranking) -> list[tuple[str, int]]:
    """Name of each set and how many metric columns it has; nothing for a single board, whose columns need no name."""
    if len(ranking.boards) == 1:
        return []
    return [(called(board), len(board.metrics)) for board in ranking.boards]


def lines(ranking: Ranking) -> list[Line]:
    """The rows of the printed table, best first."""
    records = [{row["method"]: row for row in board.table.to_dict("records")} for board in ranking.boards]
    found = []
    for row in ranking.table.to_dict("records"):
        cells = tuple(
            _cell(board, rows[row["method"]], metric) if row["method"] in rows else _empty(metric)
            for board, rows in zip(ranking.boards, records, strict=True)
            for metric in board.metrics
        )
        costs = tuple(show_cost(name, row[name]) for name in cost_columns(ranking))
        rank = "–" if math.isnan(row["rank"]) else str(int(row["rank"]))
        found.append(Line(rank, row["method"], cells, show(row["average_rank"], 2), int(row["failures"]), costs))
    return found


def cost_columns(ranking: Ranking) -> tuple[str, ...]:
    """The efficiency columns that are printed: the device only where there are several, else it is a sentence."""
    return tuple(name for name in ranking.costs if name != "device" or len(_devices(ranking)) > 1)


def title(board: Leaderboard, metric: str) -> str:
    """Heading of a metric: title and direction."""
    spec = board.specs[metric]
    return f"{spec.title} {spec.arrow}"


def titles(ranking: Ranking) -> list[str]:
    """Headings of all metric columns, in their order."""
    return [title(board, metric) for board in ranking.boards for metric in board.metrics]


def show_cost(name: str, value: Any) -> str:
    """An efficiency figure as printed.

    Example:
        >>> show_cost("parameters", 2_614_000), show_cost("seconds_per_mpix", 0.04567)
        ('2.61 M', '0.0457')
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if name == "parameters":
        for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:.3g} {unit}"
        return f"{value:.0f}"
    if name in LIMITS:
        text = f"{float(value):.{LIMITS[name]}g}"
        return f"{float(text):g}" if "e" in text else text
    return str(value)


def sentences(ranking: Ranking, *, intervals: bool = True, average_rank: bool = True) -> list[str]:
    """What must be read with the table: what was scored and how, what the letters mean, what is missing.

    Args:
        ranking: What is printed.
        intervals: Whether the table shows them.
        average_rank: Whether the table shows it.
    """
    name = set_name(ranking)
    known = f"Set{'s' if len(ranking.datasets) > 1 else ''} {name}. " if name else ""
    found = [f"{known}Protocol {ranking.protocol}"]
    variants = [f"{ranking.specs[m].title}: {name}" for m, name in ranking.variants.items() if name]
    if variants:
        found.append(f"Implementations: {', '.join(variants)}.")
    found.append(f"Scores are means over images ({images(ranking)}).")
    if intervals and has_intervals(ranking):
        most = max(int(board.table[f"{m}_n"].max()) or 1 for board in ranking.boards for m in board.metrics)
        found.append(
            f"Intervals: {ranking.level:.0%} BCa bootstrap over images, expanded for small sets, "
            f"{stats.resamples_for(most):,} resamples, seed {stats.SEED}."
        )
    several = len(ranking.boards) > 1
    if has_letters(ranking):
        found.append(
            "Methods that share a letter cannot be told apart: two-sided paired Wilcoxon signed-rank tests with Holm's "
            f"correction, {stats.ALPHA:.0%} level, one family a {'set and ' if several else ''}metric."
        )
    if average_rank:
        over = "sets and metrics" if several else "metrics"
        found.append(f"Average rank: mean over {over} of a method's rank per image, 1 = best on every image.")
    if len(_devices(ranking)) == 1:
        found.append(f"Costs were measured on: {_devices(ranking)[0]}.")
    found.extend(ranking.notes)
    if ranking.unreferenced:
        found.append(unreferenced_line(ranking))
    if ranking.failures:
        counts = sorted((line.method, line.failures) for line in lines(ranking) if line.failures)
        found.append(f"{FAILED}: {', '.join(f'{method} {count}' for method, count in counts)}.")
    return found


def has_intervals(ranking: Ranking) -> bool:
    """Whether any mean has an interval."""
    return any(board.table[[f"{m}_low" for m in board.metrics]].notna().any(axis=None) for board in ranking.boards)


def has_letters(ranking: Ranking) -> bool:
    """Whether letters tell methods apart."""
    return any(any(board.groups.values()) for board in ranking.boards)


def images(ranking: Ranking) -> str:
    """How many images the means are over."""
    if len(ranking.boards) > 1:
        return "; ".join(f"{called(board)}: {images(board)}" for board in ranking.boards)
    board = ranking.boards[0]
    counts = {m: tuple(sorted({int(n) for n in board.table[f"{m}_n"] if n})) for m in board.metrics}
    if len(set(counts.values())) == 1:
        return _span(next(iter(counts.values())))
    return ", ".join(f"{board.specs[m].title}: {_span(n)}" for m, n in counts.items())


def failed_images(ranking: Ranking) -> str:
    """How many images lack a score of at least one method."""
    return counted(len({failure.image for failure in ranking.failures}), "image")


def unreferenced_line(ranking: Ranking) -> str:
    """Which images lack a reference, and with it which scores: a fact of the set that no method can help."""
    names = list(dict.fromkeys(failure.image for failure in ranking.unreferenced))
    lost = {failure.metric for failure in ranking.unreferenced}
    titles = listed([ranking.specs[metric].title for metric in ranking.metrics if metric in lost])
    who = f"{counted(len(names), 'image')} {'has' if len(names) == 1 else 'have'}"
    return f"{who} no usable reference, so no {titles}: {listed(names, 5)}."


def failure_line(ranking: Ranking, metric: str) -> str:
    """What failed, in the words of the table."""
    if metric == WHOLE_PICTURE:
        return "whole picture"
    return ranking.specs[metric].title if metric in ranking.specs else metric


def in_script(value: Any) -> str:
    """A raw number as JavaScript's `Number` reads it; "" where there is none.

    Example:
        >>> in_script(27.5), in_script(float("inf")), in_script(None)
        ('27.5', 'Infinity', '')
    """
    if value is None or math.isnan(value):
        return ""
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else repr(float(value))


def plain(text: str) -> str:
    """`text` on one line, without control characters: names come from files and forms."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, most: int) -> str:
    """`text` on one line and at most `most` characters long, cut with an ellipsis."""
    text = plain(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _cell(board: Leaderboard, row: dict[str, Any], metric: str) -> Cell:
    decimals = board.specs[metric].decimals
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    interval = "" if math.isnan(low) else f"[{show(low, decimals)}, {show(high, decimals)}]"
    return Cell(
        metric=metric,
        value=row[metric],
        text=show(row[metric], decimals),
        mark=board.marks.get((row["method"], metric), ""),
        group=board.groups.get((row["method"], metric), ""),
        low=low,
        high=high,
        interval=interval,
    )


def _empty(metric: str) -> Cell:
    """A method that the set has no rows of."""
    return Cell(metric, math.nan, show(math.nan, 0), "", "", math.nan, math.nan, "")


def _devices(ranking: Ranking) -> list[str]:
    return sorted(set(ranking.table["device"].dropna())) if "device" in ranking.costs else []


def _span(counts: tuple[int, ...]) -> str:
    if len(counts) > 1:
        return f"{counts[0]:,} to {counted(counts[-1], 'image')}"
    return counted(counts[0], "image") if counts else "no images"
