"""Row files into one, independent of their order, and what is wrong with their being together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from eval.rowfiles import SUFFIXES, check_suffix, shard_of, write_rows
from eval.rows import FILE_COLUMNS, KEY_COLUMNS, WHOLE_PICTURE, ScoreRow, sort_key
from eval.store import read_any


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        rows: Rows written.
        duplicates: Rows that were there more than once.
        conflicts: Of these, how many did not agree on the value.
        first_conflict: Picture, method and metric of the first of them.
        doubled: Picture, method and metric of what has values of several outputs, which no ranking can choose from.
        missing: Shards that none of the files holds, "i/n".
    """

    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    first_conflict: str = ""
    doubled: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def merge_files(paths: Sequence[Path], output: Path) -> Merged:
    """Write the rows of several row files or stores as one row file.

    Raises:
        UsageError: The output's name has an unknown ending.
        StoreError: A file is missing or holds no score rows.
    """
    check_suffix(output)
    parts = [(path, list(read_any(path))) for path in paths]
    rows = sorted((row for _, part in parts for row in part), key=_full_key)
    merged = Merged(doubled=doubled(rows), missing=missing_shards(parts))
    merged.rows = write_rows(output, resolve(rows, merged))
    return merged


def doubled(rows: Iterable[ScoreRow]) -> tuple[str, ...]:
    """Picture, method and metric, as a text, of what has different values of different outputs.

    As in a ranking, pictures of one name are different ones where their references differ, or, without references,
    their inputs; and so are methods whose weights differ.
    """
    first: dict[tuple[str, ...], ScoreRow] = {}
    found: dict[str, None] = {}
    for row in rows:
        if row.value is None:
            continue
        picture = row.reference_sha256 or row.input_sha256
        place = (row.dataset, row.image, row.method, row.metric, row.variant, row.protocol_hash, row.weights_sha256)
        other = first.setdefault((*place, picture), row)
        if row.output_sha256 != other.output_sha256 and not _agree(row, other):
            found[_name(row)] = None
    return tuple(found)


def missing_shards(parts: Sequence[tuple[Path, Sequence[ScoreRow]]]) -> tuple[str, ...]:
    """Shards, "i/n", of which there are others of the same method, set and protocol but not these.

    Where rows of the same do not say what shard they are, nothing is known to be missing. Shards beyond the number of
    pictures have no rows, and a file without rows may be any of them.
    """
    held: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for path, rows in parts:
        shard = shard_of(path) if path.suffix.lower() in SUFFIXES else ""
        for row in rows:
            held[row.dataset, row.method, row.protocol_hash].add(shard)
    empty = sum(not rows for _, rows in parts)
    missing: dict[str, None] = {}
    for shards in held.values():
        if "" in shards:
            continue
        for count in sorted({int(shard.partition("/")[2]) for shard in shards}):
            lacking = [shard for shard in (f"{index}/{count}" for index in range(count)) if shard not in shards]
            missing |= dict.fromkeys(lacking if len(lacking) > empty else ())
    return tuple(missing)


def resolve(rows: Iterable[ScoreRow], merged: Merged) -> Iterator[ScoreRow]:
    """One row per key, from rows that are sorted by key; counts go into ``merged``.

    An error gives way where another file has the value: the picture was scored after all. That of a whole picture
    gives way where it has a value for every metric of its method.
    """
    rows = list(rows)
    asked: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.metric != WHOLE_PICTURE:
            asked[row.dataset, row.method, row.protocol_hash].add(row.metric)
    for (dataset, _, method), picture in groupby(rows, key=lambda row: (row.dataset, row.image, row.method)):
        best = [_best(list(rivals), merged) for _, rivals in groupby(picture, key=sort_key)]
        scored = {(row.protocol_hash, row.metric) for row in best if row.value is not None}
        scored |= {
            (protocol, WHOLE_PICTURE)
            for protocol in {protocol for protocol, _ in scored}
            if all((protocol, metric) in scored for metric in asked[dataset, method, protocol])
        }
        for row in best:
            if row.value is None and (row.protocol_hash, row.metric) in scored:
                merged.duplicates += 1
            else:
                yield row


def _best(rivals: list[ScoreRow], merged: Merged) -> ScoreRow:
    best = max(rivals, key=_preference)
    merged.duplicates += len(rivals) - 1
    if any(rival.value is not None and not _agree(best, rival) for rival in rivals):
        merged.conflicts += 1
        merged.first_conflict = merged.first_conflict or _name(best)
    return best


def _preference(row: ScoreRow) -> tuple[object, ...]:
    """A value before an error, a newer version before an older; then anything that does not depend on the order."""
    version = tuple(int(part) if part.isdecimal() else -1 for part in row.code_version.split("."))
    return (row.value is not None, version, _full_key(row))


def _full_key(row: ScoreRow) -> tuple[str, ...]:
    return (*sort_key(row), *(str(getattr(row, name)) for name in FILE_COLUMNS if name not in KEY_COLUMNS))


def _name(row: ScoreRow) -> str:
    return f"{row.image}, {row.method}, {row.metric}"


def _agree(a: ScoreRow, b: ScoreRow) -> bool:
    return a.value is not None and b.value is not None and math.isclose(a.value, b.value, rel_tol=1e-9)
