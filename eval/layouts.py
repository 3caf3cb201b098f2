"""What lies at a location: the layouts in which people keep sets of pictures, each read into one :class:`Listing`."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from errors import SetError
from eval.archives import Limits, list_tar, list_zip, plain_tar
from eval.pairing import without_common_folder
from eval.sources import FileSource, ParquetSource, Source
from images import is_picture_name, list_pictures, natural_key

INPUT_WORDS = (
    "input", "inputs", "hazy", "haze", "foggy", "low", "lowlight", "lq", "lr", "degraded", "noisy", "rainy", "rain",
    "blur", "blurry", "source", "image", "file_name", "path",
)  # fmt: skip
REFERENCE_WORDS = (
    "reference", "references", "target", "targets", "gt", "ground_truth", "groundtruth", "clear", "clean", "normal",
    "high", "hq", "hr", "sharp",
)  # fmt: skip
METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Listing:
    """The files of a set before anything is paired.

    Attributes:
        name: Short name of the place.
        inputs: The degraded pictures, or all pictures where nothing says which side they are on.
        references: One entry per input where the set itself says what pairs; else None.
        other_side: References that still have to be paired by name.
        keys: Names of the pairs where the set has some; else None.
        how: What says what pairs, for the report ("by metadata.csv").
        remarks: Sentences about what was left out.
        hold: A temporary folder the sources point into.
    """

    name: str
    inputs: tuple[Source, ...]
    references: tuple[Source | None, ...] | None = None
    other_side: tuple[Source, ...] = ()
    keys: tuple[str, ...] | None = None
    how: str = ""
    remarks: tuple[str, ...] = ()
    hold: object | None = None

    @property
    def as_references(self) -> tuple[Source, ...]:
        """The pictures to use when the place was given as the references."""
        return self.other_side or self.inputs


def list_any(location: str | Path | Sequence[str | Path], limits: Limits | None = None) -> Listing:
    """List whatever is there; see :func:`eval.sets.open_set` for what it may be.

    Raises:
        SetError: The place does not exist, cannot be opened, or is of no known kind.
    """
    if not isinstance(location, (str, Path)):
        return _two_sides(Listing("the list", tuple(file_source(Path(path)) for path in location)))
    if str(location).startswith("hf://"):
        from eval.hub_sets import snapshot

        folder, name = snapshot(str(location))
        return replace(list_folder(folder, limits), name=name)
    path = Path(location)
    kind = path.name.lower()
    if path.is_dir():
        return list_folder(path, limits)
    if not path.exists():
        raise SetError(f"There is nothing at {str(location)!r}; check the path.")
    if kind.endswith(".zip"):
        return _list_zip(path, limits)
    if kind.endswith(TAR_SUFFIXES):
        return list_tars([path], limits)
    if kind.endswith(".parquet"):
        return list_parquet([path])
    if kind.endswith(TABLE_SUFFIXES):
        return _list_table(path)
    if kind.endswith((".txt", ".lst")):
        lines = [line.strip() for line in _text(path).splitlines()]
        files = tuple(file_source(path.parent / line, line) for line in lines if line and not line.startswith("#"))
        return _two_sides(Listing(path.name, files))
    if is_picture_name(path.name):
        return Listing(path.name, (file_source(path, path.name),))
    raise SetError(
        f"{path.name} is not a set that can be opened; give a folder, zip, tar, Parquet file, list of files (.txt), "
        "table of pairs (.csv) or hf://datasets/ORG/NAME."
    )


def file_source(path: Path, name: str | None = None) -> FileSource:
    """A file as a source; one that is missing fails when it is read, not before."""
    size = path.stat().st_size if path.is_file() else 0
    return FileSource((name or str(path)).replace("\\", "/"), size, str(path))


def list_folder(folder: Path, limits: Limits | None = None) -> Listing:
    """A folder of pictures, an imagefolder with metadata, or a folder of tars, zips or Parquet files."""
    paths = list_pictures(folder)
    listed = {}
    for path in paths:
        name = os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")
        listed[name] = file_source(path, name)
    tables = sorted(path for name in METADATA_NAMES for path in folder.rglob(name))
    records = []
    for table in tables:
        inside = table.parent.relative_to(folder).as_posix()
        records += [(inside, record) for record in _records(table.name, table.read_bytes())]
    if listed and records:
        return _by_metadata(folder.name, listed, records, tables[0].name)
    if listed:
        return _two_sides(Listing(folder.name, tuple(listed.values())))
    packed = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if parquets := [path for path in packed if path.suffix == ".parquet" and path.name not in METADATA_NAMES]:
        return replace(list_parquet(parquets), name=folder.name)
    if tars := [path for path in packed if path.name.endswith(TAR_SUFFIXES)]:
        return replace(list_tars(tars, limits), name=folder.name)
    if len(zips := [path for path in packed if path.suffix == ".zip"]) == 1:
        return _list_zip(zips[0], limits)
    return Listing(folder.name or str(folder), ())


def list_tars(paths: Sequence[Path], limits: Limits | None = None) -> Listing:
    """Tars, also WebDataset shards: ``0001.input.png`` and ``0001.target.png`` are one sample."""
    hold: list[object] = []
    remarks: list[str] = []
    members: list[Source] = []
    for path in paths:
        found, left_out = list_tar(plain_tar(path, hold, limits), limits)
        prefix = f"{path.name.split('.')[0]}/" if len(paths) > 1 else ""
        members += [replace(source, name=prefix + source.name) for source in found]
        remarks += left_out
    name = paths[0].name
    sides: dict[str, dict[str, Source]] = defaultdict(dict)
    for source in members:
        stem, suffix = PurePosixPath(source.name).stem, PurePosixPath(source.name).suffix
        sample, _, column = stem.rpartition(".")
        side = side_of(column)
        if sample and side:
            parent = PurePosixPath(source.name).parent.as_posix()
            key = sample if parent == "." else f"{parent}/{sample}"
            sides[key].setdefault(side, replace(source, name=key + suffix))
    extra = {"remarks": tuple(remarks), "hold": hold or None}
    if not sides:
        return _two_sides(Listing(name, tuple(sorted(members, key=lambda source: natural_key(source.name))), **extra))
    samples = [sides[key] for key in sorted(sides, key=natural_key) if "input" in sides[key]]
    inputs = tuple(sample["input"] for sample in samples)
    references = tuple(sample.get("reference") for sample in samples)
    return Listing(name, inputs, references if any(references) else None, how="by their sample names", **extra)


def list_parquet(paths: Sequence[Path]) -> Listing:
    """Parquet files with image columns, as the datasets library writes them."""
    import pyarrow
    import pyarrow.parquet

    inputs: list[Source] = []
    references: list[Source | None] = []
    row_number = 0
    for path in paths:
        try:
            table = pyarrow.parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise SetError(f"{path.name} is not a Parquet file that can be read ({error}).") from error
        with table:
            columns = [field.name for field in table.schema_arrow if _holds_pictures(field.type)]
            chosen = choose_columns(columns)
            if chosen is None:
                raise SetError(f"{path.name} has no column of pictures; its columns are {table.schema_arrow.names}.")
            input_column, reference_column = chosen
            typed = pyarrow.types.is_struct(table.schema_arrow.field(input_column).type)
            for group in range(table.num_row_groups):
                count = table.metadata.row_group(group).num_rows
                stored = [None] * count
                if typed:
                    cells = table.read_row_group(group, columns=[f"{input_column}.path"]).column(0).to_pylist()
                    stored = [cell["path"] if cell else None for cell in cells]
                for row in range(count):
                    name = stored[row] or f"{row_number:08d}.png"
                    inputs.append(ParquetSource(name, 0, str(path), input_column, group, row))
                    if reference_column:
                        references.append(ParquetSource(name, 0, str(path), reference_column, group, row))
                    row_number += 1
    pairs = tuple(references) if references else None
    return Listing(paths[0].name, tuple(inputs), pairs, how="by the rows of the table")


def read_pair_table(path: Path) -> list[tuple[str, str | None]]:
    """Names of inputs and references from a CSV, TSV or JSON Lines table.

    The columns are found by name (``input``/``reference``, ``hazy``/``gt``, ``input_file_name``/``target_file_name``
    …); a table of two columns without a heading is read as input, reference.

    Raises:
        SetError: It cannot be read or its columns say nothing.
    """
    if not path.is_file():
        raise SetError(f"There is no table {str(path)!r}; check the path.")
    records = _records(path.name, path.read_bytes())
    if not records:
        raise SetError(f"{path.name} has no lines; give it one line per pair.")
    chosen = choose_columns([str(name) for name in records[0]])
    if chosen is None:
        raise SetError(f"{path.name} needs a column 'input' and a column 'reference'; it has {list(records[0])}.")
    first, second = chosen
    return [(str(record[first]), str(record[second]) if second and record.get(second) else None) for record in records]


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


def _list_zip(path: Path, limits: Limits | None) -> Listing:
    sources, remarks = list_zip(path, limits, also=METADATA_NAMES)
    pictures = {source.name: source for source in sources if is_picture_name(source.name)}
    records = []
    tables = [source for source in sources if not is_picture_name(source.name)]
    for table in tables:
        folder = PurePosixPath(table.name).parent.as_posix()
        records += [(folder, record) for record in _records(table.name, table.read_bytes())]
    if pictures and records:
        listing = _by_metadata(path.name, pictures, records, PurePosixPath(tables[0].name).name)
        return replace(listing, remarks=tuple(remarks))
    ordered = sorted(pictures.values(), key=lambda source: natural_key(source.name))
    return _two_sides(Listing(path.name, tuple(ordered), remarks=tuple(remarks)))


def _list_table(path: Path) -> Listing:
    inputs, references = [], []
    for input_name, reference_name in read_pair_table(path):
        inputs.append(file_source(path.parent / input_name, input_name))
        references.append(file_source(path.parent / reference_name, reference_name) if reference_name else None)
    pairs = tuple(references) if any(references) else None
    return Listing(path.name, tuple(inputs), pairs, how=f"by {path.name}")


def _by_metadata(name: str, files: dict[str, Any], records: list[tuple[str, dict[str, Any]]], table: str) -> Listing:
    """An imagefolder: names in the table are relative to the table's folder, and only listed files are used."""
    chosen = choose_columns(list(records[0][1]))
    if chosen is None:
        return _two_sides(Listing(name, tuple(files.values())))
    inputs: list[Source] = []
    references: list[Source | None] = []
    remarks = []
    for folder, record in records:
        found = []
        for column in chosen:
            value = record.get(column) if column else None
            path = PurePosixPath(folder, str(value)).as_posix() if value else None
            found.append(files.get(path) if path else None)
            if path and path not in files:
                remarks.append(f"{table} names {value!r}, which is not in the set.")
        if found[0] is not None:
            inputs.append(found[0])
            references.append(found[1])
    pairs = tuple(references) if any(references) else None
    return Listing(name, tuple(inputs), pairs, how=f"by {table}", remarks=tuple(remarks))


