"""What lies at a location: the layouts in which people keep sets of pictures, each read into one ``Listing``."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from errors import SetError
from eval.archives import Limits, list_tar, list_zip, plain_tar, unread
from eval.listing import Listing, two_sides
from eval.pairing import NameIndex
from eval.sources import FileSource, ParquetSource, Source
from eval.tables import (
    LINE_BYTES,
    MAX_LINES,
    Record,
    choose_columns,
    columns_of,
    damaged_parquet,
    read_pair_table,
    read_records,
    side_of,
)
from eval.wording import listed
from images import is_picture_name, list_pictures, list_unread, natural_key

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def list_any(location: str | Path | Sequence[str | Path], limits: Limits | None = None) -> Listing:
    """List whatever is there; see :func:`eval.sets.open_set` for what it may be.

    Raises:
        SetError: The place does not exist, cannot be opened, or is of no known kind.
    """
    if not isinstance(location, (str, Path)):
        if sets := [str(path) for path in location if _is_set(Path(path))]:
            raise SetError(
                f"{sets[0]} is no picture: several places are a list of pictures; give one folder, archive or table "
                "alone, or the pictures in it."
            )
        return two_sides(Listing("the list", tuple(file_source(Path(path)) for path in location)))
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
        return two_sides(Listing(path.name, files))
    if is_picture_name(path.name):
        return Listing(path.name, (file_source(path, path.name),))
    raise SetError(
        f"{path.name} is not a set that can be opened; give a folder, zip, tar, Parquet file, list of files (.txt), "
        "table of pairs (.csv) or hf://datasets/ORG/NAME."
    )


def _is_set(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith((*TAR_SUFFIXES, *TABLE_SUFFIXES, ".zip", ".parquet"))


def file_source(path: Path, name: str | None = None) -> FileSource:
    """A file as a source; one that is missing fails when it is read, not before."""
    size = path.stat().st_size if path.is_file() else 0
    return FileSource((name or str(path)).replace("\\", "/"), size, str(path))


def list_folder(folder: Path, limits: Limits | None = None) -> Listing:
    """A folder of pictures, an imagefolder with metadata, or a folder of tars, Parquet files or one zip.

    Links to folders are followed.

    Raises:
        SetError: It holds several zips, or something in it cannot be opened.
    """
    pictures = _named(folder, list_pictures(folder))
    remarks = tuple(filter(None, map(unread, _named(folder, list_unread(folder)))))
    if pictures:
        folders = {parent for name in pictures for parent in PurePosixPath(name).parents}
        places = (folder / parent / name for name in METADATA_NAMES for parent in folders)
        tables = _named(folder, sorted(path for path in places if path.is_file()))
        listing = _by_metadata(folder.name, pictures, tables, limits)
        return replace(listing, remarks=(*remarks, *listing.remarks))
    packed = sorted(_files_below(folder))
    if parquets := [path for path in packed if path.suffix == ".parquet" and path.name not in METADATA_NAMES]:
        return replace(list_parquet(parquets), name=folder.name)
    if tars := [path for path in packed if path.name.endswith(TAR_SUFFIXES)]:
        return replace(list_tars(tars, limits), name=folder.name)
    zips = [path for path in packed if path.suffix == ".zip"]
    if len(zips) == 1:
        return _list_zip(zips[0], limits)
    if zips:
        names = listed([path.name for path in zips], 3)
        raise SetError(f"{folder.name} holds {len(zips)} zips ({names}) and no pictures; give one of them, or unpack.")
    return Listing(folder.name or str(folder), (), remarks=remarks)


def _named(folder: Path, paths: Iterable[Path]) -> dict[str, Source]:
    """Files by their names in the folder."""
    names = {os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace"): path for path in paths}
    return {name: file_source(path, name) for name, path in names.items()}


def _files_below(folder: Path) -> Iterator[Path]:
    """Files that are not hidden, in linked folders too; a folder that is there twice is looked at once."""
    seen = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in names if not name.startswith("."))


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
    members.sort(key=lambda source: natural_key(source.name))
    sides: dict[str, dict[str, Source]] = defaultdict(dict)
    called: dict[Source, Source] = {}
    for source in members:
        stem, suffix = PurePosixPath(source.name).stem, PurePosixPath(source.name).suffix
        sample, _, column = stem.rpartition(".")
        side = side_of(column)
        if sample and side:
            parent = PurePosixPath(source.name).parent.as_posix()
            key = sample if parent == "." else f"{parent}/{sample}"
            called[source] = replace(source, name=key + suffix)
            sides[key].setdefault(side, called[source])
    kept = hold or None
    if not sides:
        return two_sides(Listing(name, tuple(members), remarks=tuple(remarks), hold=kept))
    samples = [sides[key] for key in sorted(sides, key=natural_key) if "input" in sides[key]]
    references = tuple(sample.get("reference") for sample in samples)
    chosen = {source for sample in samples for source in sample.values()}
    return Listing(
        name,
        tuple(sample["input"] for sample in samples),
        references if any(references) else None,
        whole=tuple(called[source] if called.get(source) in chosen else source for source in members),
        how="by their sample names",
        lacking="in no sample with an input such as 0001.input.png",
        remarks=tuple(remarks),
        hold=kept,
    )


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
    tables = {source.name: source for source in sources if PurePosixPath(source.name).name in METADATA_NAMES}
    listing = _by_metadata(path.name, pictures, tables, limits)
    return replace(listing, remarks=(*remarks, *listing.remarks))


def _list_table(path: Path) -> Listing:
    inputs, references = [], []
    for input_name, reference_name in read_pair_table(path):
        inputs.append(file_source(path.parent / input_name, input_name))
        references.append(file_source(path.parent / reference_name, reference_name) if reference_name else None)
    pairs = tuple(references) if any(references) else None
    return Listing(path.name, tuple(inputs), pairs, how=f"by {path.name}")


def _by_metadata(name: str, files: dict[str, Source], tables: dict[str, Source], limits: Limits | None) -> Listing:
    """An imagefolder: names in a table are relative to the table's folder, and only listed files are used.

    Tables that say nothing are passed over; without any other the pictures are all on one side, or in two folders.
    """
    known = NameIndex.of(files)
    pairs: list[tuple[Source, Source | None]] = []
    remarks: list[str] = []
    used = []
    most = limits.members if limits else MAX_LINES
    for table, source in tables.items():
        records = read_records(table, source.read_bytes(most * LINE_BYTES + 1), most)
        chosen = choose_columns(columns_of(records))
        if chosen is not None:
            used.append(PurePosixPath(table).name)
            pairs += _metadata_pairs(table, records, chosen, known, remarks)
    if not used:
        return two_sides(Listing(name, tuple(files.values())))
    references = tuple(reference for _, reference in pairs)
    return Listing(
        name,
        tuple(source for source, _ in pairs),
        references if any(references) else None,
        whole=tuple(files.values()),
        how=f"by {used[0]}",
        lacking=f"without a line in {used[0]}",
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
