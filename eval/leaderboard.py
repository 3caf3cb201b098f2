"""Score rows in, a ranking with its uncertainty out.

`build` gives raw numbers; what is printed (`shown`), what is bold or underlined (`marks`) and which methods cannot be
told apart (`groups`) stand beside them and never replace them. The exports are views of a `Leaderboard`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from errors import MetricError, UnknownNameError, UsageError
from eval import stats
from eval.cases import compare, worst_cases
from eval.column import Column, PairedTest, show, sort_value
from eval.rows import WHOLE_PICTURE
from eval.selection import Failure, Selection, select

if TYPE_CHECKING:
    import pandas

    from eval.efficiency import Efficiency
    from eval.metrics.spec import MetricSpec

__all__ = ["COSTS", "Leaderboard", "PairedTest", "build", "compare", "show", "worst_cases"]

COSTS = {
    "parameters": "Params",
    "gmacs": "GMACs",
    "seconds_per_mpix": "s/MPix",
    "peak_mib": "Peak MiB",
    "device": "Device",
}
"""Efficiency columns of a leaderboard's table and their headings. None of them is ranked."""

_EVERYWHERE = ("parameters", "gmacs")
"""Costs that are the same on every machine: known for the built-in methods without measuring."""


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A ranking of methods.

    Attributes:
        metrics: Metric names, in the order of the columns.
        specs: Direction, decimals and title of each metric.
        table: Raw numbers, one row a method, best first: `rank`, `method`, one column a metric (its mean),
            `average_rank`, `images`, `failures`; then per metric `_low _high _median _std _n _infinite _rank
            _average_rank _group`, where `_n` counts the images behind mean, median and spread and `_infinite` those
            with an infinite score; then the columns of `COSTS` that are known, and `weights_sha256`, `code_version`.
        shown: The same rows as a person reads them: method and one string a metric, rounded to the metric's decimals.
        marks: (method, metric) -> "best" or "second"; ties at the shown precision share.
        groups: (method, metric) -> letters; methods that share one cannot be told apart. "" where no test can succeed.
        tests: Every pair of methods on every metric.
        values: Per metric, the scores behind the means: a table (image x method).
        common: Per metric, how many images every ranked method has.
        failures: Scores that could not be computed, and why; the table's column `failures` counts their images.
        unreferenced: Scores that nobody can compute, because the set has no usable reference for the image.
        datasets: Names of the sets that were scored, sorted; "" is a set without a name.
        protocol: One sentence that says how the numbers were made.
        protocol_name, protocol_hash: Name and hash of the protocol.
        variants: Per metric, the implementation where there are several, else "".
        code_versions: Versions of this project that computed the rows.
        level: Coverage of the intervals.
        notes: What a reader must know to read the table right.
        protocol_json: The protocol's fields, where it is known by name.
    """

    metrics: tuple[str, ...]
    specs: dict[str, MetricSpec]
    table: pandas.DataFrame
    shown: pandas.DataFrame
    marks: dict[tuple[str, str], str]
    groups: dict[tuple[str, str], str]
    tests: tuple[PairedTest, ...]
    values: dict[str, pandas.DataFrame]
    common: dict[str, int]
    failures: tuple[Failure, ...]
    unreferenced: tuple[Failure, ...]
    datasets: tuple[str, ...]
    protocol: str
    protocol_name: str
    protocol_hash: str
    variants: dict[str, str]
    code_versions: tuple[str, ...]
    level: float
    notes: tuple[str, ...]
    protocol_json: dict[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Method names, best first."""
        return tuple(self.table["method"])

    @property
    def costs(self) -> tuple[str, ...]:
        """The efficiency columns this board has."""
        return tuple(name for name in COSTS if name in self.table.columns)

    def raw(self, method: str, column: str) -> Any:
        """One raw cell of `table`."""
        return self.table.loc[self.table["method"] == method, column].iloc[0]

    def win_tie_loss(self, metric: str) -> dict[tuple[str, str], tuple[int, int, int]]:
        """(a, b) -> images where a is better, equal, worse than b, for both orders of every pair."""
        matrix = {}
        for test in self.tests:
            if test.metric == metric:
                matrix[test.a, test.b] = (test.wins, test.ties, test.losses)
                matrix[test.b, test.a] = (test.losses, test.ties, test.wins)
        return matrix


