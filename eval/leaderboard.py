"""Score rows in, a ranking with its uncertainty out.

`build` gives raw numbers; what is printed (`shown`), what is bold or underlined (`marks`) and which methods cannot be
told apart (`groups`) stand beside them and never replace them. The exports are views of a `Leaderboard`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from errors import MetricError, UnknownNameError, UsageError, check_names
from eval import protocol as presets
from eval import stats
from eval.cases import compare, worst_cases
from eval.column import Column, PairedTest, show, sort_value
from eval.protocol import Protocol
from eval.rows import WHOLE_PICTURE
from eval.selection import Failure, Selection, select
from eval.wording import listed

if TYPE_CHECKING:
    import pandas

    from eval.efficiency import Efficiency
    from eval.metrics.spec import MetricSpec

__all__ = ["COSTS", "Leaderboard", "PairedTest", "build", "check_costs", "compare", "show", "worst_cases"]

COSTS = {
    "parameters": "Params",
    "gmacs": "GMACs",
    "seconds_per_mpix": "s/MPix",
    "peak_mib": "Peak MiB",
    "used_mib": "Used MiB",
    "device": "Device",
}
"""Efficiency columns of a leaderboard's table and their headings. None of them is ranked.

Times are per million input pixels. `peak_mib` is what `python -m eval costs` measured, the memory that one pass needed
beyond what was there before it; `used_mib` is what rows carry, all memory in use while a picture was restored.
"""

_MEASURED = ("parameters", "gmacs", "seconds_per_mpix", "peak_mib", "device")
"""Columns that a file of measured costs fills."""
_EVERYWHERE = ("parameters", "gmacs")
"""Those that are the same on every machine: known for the built-in methods without measuring."""

_MOST_DECIMALS = 12
_MOST_REASONS = 5


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
    def boards(self) -> tuple[Leaderboard, ...]:
        """This board alone: what is printed may also be several of them (`eval.suite`)."""
        return (self,)

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
    protocol: str | Protocol | None = None,
    dataset: str | None = None,
    metrics: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    images: str = "common",
    sort_by: str = "average_rank",
    costs: Mapping[str, Efficiency] | None = None,
    timings: bool = False,
    specs: Mapping[str, MetricSpec] | None = None,
    decimals: Mapping[str, int] | None = None,
    level: float = stats.LEVEL,
) -> Leaderboard:
    """Rank the methods of score rows.

    A metric's column is the mean over images. Ranks, tests and win counts use the images that every method has; so do
    the means, unless `images="all"`, where each method keeps its own images and no best is marked if they differ.
    `average_rank` is the mean over metrics of a method's average rank per image (1 = best on every image).

    Args:
        frame: Score rows with the columns of `eval.rows.COLUMNS`, in any order.
        protocol: Which protocol to rank when `frame` holds several: its name, its hash or the hash's beginning. One of
            your own is given itself, so that the table can say what it does: rows carry its name and hash alone.
        dataset: Which set to rank when `frame` holds several; None pools them, and says so.
        metrics: Which metrics, in which order; None takes all, registry order.
        methods: Which methods; None takes all.
        images: `"common"` or `"all"`.
        sort_by: `"average_rank"` or a metric name.
        costs: Efficiency of methods, shown beside the scores. Of built-in methods parameters and GMACs are known
            without.
        timings: Show the restoring times and memory that the rows carry, and not those of `costs`: two ways of
            measuring share no table. Off by default: they change from run to run, and a table should not.
        specs: Metric facts; the registry's where None.
        decimals: Digits shown of a metric, where other than its facts say; marks are given at that precision.
        level: Coverage of the bootstrap intervals.

    Raises:
        ProtocolError: The rows mix protocols or metric variants: such numbers are never ranked together.
        UnknownNameError: A method or metric that has no rows.
        UsageError: There are no rows to rank, `costs` has none of these methods, or both costs and times are asked for.
        MetricError: There are rows, but every one of them is an error.
    """
    if images not in ("common", "all"):
        raise UsageError(f"images must be 'common' or 'all', not {images!r}.")
    if costs and timings:
        raise UsageError("Costs that were measured and times of the rows do not compare; ask for one of them.")
    chosen = select(frame, protocol=protocol, dataset=dataset, ordered=_registry_order(metrics))
    _check_scores(chosen)
    names = _pick("method", methods, sorted(chosen.provenance))
    wanted = _pick("metric", metrics, list(chosen.values))
    check_costs(costs, names)
    facts = _facts(wanted, specs, decimals)
    notes: list[tuple[str, str]] = []
    columns = {m: Column.of(m, facts[m], chosen.values[m], names, images, level, notes) for m in wanted}
    failures, unreferenced = _missing(chosen, names, facts)
    table = _with_trace(_table(names, columns, failures, sort_by), chosen, costs or {}, timings)
    sentence, protocol_json = _protocol(chosen.protocol, chosen.protocol_hash, protocol)
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


def check_costs(costs: Mapping[str, Efficiency] | None, methods: Sequence[str]) -> None:
    """Refuse measured costs that would show nothing.

    Raises:
        UsageError: They name none of the methods.
    """
    if costs and not set(costs) & set(methods):
        raise UsageError(
            f"The file of costs names none of the methods {listed(methods, 10)}; it has {listed(sorted(costs), 10)}."
        )


def _check_scores(chosen: Selection) -> None:
    """Raise a MetricError, with one reason a method, where every row is an error."""
    if any(len(table) for table in chosen.values.values()):
        return
    reasons = {failure.method: failure.error for failure in reversed(chosen.failures)}
    told = [f"{method}: {reasons[method]}" for method in sorted(reasons)]
    whose = f" of {listed([repr(name) for name in chosen.datasets])}" if any(chosen.datasets) else ""
    more = f" And {len(told) - _MOST_REASONS} more methods." if len(told) > _MOST_REASONS else ""
    raise MetricError(
        f"No score{whose} could be computed, so nothing can be ranked. {' '.join(told[:_MOST_REASONS])}{more}"
    )


def _facts(
    metrics: Sequence[str], specs: Mapping[str, MetricSpec] | None, decimals: Mapping[str, int] | None
) -> dict[str, MetricSpec]:
    """Facts of the metrics, with the digits that were asked for."""
    digits = decimals or {}
    check_names("metric on this board", digits, metrics)
    for metric, count in digits.items():
        if not 0 <= count <= _MOST_DECIMALS:
            raise UsageError(f"A table shows 0 to {_MOST_DECIMALS} decimals, not {count} of {metric}.")
    known = {metric: specs[metric] if specs else _spec(metric) for metric in metrics}
    return {metric: replace(spec, decimals=digits.get(metric, spec.decimals)) for metric, spec in known.items()}


def _missing(
    chosen: Selection, names: Sequence[str], facts: Mapping[str, MetricSpec]
) -> tuple[tuple[Failure, ...], tuple[Failure, ...]]:
    """Scores that these methods failed to give, and those that nobody can for want of a reference."""
    lost = [f for f in chosen.failures if f.method in names and f.metric in (*facts, WHOLE_PICTURE)]
    comparing = {metric for metric, spec in facts.items() if spec.needs_reference}
    unreferenced = tuple(f for f in lost if f.metric in comparing and chosen.lacks_reference(f))
    return tuple(sorted(set(lost) - set(unreferenced))), unreferenced


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
    found = [_costs(method, chosen, costs, timings) for method in table["method"]]
    for name in COSTS:
        cells = [known.get(name) for known in found]
        if any(cell is not None for cell in cells):
            table[name] = cells
    for name in ("weights_sha256", "code_version"):
        table[name] = [" ".join(chosen.provenance[method][name]) for method in table["method"]]
    return table


def _costs(method: str, chosen: Selection, costs: Mapping[str, Efficiency], timings: bool) -> dict[str, Any]:
    """What is known of a method's costs. Each column has one source, so that its numbers compare."""
    made = chosen.provenance[method]
    built_in = _built_in(method, made)
    found = {name: getattr(built_in, name, None) for name in _EVERYWHERE}
    if method in costs:
        found |= {name: value for name in _MEASURED if (value := getattr(costs[method], name)) is not None}
    elif timings:
        found["seconds_per_mpix"] = chosen.seconds_per_mpix.get(method)
        found["used_mib"] = chosen.used_mib.get(method)
        found["device"] = " ".join(made["device"]) or None
    return found


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
    check_names(f"{kind} in these rows", asked or (), present)
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


def _protocol(name: str, digest: str, asked: str | Protocol | None) -> tuple[str, dict[str, Any]]:
    """The protocol's sentence and fields; rows of a protocol we do not know keep their name and hash."""
    try:
        known = asked if isinstance(asked, Protocol) else presets.get(name)
    except UnknownNameError:
        known = None
    if known is not None and digest in ("", known.hash):
        return known.sentence, json.loads(known.to_json())
    return f"{name or 'unnamed'} ({digest or 'no hash'}): its definition did not travel with the rows.", {}
