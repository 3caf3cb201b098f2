"""Where one picture of a set lies, and how to get its bytes when its turn comes.

A source is a small picklable fact; the file handles behind it are opened per process and kept. Nothing is unpacked to
disk and no source holds pixels, so a set of any size costs a few hundred bytes per picture.
"""

from __future__ import annotations

import lzma
import os
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import ImageError, first_line
from images import Picture, read_picture, read_size

MAX_FILE_BYTES = 512 * 2**20
"""Largest single picture file that is read; an archive member that claims to be small is cut off here too."""

_HEAD_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Source:
    """One picture file of a set.

    Attributes:
        name: Path inside the set with forward slashes, for pairing and for messages.
        size: Bytes of the file as far as its container says.
    """

    name: str
    size: int

    def read_bytes(self, count: int | None = None) -> bytes:
        """The file's bytes, or its first ``count`` bytes.

        Raises:
            ImageError: The bytes cannot be had.
        """
        raise NotImplementedError

    def read(self) -> Picture:
        """The decoded picture.

        Raises:
            ImageError: Missing, damaged, hostile or too large.
        """
        return read_picture(self.read_bytes(), name=self.name)

    def picture_size(self) -> tuple[int, int]:
        """Height and width as displayed, from the file's head where that is enough.

        Raises:
            ImageError: It is no picture.
        """
        try:
            return read_size(self.read_bytes(_HEAD_BYTES), name=self.name)
        except ImageError:
            if self.size <= _HEAD_BYTES:
                raise
            return read_size(self.read_bytes(), name=self.name)

    def fingerprint(self) -> tuple[int, int]:
        """Something cheap that equal files share; different files may share it too."""
        return self.size, 0

    def _check_size(self) -> None:
        if self.size > MAX_FILE_BYTES:
            raise ImageError(
                f"{self.name} is {self.size / 2**20:.0f} MiB, over the limit of {MAX_FILE_BYTES / 2**20:.0f} MiB for "
                "one picture; it was not read."
            )


@dataclass(frozen=True)
class FileSource(Source):
    """A file on disk."""

    path: str

    def read_bytes(self, count: int | None = None) -> bytes:
        """See :meth:`Source.read_bytes`."""
        self._check_size()
        try:
            with open(self.path, "rb") as stream:
                return stream.read(MAX_FILE_BYTES if count is None else count)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise ImageError(f"{self.name} cannot be read ({_reason(error)}); check the file.") from error


@dataclass(frozen=True)
class BytesSource(Source):
    """Bytes in memory, for pictures that a program made."""

    data: bytes

    def read_bytes(self, count: int | None = None) -> bytes:
        """See :meth:`Source.read_bytes`."""
        return self.data[:count]


@dataclass(frozen=True)
class ZipSource(Source):
    """A member of a zip, read in place.

    Attributes:
        archive: Path of the zip.
        index: Position in the central directory: names may repeat, positions do not.
        crc: Checksum the zip claims.
    """

    archive: str
    index: int
    crc: int

    def read_bytes(self, count: int | None = None) -> bytes:
        """See :meth:`Source.read_bytes`."""
        self._check_size()
        try:
            container = _CONTAINERS.get(self.archive, (), zipfile.ZipFile)
            with container.open(container.infolist()[self.index]) as stream:
                data = stream.read(MAX_FILE_BYTES + 1 if count is None else count)
        except _ZIP_ERRORS as error:
            raise ImageError(
                f"{self.name} cannot be unpacked from {Path(self.archive).name} ({_reason(error)}); zip it again."
            ) from error
        if len(data) > MAX_FILE_BYTES:
            raise ImageError(f"{self.name} unpacks to far more than it claims; it was not read.")
        return data

    def fingerprint(self) -> tuple[int, int]:
        """Size and checksum."""
        return self.size, self.crc


@dataclass(frozen=True)
class SpanSource(Source):
    """A span of a larger file: a member of an uncompressed tar."""

    path: str
    offset: int

    def read_bytes(self, count: int | None = None) -> bytes:
        """See :meth:`Source.read_bytes`."""
        self._check_size()
        wanted = self.size if count is None else min(count, self.size)
        try:
            with open(self.path, "rb") as stream:
                stream.seek(self.offset)
                data = stream.read(wanted)
        except OSError as error:
            raise ImageError(f"{self.name} cannot be read ({_reason(error)}); check {Path(self.path).name}.") from error
        if len(data) < wanted:
            raise ImageError(f"{self.name} is cut off: {Path(self.path).name} ends early; copy it again.")
        return data


