"""What lies at a location: the layouts in which people keep sets of pictures, each read into one :class:`Listing`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from errors import SetError
from eval.archives import Limits, list_tar, list_zip, plain_tar
from eval.pairing import NameIndex, without_common_folder
from eval.sources import FileSource, ParquetSource, Source
from eval.tables import Record, choose_columns, columns_of, damaged_parquet, read_pair_table, read_records, side_of
from images import is_picture_name, list_pictures, natural_key

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
    if listed:
        tables = sorted(path for name in METADATA_NAMES for path in folder.rglob(name))
        named = {path.relative_to(folder).as_posix(): path.read_bytes() for path in tables}
        return _by_metadata(folder.name, listed, named)
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

    found: list[tuple[Source, Source | None]] = []
    for path in paths:
        try:
            with pyarrow.parquet.ParquetFile(path) as table:
                found += _parquet_pairs(path, table, first_row=len(found))
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise SetError(damaged_parquet(path.name, error)) from error
    references = tuple(reference for _, reference in found)
    pairs = references if any(references) else None
    return Listing(paths[0].name, tuple(source for source, _ in found), pairs, how="by the rows of the table")


def _list_zip(path: Path, limits: Limits | None) -> Listing:
    sources, remarks = list_zip(path, limits, also=METADATA_NAMES)
    ordered = sorted(sources, key=lambda source: natural_key(source.name))
    pictures = {source.name: source for source in ordered if is_picture_name(source.name)}
    tables = {
        source.name: source.read_bytes() for source in sources if PurePosixPath(source.name).name in METADATA_NAMES
    }
    listing = _by_metadata(path.name, pictures, tables)
    return replace(listing, remarks=(*remarks, *listing.remarks))


def _list_table(path: Path) -> Listing:
    inputs, references = [], []
    for input_name, reference_name in read_pair_table(path):
        inputs.append(file_source(path.parent / input_name, input_name))
        references.append(file_source(path.parent / reference_name, reference_name) if reference_name else None)
    pairs = tuple(references) if any(references) else None
    return Listing(path.name, tuple(inputs), pairs, how=f"by {path.name}")


def _by_metadata(name: str, files: dict[str, Source], tables: dict[str, bytes]) -> Listing:
    """An imagefolder: names in a table are relative to the table's folder, and only listed files are used.

    Tables that say nothing are passed over; without any other the pictures are all on one side, or in two folders.
    """
    known = NameIndex.of(files)
    pairs: list[tuple[Source, Source | None]] = []
    remarks: list[str] = []
    used = []
    for table, data in tables.items():
        records = read_records(table, data)
        chosen = choose_columns(columns_of(records))
        if chosen is not None:
            used.append(PurePosixPath(table).name)
            pairs += _metadata_pairs(table, records, chosen, known, remarks)
    if not used:
        return _two_sides(Listing(name, tuple(files.values())))
    references = tuple(reference for _, reference in pairs)
    return Listing(
        name,
        tuple(source for source, _ in pairs),
        references if any(references) else None,
        how=f"by {used[0]}",
        remarks=tuple(remarks),
    )


def _metadata_pairs(
    table: str, records: Sequence[Record], columns: tuple[str, str | None], known: NameIndex, remarks: list[str]
) -> Iterator[tuple[Source, Source | None]]:
    """The pairs of one table; what is not in the set goes to the remarks."""
    place = PurePosixPath(table)
    for record in records:
        found = []
        for column in columns:
            value = record.name_in(column)
            source = known.get((place.parent / value).as_posix()) if value else None
            if value and source is None:
                remarks.append(f"{place.name} names {value!r}, which is not in the set.")
            found.append(source)
        if found[0] is not None:
            yield found[0], found[1]
        elif record.name_in(columns[0]) is None:
            remarks.append(f"{record.place} was left out: it names no input in the column {columns[0]!r}.")


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
        return _has_field(kind, "bytes")
    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def _has_field(kind: Any, field: str) -> bool:
    import pyarrow

    return pyarrow.types.is_struct(kind) and kind.get_field_index(field) >= 0


def _parquet_pairs(path: Path, table: Any, first_row: int) -> Iterator[tuple[Source, Source | None]]:
    """The rows of one Parquet file, called as they call themselves, or else by their number."""
    schema = table.schema_arrow
    chosen = choose_columns([field.name for field in schema if _holds_pictures(field.type)])
    if chosen is None:
        raise SetError(f"{path.name} has no column of pictures; its columns are {schema.names}.")
    kind = schema.field(chosen[0]).type
    row_number = first_row
    for group in range(table.num_row_groups):
        stored = [None] * table.metadata.row_group(group).num_rows
        if _has_field(kind, "path"):
            cells = table.read_row_group(group, columns=[f"{chosen[0]}.path"]).column(0).to_pylist()
            stored = [cell["path"] if cell else None for cell in cells]
        for row, own_name in enumerate(stored):
            name = own_name or f"{row_number:08d}.png"
            source, reference = (
                ParquetSource(name, 0, str(path), column, group, row) if column else None for column in chosen
            )
            yield source, reference
            row_number += 1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetError(f"{path.name} is not a list of files in UTF-8 ({error}).") from error
