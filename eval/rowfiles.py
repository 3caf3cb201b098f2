"""Row files: CSV, Parquet and JSON Lines, written sorted and whole, read back without loss.

The bytes depend on the rows only: order by key, fixed row groups, shortest exact decimal of every float, "inf" for an
infinite score. Timings are not in them (see :mod:`eval.rows`). The rows of a shard carry its name, "2/8", in one more
column, by which a merge knows what it lacks.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from errors import StoreError, UsageError
from eval.rows import COLUMNS, FILE_COLUMNS, TEXT_COLUMNS, WHOLE_COLUMNS, ScoreRow, in_json, sort_key

SUFFIXES = (".csv", ".parquet", ".jsonl")
SHARD = "shard"
"""The column of a shard's rows that names it."""

_GROUP = 10_000
_NEEDED = ("image", "method", "metric", "value")


def check_suffix(path: str | Path) -> str:
    """The format a file name stands for.

    Raises:
        UsageError: None that is known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"Cannot write rows to {str(path)!r}; end the name with .csv, .parquet or .jsonl.")
    return suffix


def write_rows(path: str | Path, rows: Iterable[ScoreRow], *, shard: str = "") -> int:
    """Write a row file, whole or not at all; returns how many rows.

    Args:
        path: Ends with .csv, .parquet or .jsonl.
        rows: In any order; rows that come sorted (from a store) pass through without being held in memory.
        shard: The part of a run that these rows are, "i/n"; "" where they are no such part.

    Raises:
        UsageError: The ending is unknown.
        StoreError: The file cannot be written.
    """
    writer = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_jsonl}[check_suffix(path)]
    if not isinstance(rows, Iterator):
        rows = iter(sorted(rows, key=sort_key))
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = (*FILE_COLUMNS, SHARD) if shard else FILE_COLUMNS
        count = writer(part, columns, (_record(row) | {SHARD: shard} for row in _checked(rows)))
        part.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def read_rows(path: str | Path) -> Iterator[ScoreRow]:
    """Rows of a row file, one after the other.

    Raises:
        StoreError: It is no row file.
    """
    path = Path(path)
    records = _records(path)
    for line in itertools.count(1):
        try:
            row = _row(next(records))
        except StopIteration:
            return
        except (ValueError, TypeError, KeyError, csv.Error) as error:
            raise StoreError(
                f"{path.name}, row {line}: this is not a score row ({error}); the file may be cut off, copy it again."
            ) from error
        yield row


def shard_of(path: str | Path) -> str:
    """The shard whose rows a row file holds, "i/n"; "" where it is none, or has no rows.

    Raises:
        StoreError: It is no row file.
    """
    try:
        said = str(next(_records(Path(path)), {}).get(SHARD))
    except (ValueError, AttributeError):  # what reading the rows will complain about
        return ""
    return said if re.fullmatch(r"\d+/\d+", said) else ""


def _records(path: Path) -> Iterator[dict[str, Any]]:
    reader = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_jsonl}[check_suffix(path)]
    if not path.is_file():
        raise StoreError(f"There is no row file {str(path)!r}; check the path.")
    return reader(path)


def _checked(rows: Iterator[ScoreRow]) -> Iterator[ScoreRow]:
    last: tuple[str, ...] = ()
    for row in rows:
        key = sort_key(row)
        if key < last:
            raise ValueError("rows that come as an iterator have to be sorted by key")
        last = key
        yield row


def _record(row: ScoreRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FILE_COLUMNS}


def _row(record: dict[str, Any]) -> ScoreRow:
    missing = [name for name in _NEEDED if name not in record]
    if missing:
        raise ValueError(f"no {missing[0]}")
    known = {name: record[name] for name in COLUMNS if name in record}
    for name, value in known.items():
        if name in TEXT_COLUMNS:
            known[name] = value or ""
        elif value is None or value == "":
            known[name] = None
        elif name in WHOLE_COLUMNS:
            known[name] = int(value)
        elif name != "error":
            known[name] = float(value)
    return ScoreRow(**known)


def _write_csv(path: Path, columns: Sequence[str], records: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for count, record in enumerate(records, start=1):  # noqa: B007 - the count is the result
            writer.writerow("" if record[name] is None else record[name] for name in columns)
    return count


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as stream:
        table = csv.DictReader(stream)
        if not set(_NEEDED) <= set(table.fieldnames or ()):
            raise StoreError(
                f"{path.name} does not begin with the columns of a row file; it is none, or is empty or cut off."
            )
        for record in table:
            if None in record or None in record.values():
                raise ValueError("not as many cells as columns")
            yield record


def _write_jsonl(path: Path, columns: Sequence[str], records: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", newline="\n", encoding="utf-8") as stream:
        for count, values in enumerate(records, start=1):  # noqa: B007 - the count is the result
            record = {name: values[name] for name in columns} | {"value": in_json(values["value"])}
            stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    return count


def _read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)


def _write_parquet(path: Path, columns: Sequence[str], records: Iterator[dict[str, Any]]) -> int:
    import pyarrow
    import pyarrow.parquet

    kinds = {"value": pyarrow.float64(), "height": pyarrow.int32(), "width": pyarrow.int32()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in columns])
    count = 0
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(itertools.islice(records, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(_GROUP):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise StoreError(f"{path.name} is not a Parquet file that can be read ({error}).") from error


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise StoreError(f"{path.name} is not UTF-8 text; it is no row file of ours.") from error