def build(
    frame: pandas.DataFrame,
    *,
    protocol_hash: str | None = None,
    dataset: str | None = None,
    metrics: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    images: str = "common",
    sort_by: str = "average_rank",
    costs: Mapping[str, Efficiency] | None = None,
    timings: bool = False,
    specs: Mapping[str, MetricSpec] | None = None,
    level: float = stats.LEVEL,
) -> Leaderboard:
    """Rank the methods of score rows.

    A metric's column is the mean over images. Ranks, tests and win counts use the images that every method has; so do
    the means, unless `images="all"`, where each method keeps its own images and no best is marked if they differ.
    `average_rank` is the mean over metrics of a method's average rank per image (1 = best on every image).

    Args:
        frame: Score rows with the columns of `eval.rows.COLUMNS`, in any order.
        protocol_hash: Which protocol to rank when `frame` holds several.
        dataset: Which set to rank when `frame` holds several; None pools them, and says so.
        metrics: Which metrics, in which order; None takes all, registry order.
        methods: Which methods; None takes all.
        images: `"common"` or `"all"`.
        sort_by: `"average_rank"` or a metric name.
        costs: Efficiency of methods, shown beside the scores. Of built-in methods parameters and GMACs are known
            without.
        timings: Show the restoring times and memory that the rows carry, for methods without an entry in `costs`.
            Off by default: they change from run to run, and a table should not.
        specs: Metric facts; the registry's where None.
        level: Coverage of the bootstrap intervals.

    Raises:
        ProtocolError: The rows mix protocols or metric variants: such numbers are never ranked together.
        UnknownNameError: A method or metric that has no rows.
        UsageError: There are no rows to rank.
        MetricError: There are rows, but every one of them is an error.
    """
    if images not in ("common", "all"):
        raise UsageError(f"images must be 'common' or 'all', not {images!r}.")
    chosen = select(frame, protocol_hash=protocol_hash, dataset=dataset, ordered=_registry_order(metrics))
    if all(table.empty for table in chosen.values.values()):
        reason = chosen.failures[0].error if chosen.failures else "the rows hold no value."
        raise MetricError(f"No score could be computed, so nothing can be ranked. First reason: {reason}")
    names = _pick("method", methods, sorted(chosen.provenance))
    wanted = _pick("metric", metrics, list(chosen.values))
    facts = {metric: specs[metric] if specs else _spec(metric) for metric in wanted}
    notes: list[tuple[str, str]] = []
    columns = {m: Column.of(m, facts[m], chosen.values[m], names, images, level, notes) for m in wanted}
    lost = [f for f in chosen.failures if f.method in names and f.metric in (*wanted, WHOLE_PICTURE)]
    comparing = {metric for metric in wanted if facts[metric].needs_reference}
    unreferenced = tuple(f for f in lost if f.metric in comparing and chosen.lacks_reference(f))
    failures = tuple(sorted(set(lost) - set(unreferenced)))
    table = _table(names, columns, failures, sort_by)
    table = _with_trace(table, chosen, costs or {}, timings)
    sentence, protocol_json = _protocol(chosen.protocol, chosen.protocol_hash)
    order = list(table["method"])
    return Leaderboard(
        metrics=tuple(wanted),
        specs=facts,
        table=table,
        shown=_shown(order, columns),
        marks={(name, m): mark for m, column in columns.items() for name, mark in column.marks().items()},
        groups={(name, m): group for m, column in columns.items() for name, group in column.groups.items()},
        tests=tuple(test for column in columns.values() for test in column.tests(order)),
        values={m: column.used[[n for n in order if n in column.used]] for m, column in columns.items()},
        common={m: len(column.common) for m, column in columns.items()},
        failures=failures,
        unreferenced=unreferenced,
        datasets=chosen.datasets,
        protocol=sentence,
        protocol_name=chosen.protocol,
        protocol_hash=chosen.protocol_hash,
        variants={m: chosen.variants.get(m, "") for m in wanted},
        code_versions=tuple(sorted({v for n in names for v in chosen.provenance[n]["code_version"]})),
        level=level,
        notes=(*chosen.notes, *_joined(notes)),
        protocol_json=protocol_json,
    )


