"""Tables of names: CSV, TSV, JSON Lines and Parquet, which column holds inputs and which references."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import SetError, first_line
from images import is_picture_name

MAX_LINES = 1_000_000
"""Most lines of a table where nothing else is said; archives of strangers may have fewer."""

LINE_BYTES = 1024
"""What a line may take on average: a table of so many lines is not read beyond so many KiB."""

INPUT_WORDS = (
    "input", "inputs", "hazy", "haze", "foggy", "low", "lowlight", "lq", "lr", "degraded", "noisy", "rainy", "rain",
    "blur", "blurry", "source", "image", "file_name", "path",
)  # fmt: skip
REFERENCE_WORDS = (
    "reference", "references", "target", "targets", "gt", "ground_truth", "groundtruth", "clear", "clean", "normal",
    "high", "hq", "hr", "sharp",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One line of a table.

    Attributes:
        place: Where it stands, as the start of a sentence.
        cells: What it says, by column.
    """

    place: str
    cells: Mapping[str, Any]

    def name_in(self, column: str | None) -> str | None:
        """The file name in a column; None where there is none."""
        value = self.cells.get(column) if column else None
        return str(value) if value is not None and str(value).strip() else None


def columns_of(records: Iterable[Record]) -> list[str]:
    """Every column that any line has, in the order of appearance."""
    return list(dict.fromkeys(column for record in records for column in record.cells))


def read_pair_table(path: Path) -> list[tuple[str, str | None]]:
    """Names of inputs and references from a CSV, TSV or JSON Lines table.

    The columns are found by name (``input``/``reference``, ``hazy``/``gt``, ``input_file_name``/``target_file_name``
    …); a table of two columns without a heading is read as input, reference. A line may lack a reference, never an
    input.

    Raises:
        SetError: It cannot be read, its columns say nothing, or a line names no input.
    """
    if not path.is_file():
        raise SetError(f"There is no table {str(path)!r}; check the path.")
    with path.open("rb") as stream:
        records = read_records(path.name, stream.read(MAX_LINES * LINE_BYTES + 1))
    if not records:
        raise SetError(f"{path.name} has no lines; give it one line per pair.")
    columns = columns_of(records)
    chosen = choose_columns(columns)
    if chosen is None:
        raise SetError(f"{path.name} needs a column 'input' and a column 'reference'; it has {columns}.")
    first, second = chosen
    pairs = []
    for record in records:
        name = record.name_in(first)
        if name is None:
            raise SetError(f"{record.place} names no input in the column {first!r}; add it, or remove the line.")
        pairs.append((name, record.name_in(second)))
    return pairs


def choose_columns(columns: Sequence[str]) -> tuple[str, str | None] | None:
    """Which column holds the inputs and which the references, by their names."""
    sides = {name: side_of(name) for name in columns}
    first = [name for name, side in sides.items() if side == "input"]
    second = [name for name, side in sides.items() if side == "reference"]
    if first:
        best = min(first, key=lambda name: INPUT_WORDS.index(_word(name)))
        return best, (second[0] if second else None)
    return (columns[0], None) if len(columns) == 1 else None


def side_of(name: str) -> str | None:
    """The side, "input" or "reference", that the name of a column, a folder or a tar field stands for; or None."""
    word = _word(name)
    return "input" if word in INPUT_WORDS else "reference" if word in REFERENCE_WORDS else None


def _word(name: str) -> str:
    word = name.strip().lower().replace("-", "_").replace(" ", "_")
    for ending in ("_file_name", "_filename", "_path", "_image", "_img"):
        if word.endswith(ending) and len(word) > len(ending):
            word = word[: -len(ending)]
    return {"filename": "file_name"}.get(word, word)


def read_records(name: str, data: bytes, most: int = MAX_LINES) -> list[Record]:
    """Lines of a table, by the ending of its name; of Parquet, the columns of names alone.

    Args:
        name: Of the file.
        data: Its bytes; of a file of more than ``most * LINE_BYTES`` bytes, the first of those and one more are enough.
        most: Most lines that it may have.

    Raises:
        SetError: It is damaged or too large, or a line is none of a table.
    """
    if len(data) > most * LINE_BYTES:
        raise SetError(f"{name} is over {most * LINE_BYTES / 2**20:,.0f} MiB, too much for a table; split the set.")
    if name.lower().endswith(".parquet"):
        return _parquet_records(name, data, most)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SetError(f"{name} cannot be read as a table ({error}); save it as UTF-8 CSV.") from error
    read = _json_records if name.lower().endswith(".jsonl") else _csv_records
    return read(name, text, most)


