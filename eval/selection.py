"""From score rows to what may be compared: one protocol, one variant a metric, one number an image and method.

A ranking is only as honest as the rows that enter it. This module refuses what must not be mixed, names apart what
only looks the same (two weight files of one method, two references under one image name), and says the rest in notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from errors import ProtocolError, UsageError
from eval.protocol import Protocol
from eval.rows import BAD_REFERENCE, WHOLE_PICTURE, typed
from eval.wording import counted, listed

if TYPE_CHECKING:
    import pandas

_NEEDED = ("image", "method", "metric", "value")
_TEXT = ("dataset", "variant", "protocol", "protocol_hash", "input_sha256", "reference_sha256", "weights_sha256")
_TRACE = ("weights_sha256", "device", "code_version")


@dataclass(frozen=True, order=True)
class Failure:
    """A score that does not exist, and why. `metric` is "" when the picture as a whole failed."""

    image: str
    method: str
    metric: str
    error: str


@dataclass(frozen=True, eq=False)
class Selection:
    """Comparable scores.

    Attributes:
        values: Per metric, a table (image x method) of raw values, images sorted by name; NaN where there is none.
            A metric that failed everywhere has an empty table.
        failures: Every score that could not be computed, sorted.
        unreferenced: Images that no method has a reference for.
        datasets: Names of the sets, sorted; "" is a set without a name.
        protocol: Name of the one protocol.
        protocol_hash: Its hash.
        variants: Per metric with values, the implementation behind it, "" where there is only one.
        provenance: Per method, the weights, devices and code versions of its rows, each as sorted distinct strings.
        seconds_per_mpix: Per method, the median restoring time per input megapixel, where rows carry times.
        used_mib: Per method, the most memory in use while one of its pictures was restored, where known: of tensors on
            a GPU, of the whole process elsewhere.
        notes: Sentences a reader of the ranking must see.
    """

    values: dict[str, pandas.DataFrame]
    failures: tuple[Failure, ...]
    unreferenced: frozenset[str]
    datasets: tuple[str, ...]
    protocol: str
    protocol_hash: str
    variants: dict[str, str]
    provenance: dict[str, dict[str, tuple[str, ...]]]
    seconds_per_mpix: dict[str, float]
    used_mib: dict[str, float]
    notes: tuple[str, ...]

    def lacks_reference(self, failure: Failure) -> bool:
        """Whether a score that compares is missing for want of a reference, and by no fault of the method."""
        return failure.image in self.unreferenced or failure.error.startswith(BAD_REFERENCE)


def select(
    frame: pandas.DataFrame,
    *,
    protocol: str | Protocol | None = None,
    dataset: str | None = None,
    ordered: tuple[str, ...] = (),
) -> Selection:
    """Take the comparable rows of `frame`.

    Args:
        frame: Score rows with the columns of `eval.rows.COLUMNS`; only image, method, metric and value are required.
        protocol: Which protocol to take when `frame` holds several: its name, its hash or the hash's beginning.
        dataset: Which set to take when `frame` holds several; None pools them, and says so.
        ordered: Metrics that come first, in this order; others follow by name.

    Raises:
        UsageError: No row fits, or `frame` does not hold score rows.
        ProtocolError: The rows mix protocols or metric variants, or score one image twice with different values.
    """
    rows, renamed = comparable(frame, protocol=protocol, datasets=None if dataset is None else [dataset])
    notes: list[str] = []
    rows = _name_sets(rows, notes)
    notes += renamed
    rows = _name_images(rows, notes)
    failed = rows["value"].isna()
    scored = _one_value(rows[~failed])
    failures = _failures(rows[failed], scored)
    return Selection(
        values=_tables(scored, set(rows["metric"]) - {WHOLE_PICTURE}, ordered),
        failures=failures,
        unreferenced=_unreferenced(rows),
        datasets=tuple(sorted(rows["dataset"].unique())),
        protocol=rows["protocol"].iloc[0],
        protocol_hash=rows["protocol_hash"].iloc[0],
        variants={str(metric): part["variant"].iloc[0] for metric, part in scored.groupby("metric")},
        provenance=_provenance(rows, notes),
        seconds_per_mpix=_speed(scored),
        used_mib=scored.groupby("method")["peak_mib"].max().dropna().to_dict(),
        notes=tuple(notes),
    )


def comparable(
    frame: pandas.DataFrame, *, protocol: str | Protocol | None = None, datasets: Sequence[str] | None = None
) -> tuple[pandas.DataFrame, list[str]]:
    """The rows of one protocol and one variant a metric, methods of one name and several weights told apart.

    Args:
        frame: As for `select`.
        protocol: As for `select`.
        datasets: Which sets; None takes all.

    Returns:
        The rows, every column of `eval.rows.COLUMNS` that ranking needs among theirs, and what a reader must know.

    Raises:
        UsageError: No row fits, or `frame` does not hold score rows.
        ProtocolError: The rows mix protocols or metric variants.
    """
    notes: list[str] = []
    rows = chosen(_complete(frame), protocol, datasets)
    _one_protocol(rows)
    rows = _name_methods(rows, notes)
    _one_variant(rows[rows["value"].notna()])
    return rows, notes


def rows_behind(
    frame: pandas.DataFrame, *, protocol: str, datasets: Sequence[str], methods: Sequence[str], metrics: Sequence[str]
) -> pandas.DataFrame:
    """The rows of `frame` that a ranking of these was made from, as they are, errors of whole pictures included."""
    rows = chosen(_complete(frame), protocol, datasets)
    names = _name_methods(rows.copy(), [])["method"]
    return rows[names.isin(methods) & rows["metric"].isin((*metrics, WHOLE_PICTURE))]


def chosen(rows: pandas.DataFrame, protocol: str | Protocol | None, datasets: Sequence[str] | None) -> pandas.DataFrame:
    """Rows of the protocol and the sets that were asked for; None takes all.

    Args:
        rows: Score rows, whole.
        protocol: Name, hash or beginning of a hash; a protocol itself is looked for by its hash.
        datasets: Names of sets.

    Raises:
        UsageError: There are none; the message lists what there is.
    """
    if rows.empty:
        raise UsageError("There are no score rows to rank.")
    found = rows
    if isinstance(protocol, Protocol):
        protocol = protocol.hash
    if protocol:
        named = rows["protocol"] == protocol
        found = rows[named if named.any() else rows["protocol_hash"].str.startswith(protocol)]
        if found.empty:
            raise _nothing(f"protocol {protocol!r}", "protocols", _protocols(rows))
    for name in datasets or ():
        if name not in set(found["dataset"]):
            raise _nothing(f"set {name!r}", "sets", sorted(repr(known) for known in found["dataset"].unique()))
    return found if datasets is None else found[found["dataset"].isin(datasets)]


def _nothing(asked: str, kind: str, known: Sequence[str]) -> UsageError:
    return UsageError(f"There are no score rows of {asked} to rank; the {kind} they have are {listed(known, 10)}.")


def _protocols(rows: pandas.DataFrame) -> list[str]:
    """Name and hash of every protocol, sorted."""
    pairs = sorted(set(rows[["protocol", "protocol_hash"]].itertuples(index=False, name=None)))
    return [f"{name or 'unnamed'} ({digest})" for name, digest in pairs]


def _complete(frame: pandas.DataFrame) -> pandas.DataFrame:
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise UsageError(f"These are not score rows: the column {missing[0]!r} is missing.")
    rows = frame.copy()
    for name in {*_TEXT, *_TRACE} - set(rows.columns):
        rows[name] = ""
    for name in {"error", "seconds", "peak_mib", "input_pixels"} - set(rows.columns):
        rows[name] = None
    rows = typed(rows)
    untold = rows["value"].isna() & rows["error"].isna()
    rows.loc[untold, "error"] = "the value is not a number"
    return rows.reset_index(drop=True)


def _one_protocol(rows: pandas.DataFrame) -> None:
    hashes, found = set(rows["protocol_hash"]), _protocols(rows)
    if len(hashes) > 1 or (hashes == {""} and len(found) > 1):  # a protocol is its hash and not its name
        raise ProtocolError(
            f"Scores of different protocols must not be ranked together: {', '.join(found)}. Choose one by its hash."
        )


def _one_variant(scored: pandas.DataFrame) -> None:
    for metric, found in scored.groupby("metric")["variant"].unique().items():
        if len(found) > 1:
            names = ", ".join(sorted(name or "unnamed" for name in found))
            raise ProtocolError(
                f"{metric} was computed in different ways that must not be ranked together: {names}. "
                "Score all methods with one of them."
            )


def _name_sets(rows: pandas.DataFrame, notes: list[str]) -> pandas.DataFrame:
    """Put the set's name before the image's when several sets are pooled."""
    counts = rows.groupby("dataset")["image"].nunique()
    if len(counts) > 1:
        sets = ", ".join(f"{name or 'unnamed'} ({counted(count, 'image')})" for name, count in counts.items())
        notes.append(f"Pooled over several sets, every image weighing the same: {sets}.")
        rows = rows.assign(image=rows["dataset"].where(rows["dataset"] != "", "unnamed") + "/" + rows["image"])
    return rows


def _name_methods(rows: pandas.DataFrame, notes: list[str]) -> pandas.DataFrame:
    """Tell apart methods that share a name but not their weights."""
    weights = rows[rows["weights_sha256"] != ""].groupby("method")["weights_sha256"].nunique()
    for name in weights[weights > 1].index:
        mine = (rows["method"] == name) & (rows["weights_sha256"] != "")
        rows.loc[mine, "method"] = name + "@" + rows.loc[mine, "weights_sha256"].str[:8]
        notes.append(f"{name} was scored with {weights[name]} different weight files, ranked apart as {name}@hash.")
    return rows


def _name_images(rows: pandas.DataFrame, notes: list[str]) -> pandas.DataFrame:
    """Tell apart images that share a name but not their reference (or, without references, their input)."""
    keys = ["image", "method", "input_sha256"]
    known = rows["reference_sha256"].where(rows["reference_sha256"] != "")
    reference = known.fillna(known.groupby([rows[key] for key in keys]).transform("first")).fillna("")
    several = reference[reference != ""].groupby(rows["image"]).nunique()
    by_reference = rows["image"].isin(several[several > 1].index) & (reference != "")
    inputs = (
        rows[(rows["input_sha256"] != "") & (reference == "")].groupby(["image", "method"])["input_sha256"].nunique()
    )
    doubled = inputs[inputs > 1].index.get_level_values("image").unique()
    by_input = rows["image"].isin(doubled) & (reference == "")
    if by_reference.any():
        count = rows.loc[by_reference, "image"].nunique()
        notes.append(
            f"{counted(count, 'image')} carry one name but different references; they are kept apart as name#hash."
        )
        rows.loc[by_reference, "image"] += "#" + reference[by_reference].str[:8]
    if by_input.any():
        count = rows.loc[by_input, "image"].nunique()
        notes.append(
            f"{counted(count, 'image')} carry one name but different inputs; they are kept apart as name#hash."
        )
        rows.loc[by_input, "image"] += "#" + rows.loc[by_input, "input_sha256"].str[:8]
    return rows


def _one_value(scored: pandas.DataFrame) -> pandas.DataFrame:
    """One row an image, method and metric; equal values are one, different ones are nobody's to choose from."""
    keys = ["metric", "image", "method", "variant"]
    scored = scored.sort_values([*keys, "value", "output_sha256"] if "output_sha256" in scored else [*keys, "value"])
    unique = scored.drop_duplicates([*keys, "value"])
    twice = unique[unique.duplicated(keys, keep=False)]
    if not twice.empty:
        first = twice.iloc[0]
        values = twice[(twice[keys] == first[keys]).all(axis=1)]["value"]
        raise ProtocolError(
            f"{first['method']} has different {first['metric']} scores for the image {first['image']!r} "
            f"({', '.join(format(value, '.6g') for value in values)}): give the two results different method names."
        )
    return unique