def _table(
    names: Sequence[str], columns: Mapping[str, Column], failures: Sequence[Failure], sort_by: str
) -> pandas.DataFrame:
    import pandas

    if sort_by != "average_rank" and sort_by not in columns:
        raise UnknownNameError("column to sort by", sort_by, ["average_rank", *columns])
    records = []
    for name in names:
        details = {key: value for column in columns.values() for key, value in column.cells(name).items()}
        ranks = [details[f"{m}_average_rank"] for m, column in columns.items() if len(column.used)]
        complete = all(math.isfinite(rank) for rank in ranks)
        records.append(
            {
                "method": name,
                **{m: column.mean(name) for m, column in columns.items()},
                "average_rank": stats.mean(ranks) if complete else math.nan,
                "images": max(column.images(name) for column in columns.values()),
                "failures": len({f.image for f in failures if f.method == name}),
                **details,
            }
        )

    def place(record: dict[str, Any]) -> float:
        better = "lower" if sort_by == "average_rank" else columns[sort_by].spec.better
        return round(sort_value(record[sort_by], better), 9)

    first = next(iter(columns.values()))
    records.sort(key=lambda r: (place(r), sort_value(r[first.metric], first.spec.better), r["method"]))
    places = [place(record) for record in records]
    ranks = [
        math.nan if math.isinf(p) and math.isnan(r[sort_by]) else places.index(p) + 1
        for p, r in zip(places, records, strict=True)
    ]
    return pandas.DataFrame([{"rank": rank, **record} for rank, record in zip(ranks, records, strict=True)])


def _with_trace(
    table: pandas.DataFrame, chosen: Selection, costs: Mapping[str, Efficiency], timings: bool
) -> pandas.DataFrame:
    """Add what the methods cost, as far as anything is known, and where their numbers come from."""
    table = table.copy()
    for name in COSTS:
        cells = []
        for method in table["method"]:
            made = chosen.provenance[method]
            measured = getattr(costs.get(method), name, None)
            if measured is None and name in _EVERYWHERE:
                measured = getattr(_built_in(method, made), name, None)
            if measured is None and timings and name in ("seconds_per_mpix", "peak_mib"):
                measured = getattr(chosen, name).get(method)
            if measured is None and name == "device" and (method in costs or timings):
                measured = " ".join(made["device"]) or None
            cells.append(measured)
        if any(cell is not None for cell in cells):
            table[name] = cells
    for name in ("weights_sha256", "code_version"):
        table[name] = [" ".join(chosen.provenance[method][name]) for method in table["method"]]
    return table


def _built_in(method: str, made: Mapping[str, Sequence[str]]) -> Efficiency | None:
    """What a built-in method costs, if these rows are its work: restored here, and with those weights."""
    from eval import efficiency

    known = efficiency.built_in().get(method)
    return known if known and made["device"] and " ".join(made["weights_sha256"]) == known.weights_sha256 else None


def _shown(order: Sequence[str], columns: Mapping[str, Column]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(
        [{"method": name, **{m: column.shown(name) for m, column in columns.items()}} for name in order]
    )


def _pick(kind: str, asked: Sequence[str] | None, present: Sequence[str]) -> list[str]:
    for name in asked or ():
        if name not in present:
            raise UnknownNameError(f"{kind} in these rows", name, present)
    return list(dict.fromkeys(asked)) if asked else list(present)


def _joined(notes: Sequence[tuple[str, str]]) -> list[str]:
    """Notes as sentences; what is true of several metrics is said once."""
    titles: dict[str, list[str]] = {}
    for title, text in notes:
        titles.setdefault(text, []).append(title)
    return [f"{', '.join(names)}: {text}" for text, names in titles.items()]


def _registry_order(metrics: Sequence[str] | None) -> tuple[str, ...]:
    from eval.metrics import registry

    return tuple(metrics or registry.names())


def _spec(metric: str) -> MetricSpec:
    from eval.metrics import registry

    return registry.spec(metric)


def _protocol(name: str, digest: str) -> tuple[str, dict[str, Any]]:
    """The protocol's sentence and fields; rows of a protocol we do not know keep their name and hash."""
    from eval import protocol

    try:
        known = protocol.get(name)
    except UnknownNameError:
        known = None
    if known is not None and digest in ("", known.hash):
        return known.sentence, json.loads(known.to_json())
    return f"{name or 'unnamed'} ({digest or 'no hash'}): its definition did not travel with the rows.", {}