def _csv_records(name: str, text: str, most: int) -> list[Record]:
    """Lines of a CSV or TSV table; one that is shorter than the heading lacks the last columns."""
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(name, text))
    lines: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                lines.append((reader.line_num, cells))
            _check_lines(name, len(lines) - 1, most)  # the first may be the heading
    except csv.Error as error:
        raise SetError(f"Line {reader.line_num} of {name} is not CSV ({error}); save it as UTF-8 CSV.") from error
    if not lines:
        return []
    heading = lines[0][1]
    if _names_pictures(heading):
        heading = ["input", "reference"][: max(len(cells) for _, cells in lines)]
    else:
        lines = lines[1:]
    empty = [""] * len(heading)
    return [
        Record(f"Line {number} of {name}", dict(zip(heading, cells + empty, strict=False))) for number, cells in lines
    ]


def _delimiter(name: str, text: str) -> str:
    """What separates cells: Excel writes semicolons into CSV where the comma is the decimal mark."""
    if name.lower().endswith(".tsv"):
        return "\t"
    first = next(filter(None, map(str.strip, io.StringIO(text))), "")
    return ";" if ";" in first and "," not in first else ","


def _check_lines(name: str, count: int, most: int) -> None:
    if count > most:
        raise SetError(f"{name} has more than {most:,} lines; split the set into parts.")


def _names_pictures(cells: Sequence[str]) -> bool:
    """Whether the first line of a table is a pair already; its reference may be lacking."""
    return len(cells) <= 2 and is_picture_name(cells[0]) and all(is_picture_name(cell) for cell in cells if cell)


def _json_records(name: str, text: str, most: int) -> list[Record]:
    """Lines of a JSON Lines table."""
    records: list[Record] = []
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        _check_lines(name, len(records) + 1, most)
        place = f"Line {number} of {name}"
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SetError(f"{place} is not JSON ({first_line(error)}); write one object on every line.") from error
        if not isinstance(cells, dict):
            raise SetError(
                f"{place} is {line.strip()[:40]} and not an object; write it like "
                '{"input": "hazy/1.png", "reference": "clear/1.png"}.'
            )
        records.append(Record(place, cells))
    return records


def _parquet_records(name: str, data: bytes, most: int) -> list[Record]:
    """Rows of a Parquet table; its footer is looked at before anything is unpacked."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        _check_lines(name, file.metadata.num_rows, most)
        chosen = choose_columns(file.schema_arrow.names)
        if chosen is None:
            heads = dict.fromkeys(file.schema_arrow.names)
            return [Record(f"Row 1 of {name}", heads)] if file.metadata.num_rows else []
        columns = [column for column in chosen if column]
        rows = list(_parquet_rows(name, data, columns, most))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SetError(damaged_parquet(name, error)) from error
    return [
        Record(f"Row {number} of {name}", dict(zip(columns, row, strict=True)))
        for number, row in enumerate(rows, start=1)
    ]


def _parquet_rows(name: str, data: bytes, columns: list[str], most: int) -> Iterator[tuple[Any, ...]]:
    """Cells of some columns. A text that many rows share is unpacked once and not for every row."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(io.BytesIO(data))
    is_text = (pyarrow.types.is_string, pyarrow.types.is_large_string)
    texts = [column for column in columns if any(test(schema.field(column).type) for test in is_text)]
    file = pyarrow.parquet.ParquetFile(io.BytesIO(data), read_dictionary=texts)
    for batch in file.iter_batches(batch_size=1024, columns=columns):
        if batch.nbytes > most * LINE_BYTES:
            raise SetError(f"{name} unpacks to far more than names of pictures take; it was not read.")
        cells = []
        for column in map(batch.column, columns):
            if pyarrow.types.is_dictionary(column.type):
                words = column.dictionary.to_pylist()
                cells.append([None if index is None else words[index] for index in column.indices.to_pylist()])
            else:
                cells.append(column.to_pylist())
        yield from zip(*cells, strict=True)


def damaged_parquet(name: str, error: Exception) -> str:
    """What to say about a Parquet file that cannot be read."""
    return f"{name} is not a Parquet file that can be read ({first_line(error)}); copy or write it again."
