"""Leaderboards of several sets as one table: a group of metric columns a set, and no score pooled over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from errors import UsageError, check_names
from eval import stats
from eval.column import sort_value
from eval.leaderboard import COSTS, Leaderboard, build, check_costs
from eval.protocol import Protocol
from eval.rows import WHOLE_PICTURE
from eval.selection import Failure, comparable
from images import natural_key

if TYPE_CHECKING:
    import pandas

    from eval.efficiency import Efficiency
    from eval.metrics.spec import MetricSpec


@dataclass(frozen=True, eq=False)
class Suite:
    """What `Leaderboard` tells of one set, of several; marks, letters, tests and intervals stay those of each set.

    Attributes:
        boards: One leaderboard a set, in the order of the columns; all of one protocol.
        table: One row a method, best first: `rank`, `method`, `average_rank` (the mean over the sets; NaN for a method
            that lacks one), `failures` (their sum), then the costs that are the same on every set.
        notes: What a reader must know to read the table right.
    """

    boards: tuple[Leaderboard, ...]
    table: pandas.DataFrame
    notes: tuple[str, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Method names, best first."""
        return tuple(self.table["method"])

    @property
    def costs(self) -> tuple[str, ...]:
        """The efficiency columns this table has."""
        return tuple(name for name in COSTS if name in self.table.columns)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the sets, in the order of the columns."""
        return tuple(name for board in self.boards for name in board.datasets)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that any set has."""
        return tuple(dict.fromkeys(metric for board in self.boards for metric in board.metrics))

    @cached_property
    def specs(self) -> dict[str, MetricSpec]:
        """Direction, decimals and title of each metric."""
        return {metric: spec for board in self.boards for metric, spec in board.specs.items()}

    @cached_property
    def variants(self) -> dict[str, str]:
        """Per metric, the implementation where there are several, else ""."""
        found = {metric: name for board in self.boards for metric, name in board.variants.items() if name}
        return {metric: found.get(metric, "") for metric in self.metrics}

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Scores that could not be computed; images as SET/IMAGE."""
        return tuple(_of_set(board, failure) for board in self.boards for failure in board.failures)

    @property
    def unreferenced(self) -> tuple[Failure, ...]:
        """Scores that nobody can compute; images as SET/IMAGE."""
        return tuple(_of_set(board, failure) for board in self.boards for failure in board.unreferenced)

    @property
    def protocol(self) -> str:
        """One sentence that says how the numbers were made."""
        return self.boards[0].protocol

    @property
    def protocol_name(self) -> str:
        """Name of the protocol."""
        return self.boards[0].protocol_name

    @property
    def protocol_hash(self) -> str:
        """Its hash."""
        return self.boards[0].protocol_hash

    @property
    def code_versions(self) -> tuple[str, ...]:
        """Versions of this project that computed the rows."""
        return tuple(sorted({version for board in self.boards for version in board.code_versions}))

    @property
    def level(self) -> float:
        """Coverage of the intervals."""
        return self.boards[0].level


Ranking: TypeAlias = Leaderboard | Suite
"""What the printed forms print."""


def build_suite(
    frame: pandas.DataFrame,
    *,
    protocol: str | Protocol | None = None,
    datasets: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    sort_by: str = "average_rank",
    costs: Mapping[str, Efficiency] | None = None,
    **options: Any,
) -> Ranking:
    """Rank the methods on every set by itself.

    Args:
        frame: Score rows, as for `eval.leaderboard.build`.
        protocol: As for `build`.
        datasets: Which sets, in the order of the columns; None takes all, by name, numbers in them by value.
        metrics: Which metrics, in which order; a set shows those of them that it has.
        methods: Which methods; a set that lacks one shows it without scores.
        sort_by: `"average_rank"` or a metric; methods are sorted by its mean over the sets.
        costs: As for `build`.
        options: Further options of `build`, for every set: images, timings, specs, decimals, level.

    Returns:
        The set's leaderboard where there is but one, else all of them.

    Raises:
        UsageError: There are no rows to rank, or times of several sets are asked for.
        ProtocolError: The rows mix protocols or metric variants.
        UnknownNameError: A method or metric that no set has.
        MetricError: A set has rows, but every one of them is an error.
    """
    rows, notes = comparable(frame, protocol=protocol, datasets=datasets)
    names = list(dict.fromkeys(datasets)) if datasets else sorted(rows["dataset"].unique(), key=natural_key)
    if len(names) == 1:
        chosen = {"metrics": metrics, "methods": methods, "sort_by": sort_by, "costs": costs}
        return build(frame, protocol=protocol, dataset=names[0], **chosen, **options)
    if options.get("timings"):
        raise UsageError("Restoring times are those of one set; choose one set, or pool them.")
    check_names("method in these rows", methods or (), sorted(rows["method"].unique()))
    check_names("metric in these rows", metrics or (), sorted(set(rows["metric"]) - {WHOLE_PICTURE}))
    if methods:
        rows = rows[rows["method"].isin(methods)]
    check_costs(costs, sorted(rows["method"].unique()))
    boards = []
    for name in names:
        part = rows[rows["dataset"] == name]
        there = set(part["metric"])
        wanted = [metric for metric in metrics or () if metric in there]
        if part.empty or (metrics and not wanted and there != {WHOLE_PICTURE}):
            raise UsageError(f"The set {name!r} has no rows of these methods and metrics; choose sets without it.")
        known = {method: cost for method, cost in (costs or {}).items() if method in set(part["method"])}
        boards.append(build(part, protocol=protocol, metrics=wanted or None, sort_by=sort_by, costs=known, **options))
    told = [f"{called(board)}: {note}" for board in boards for note in board.notes]
    return Suite(tuple(boards), _table(boards, sort_by), (*notes, *told))


def _table(boards: Sequence[Leaderboard], sort_by: str) -> pandas.DataFrame:
    import pandas

    rows = [{row["method"]: row for row in board.table.to_dict("records")} for board in boards]
    better = "lower" if sort_by == "average_rank" else boards[0].specs[sort_by].better
    records = []
    for method in sorted({method for found in rows for method in found}):
        own = [found[method] for found in rows if method in found]
        everywhere = len(own) == len(boards)
        means = {c: stats.mean([r[c] for r in own]) if everywhere else math.nan for c in ("average_rank", sort_by)}
        place = round(sort_value(means[sort_by], better), 9)
        failed = sum(row["failures"] for row in own)
        average = means["average_rank"]
        records.append(
            {"rank": place, "method": method, "average_rank": average, "failures": failed} | _same_costs(own)
        )
    records.sort(key=lambda record: (record["rank"], record["method"]))
    places = [record["rank"] for record in records]
    table = pandas.DataFrame(records)
    table["rank"] = [math.nan if math.isinf(place) else places.index(place) + 1 for place in places]
    return table


def _same_costs(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Costs of a method that all its sets know and agree on."""
    found = {}
    for name in COSTS:
        values = {row.get(name) for row in rows}
        value = values.pop()
        if not values and value is not None and value == value:
            found[name] = value
    return found


def called(board: Leaderboard) -> str:
    """Name of a board's set among others."""
    return board.datasets[0] or "unnamed"


def _of_set(board: Leaderboard, failure: Failure) -> Failure:
    return replace(failure, image=f"{called(board)}/{failure.image}")
