"""Row files into one, independent of their order."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from eval.rowfiles import check_suffix, read_rows, write_rows
from eval.rows import FILE_COLUMNS, KEY_COLUMNS, WHOLE_PICTURE, ScoreRow, sort_key


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        rows: Rows written.
        duplicates: Rows that were there more than once.
        conflicts: Of these, how many did not agree on the value.
        first_conflict: Picture, method and metric of the first of them.
    """

    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    first_conflict: str = ""


def merge_files(paths: Sequence[Path], output: Path) -> Merged:
    """Write the rows of several files as one file.

    Raises:
        UsageError: A name has an unknown ending.
        StoreError: A file is missing or holds no score rows.
    """
    for path in (*paths, output):
        check_suffix(path)
    merged = Merged()
    rows = sorted((row for path in paths for row in read_rows(path)), key=_full_key)
    merged.rows = write_rows(output, resolve(rows, merged))
    return merged


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
        merged.first_conflict = merged.first_conflict or f"{best.image}, {best.method}, {best.metric}"
    return best


def _preference(row: ScoreRow) -> tuple[object, ...]:
    """A value before an error, a newer version before an older; then anything that does not depend on the order."""
    version = tuple(int(part) if part.isdecimal() else -1 for part in row.code_version.split("."))
    return (row.value is not None, version, _full_key(row))


def _full_key(row: ScoreRow) -> tuple[str, ...]:
    return (*sort_key(row), *(str(getattr(row, name)) for name in FILE_COLUMNS if name not in KEY_COLUMNS))


def _agree(a: ScoreRow, b: ScoreRow) -> bool:
    return a.value is not None and b.value is not None and math.isclose(a.value, b.value, rel_tol=1e-9)
