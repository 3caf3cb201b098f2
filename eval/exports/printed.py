"""What every printed form of a leaderboard shows, decided once: headings, cells, sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval import stats
from eval.column import show
from eval.rows import WHOLE_PICTURE
from eval.wording import listed

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard

ARROWS = {"higher": "↑", "lower": "↓"}
LIMITS = {"seconds_per_mpix": 3, "gmacs": 4, "peak_mib": 3}  # significant digits
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
    """One method."""

    rank: str
    method: str
    cells: tuple[Cell, ...]
    average_rank: str
    failures: int
    costs: tuple[str, ...]


def set_name(board: Leaderboard) -> str:
    """The set that was scored, or the sets that were pooled; "" where a single one has no name."""
    if board.datasets == ("",):
        return ""
    names = [name or "unnamed" for name in board.datasets]
    rest = len(names) - _MOST_SETS
    return ", ".join(names[:_MOST_SETS]) + (f" and {rest} more" if rest > 0 else "")


def headline(board: Leaderboard) -> str:
    """What the table is of: the set and the protocol."""
    name = set_name(board)
    return f"Leaderboard{f' of {name}' if name else ''} ({board.protocol_name or 'unnamed protocol'})"


def lines(board: Leaderboard) -> list[Line]:
    """The rows of the printed table, best first."""
    found = []
    for row in board.table.to_dict("records"):
        cells = tuple(_cell(board, row, metric) for metric in board.metrics)
        costs = tuple(show_cost(name, row[name]) for name in cost_columns(board))
        rank = "–" if math.isnan(row["rank"]) else str(int(row["rank"]))
        found.append(Line(rank, row["method"], cells, show(row["average_rank"], 2), int(row["failures"]), costs))
    return found


def cost_columns(board: Leaderboard) -> tuple[str, ...]:
    """The efficiency columns that are printed: the device only where there are several, else it is a sentence."""
    return tuple(name for name in board.costs if name != "device" or len(_devices(board)) > 1)


def title(board: Leaderboard, metric: str) -> str:
    """Heading of a metric: title and direction."""
    spec = board.specs[metric]
    return f"{spec.title} {ARROWS[spec.better]}"


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


def sentences(board: Leaderboard) -> list[str]:
    """What must be read with the table: what was scored and how, what the letters mean, what is missing."""
    name = set_name(board)
    known = f"Set{'s' if len(board.datasets) > 1 else ''} {name}. " if name else ""
    found = [f"{known}Protocol {board.protocol}"]
    variants = [f"{board.specs[m].title}: {name}" for m, name in board.variants.items() if name]
    if variants:
        found.append(f"Implementations: {', '.join(variants)}.")
    found.append(f"Scores are means over images ({images(board)}).")
    if has_intervals(board):
        fewest = stats.resamples_for(max(int(board.table[f"{m}_n"].max()) or 1 for m in board.metrics))
        found.append(
            f"Intervals: {board.level:.0%} BCa bootstrap over images, expanded for small sets, "
            f"{fewest:,} resamples, seed {stats.SEED}."
        )
    if any(board.groups.values()):
        found.append(
            "Methods that share a letter cannot be told apart: two-sided paired Wilcoxon signed-rank tests with Holm's "
            "correction, 5% level, one family a metric."
        )
    found.append("Average rank: mean over metrics of a method's rank per image, 1 = best on every image.")
    if len(_devices(board)) == 1:
        found.append(f"Costs were measured on: {_devices(board)[0]}.")
    found.extend(board.notes)
    if board.unreferenced:
        found.append(unreferenced_line(board))
    if board.failures:
        counts = sorted((line.method, line.failures) for line in lines(board) if line.failures)
        found.append(f"{FAILED}: {', '.join(f'{method} {count}' for method, count in counts)}.")
    return found


def has_intervals(board: Leaderboard) -> bool:
    """Whether any mean has an interval."""
    return bool(board.table[[f"{metric}_low" for metric in board.metrics]].notna().any(axis=None))


def images(board: Leaderboard) -> str:
    """How many images the means are over."""
    counts = {m: tuple(sorted({int(n) for n in board.table[f"{m}_n"] if n})) for m in board.metrics}
    if len(set(counts.values())) == 1:
        return f"{_span(next(iter(counts.values())))} images"
    return ", ".join(f"{board.specs[m].title}: {_span(n)} images" for m, n in counts.items())


def failed_images(board: Leaderboard) -> str:
    """How many images lack a score of at least one method."""
    count = len({failure.image for failure in board.failures})
    return f"{count} image{'s' if count != 1 else ''}"


def unreferenced_line(board: Leaderboard) -> str:
    """Which images lack a reference, and with it which scores: a fact of the set that no method can help."""
    names = list(dict.fromkeys(failure.image for failure in board.unreferenced))
    lost = {failure.metric for failure in board.unreferenced}
    titles = listed([board.specs[metric].title for metric in board.metrics if metric in lost])
    who = "1 image has" if len(names) == 1 else f"{len(names)} images have"
    return f"{who} no usable reference, so no {titles}: {listed(names, 5)}."


def failure_line(board: Leaderboard, metric: str) -> str:
    """What failed, in the words of the table."""
    if metric == WHOLE_PICTURE:
        return "whole picture"
    return board.specs[metric].title if metric in board.specs else metric


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


def _devices(board: Leaderboard) -> list[str]:
    return sorted(set(board.table["device"].dropna())) if "device" in board.costs else []


def _span(counts: tuple[int, ...]) -> str:
    if not counts:
        return "no"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