def _failures(failed: pandas.DataFrame, scored: pandas.DataFrame) -> tuple[Failure, ...]:
    """Errors that no success made up for; a whole picture's becomes those of the metrics that it has no value for."""
    asked = scored.groupby("method")["metric"].unique().to_dict()
    scored = scored[scored["image"].isin(failed["image"])]
    made_up = set(scored[["image", "method", "metric"]].itertuples(index=False, name=None))
    partly = {(image, method) for image, method, _ in made_up}
    found = set()
    for image, method, metric, error in failed[["image", "method", "metric", "error"]].itertuples(index=False):
        whole = metric == WHOLE_PICTURE and (image, method) in partly
        for name in asked[method] if whole else [metric]:
            if (image, method, name) not in made_up:
                found.add((image, method, name, error))
    return tuple(Failure(*entry) for entry in sorted(found))


def _unreferenced(rows: pandas.DataFrame) -> frozenset[str]:
    """Images without a reference; rows that do not know their input either say nothing about it."""
    known = rows[rows["input_sha256"] != ""].groupby("image")["reference_sha256"].max()
    return frozenset(known[known == ""].index)


def _tables(scored: pandas.DataFrame, metrics: set[str], ordered: tuple[str, ...]) -> dict[str, pandas.DataFrame]:
    present = sorted(metrics, key=lambda m: (ordered.index(m) if m in ordered else len(ordered), m))
    tables = {}
    for metric in present:
        table = scored[scored["metric"] == metric].pivot(index="image", columns="method", values="value")
        tables[metric] = table.sort_index().sort_index(axis=1)
    return tables


def _provenance(rows: pandas.DataFrame, notes: list[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    found = {
        str(method): {name: tuple(sorted(set(part[name].unique()) - {""})) for name in _TRACE}
        for method, part in rows.groupby("method")
    }
    versions = sorted({version for trace in found.values() for version in trace["code_version"]})
    if len(versions) > 1:
        notes.append(f"The scores come from several versions of the code: {', '.join(versions)}.")
    return found


def _speed(scored: pandas.DataFrame) -> dict[str, float]:
    """Median seconds per input megapixel; one time a picture, however many metrics were computed on it."""
    timed = scored.dropna(subset=["seconds", "input_pixels"]).drop_duplicates(["image", "method"])
    pixels = timed["input_pixels"].astype(np.float64)
    return (timed["seconds"] / pixels * 1e6).groupby(timed["method"]).median().to_dict()
