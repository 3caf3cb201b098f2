"""Where one picture of a set lies, and how to get its bytes when its turn comes.

A source is a small picklable fact; the file handles behind it are opened per process and kept. Nothing is unpacked to
disk and no source holds pixels, so a set of any size costs a few hundred bytes per picture.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from errors import ImageError
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
        except OSError as error:
            raise ImageError(f"{self.name} cannot be read ({error.strerror}).") from error


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
        container = kept_open(self.archive, zipfile.ZipFile)
        try:
            with container.open(container.infolist()[self.index]) as stream:
                data = stream.read(MAX_FILE_BYTES + 1 if count is None else count)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise ImageError(f"{self.name} cannot be unpacked from {Path(self.archive).name} ({error}).") from error
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
            raise ImageError(f"{self.name} cannot be read ({error.strerror}).") from error
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
        cell = _row_group(self.path, os.stat(self.path).st_mtime_ns, self.column, self.row_group)[self.row].as_py()
        data = cell["bytes"] if isinstance(cell, dict) else cell
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


def kept_open(path: str, opener: Callable[[str], Any]) -> Any:
    """A container opened once per process and kept; opened again when the file has changed."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise ImageError(f"{Path(path).name} is no longer there; give it again.") from error
    return _open_container(path, opener, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _open_container(path: str, opener: Callable[[str], Any], modified: int, size: int) -> Any:
    return opener(path)


@lru_cache(maxsize=4)
def _row_group(path: str, modified: int, column: str, row_group: int) -> Any:
    """One column of one row group: the unit Parquet can read alone. Neighbours share it."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as table:
        return table.read_row_group(row_group, columns=[column]).column(0)