def _two_sides(listing: Listing) -> Listing:
    """Both sides in one place: folders ``hazy`` and ``gt``, or names ``01_hazy`` and ``01_GT``, and nothing else."""
    paths = without_common_folder([source.name for source in listing.inputs])
    for find in (_side_by_folder, _side_by_ending):
        sides = [find(path) for path in paths]
        if set(sides) == {"input", "reference"}:
            pick = {
                side: tuple(s for s, its in zip(listing.inputs, sides, strict=True) if its == side) for side in sides
            }
            return replace(listing, inputs=pick["input"], other_side=pick["reference"])
    return listing


def _side_by_folder(path: str) -> str | None:
    return next((side for part in PurePosixPath(path).parts[:-1] if (side := side_of(part))), None)


def _side_by_ending(path: str) -> str | None:
    head, mark, ending = PurePosixPath(path).stem.rpartition("_")
    return side_of(ending) if head and mark else None


def _holds_pictures(kind: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def _records(name: str, data: bytes) -> list[dict[str, Any]]:
    """Lines of a table as dictionaries."""
    if name.endswith(".parquet"):
        import pyarrow.parquet

        return pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    try:
        text = data.decode("utf-8-sig")
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        rows = list(csv.reader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ","))
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise SetError(f"{name} cannot be read as a table ({error}); save it as UTF-8 CSV.") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if rows and len(rows[0]) <= 2 and all(is_picture_name(cell.strip()) for cell in rows[0]):
        rows.insert(0, ["input", "reference"][: len(rows[0])])
    return [{n.strip(): c.strip() for n, c in zip(rows[0], row, strict=False)} for row in rows[1:]]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetError(f"{path.name} is not a list of files in UTF-8 ({error}).") from error