@dataclass(frozen=True)
class ParquetSource(Source):
    """A cell of an image column, as the datasets library writes it: a struct of ``bytes`` and ``path``."""

    path: str
    column: str
    row_group: int
    row: int

    def read_bytes(self, count: int | None = None) -> bytes:
        """See :meth:`Source.read_bytes`."""
        import pyarrow

        def open_group(path: str) -> Any:
            return _row_group(path, self.column, self.row_group)

        try:
            cell = _ROW_GROUPS.get(self.path, (self.column, self.row_group), open_group)[self.row].as_py()
            data = cell["bytes"] if isinstance(cell, dict) else cell
        except (pyarrow.ArrowException, OSError, LookupError, ValueError) as error:
            raise ImageError(
                f"{self.name} cannot be read from {Path(self.path).name} ({_reason(error)}); copy or write it again."
            ) from error
        if not data:
            raise ImageError(f"{self.name} has no bytes in column {self.column!r} of {Path(self.path).name}.")
        return data if count is None else data[:count]

    def picture_size(self) -> tuple[int, int]:
        """See :meth:`Source.picture_size`; the cell is in memory anyway."""
        return read_size(self.read_bytes(), name=self.name)


@dataclass(frozen=True)
class BrokenSource(Source):
    """A file that is known to be unreadable; reading it gives the reason, so it costs one row and not the set."""

    reason: str

    def read_bytes(self, count: int | None = None) -> bytes:
        """See :meth:`Source.read_bytes`."""
        raise ImageError(self.reason)


def same_bytes(one: Source, other: Source) -> bool:
    """Whether two files hold the same bytes; False where one of them cannot be read."""
    if one.size and other.size and one.size != other.size:  # a cell of a table does not say its size
        return False
    try:
        return one.read_bytes(_HEAD_BYTES) == other.read_bytes(_HEAD_BYTES) and one.read_bytes() == other.read_bytes()
    except ImageError:
        return False


class _Kept:
    """What a process keeps of the files it reads from, those used last; safe to share between threads.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._items: OrderedDict[tuple[str, Hashable], tuple[tuple[int, int], Any]] = OrderedDict()

    def get(self, path: str, part: Hashable, make: Callable[[str], Any]) -> Any:
        """What ``make`` made of the file, made again when the file has changed.

        Raises:
            ImageError: The file is gone.
        """
        with self._lock:
            known, made = self._items.pop((path, part), (None, None))
            try:
                status = os.stat(path)
                stamp = status.st_mtime_ns, status.st_size
                if known != stamp:
                    made = make(path)
            except FileNotFoundError as error:  # gone before the look at it, or between that and the opening
                raise ImageError(f"{Path(path).name} is no longer there; give it again.") from error
            self._items[path, part] = stamp, made
            if len(self._items) > self._most:
                self._items.popitem(last=False)
            return made

    def forget(self, folder: Path) -> None:
        """Let go of everything below a folder. A file closes with its last reader, which ends in peace."""
        root = Path(os.path.realpath(folder))
        with self._lock:
            for path, part in list(self._items):
                if Path(os.path.realpath(path)).is_relative_to(root):
                    del self._items[path, part]


_CONTAINERS = _Kept(16)
_ROW_GROUPS = _Kept(4)

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    LookupError,
    ValueError,
)
"""What Python's reader raises on damaged or replaced zips."""


def close_containers(folder: Path) -> None:
    """Close and forget every archive and table that is open below a folder, so that deleting it frees its space.

    Safe while other threads read: a read under way ends as usual, later ones open the file again, or raise
    :class:`ImageError` where it is gone. Call it after the files are deleted.

    Args:
        folder: The folder; it need not exist any more.
    """
    _CONTAINERS.forget(folder)
    _ROW_GROUPS.forget(folder)


def _row_group(path: str, column: str, row_group: int) -> Any:
    """One column of one row group: the unit Parquet can read alone. Neighbours share it."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as table:
        return table.read_row_group(row_group, columns=[column]).column(0)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
