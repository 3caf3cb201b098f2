"""Listing zips and tars that strangers uploaded.

Members are never written to disk and never read here: only the directory of the archive is. What is refused is named
with its reason, what is broken becomes a source that raises the reason, and the rest of the set goes on.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from errors import SetError
from eval.sources import BrokenSource, Source, SpanSource, ZipSource, same_bytes
from images import UNREAD, is_picture_name

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".gz")


@dataclass(frozen=True)
class Limits:
    """How much an archive may claim.

    Attributes:
        members: Most entries of any kind.
        total_bytes: Most bytes all members together may unpack to.
    """

    members: int = 200_000
    total_bytes: int = 256 * 2**30


UPLOAD_LIMITS = Limits(members=20_000, total_bytes=8 * 2**30)
"""For archives that arrive through a browser."""


def list_zip(path: Path, limits: Limits | None = None, also: Sequence[str] = ()) -> tuple[list[Source], list[str]]:
    """Pictures of a zip in the order of its directory, and a sentence for everything that was left out.

    Args:
        path: The zip.
        limits: What it may claim.
        also: File names that are wanted besides pictures.

    Raises:
        SetError: It is no zip, or it claims more than the limits.
    """
    limits = limits or Limits()
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SetError(f"{path.name} is not a zip that can be opened ({error}); zip the folder again.") from error
    if not members:
        raise SetError(f"{path.name} is an empty zip; put the pictures into it.")
    total = sum(member.file_size for member in members)
    _check_limits(path, len(members), total, limits)
    sources: list[Source] = []
    remarks: list[str] = []
    old = [member.filename for member in members if _in_old_code_page(member)]
    if old:
        remarks.append(
            f"{path.name} has names in an old code page ({old[0]} for one), which may read wrong and then pair with "
            "nothing; zip the folder again with names in UTF-8."
        )
    for index, member in enumerate(members):
        name = zip_name(member)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.is_dir() or _is_clutter(name):
            continue
        if reason := _why_refused(
            name, is_link=kind == stat.S_IFLNK, is_special=kind not in (0, stat.S_IFREG, stat.S_IFLNK)
        ):
            remarks.append(reason)
        elif member.flag_bits & 0x1:
            reason = f"{name} is encrypted; zip the set again without a password."
            sources.append(BrokenSource(name, member.file_size, reason))
            remarks.append(reason)
        elif is_picture_name(name) or PurePosixPath(name).name in also:
            sources.append(ZipSource(name, member.file_size, str(path), index, member.CRC))
        elif reason := unread(name):
            remarks.append(reason)
    return _without_repeats(sources, remarks), remarks


def zip_name(member: zipfile.ZipInfo) -> str:
    """A member's name with forward slashes; UTF-8 that an old tool did not declare is recognised."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):  # else it really is an old code page, and cp437 is reversible
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _in_old_code_page(member: zipfile.ZipInfo) -> bool:
    return not member.flag_bits & 0x800 and not member.filename.isascii() and zip_name(member) == member.filename


def list_tar(path: Path, limits: Limits | None = None) -> tuple[list[Source], list[str]]:
    """Members of an uncompressed tar that are regular files with a picture's name, and what was left out.

    A tar has no checksums, so members of one name and size are read to see whether they are the same.

    Raises:
        SetError: It is no tar, or it claims more than the limits.
    """
    limits = limits or Limits()
    sources: list[Source] = []
    remarks: list[str] = []
    total = 0
    try:
        with tarfile.open(path, mode="r:", errors="surrogateescape") as archive:
            for count, member in enumerate(archive, start=1):
                archive.members = []  # tarfile keeps every header it has seen; a million of them is memory
                total += member.size
                _check_limits(path, count, total, limits)
                name = _readable(member.name)
                if member.isdir() or _is_clutter(name):
                    continue
                is_link = member.issym() or member.islnk()
                if reason := _why_refused(name, is_link=is_link, is_special=not member.isreg() and not is_link):
                    remarks.append(reason)
                elif is_picture_name(name):
                    sources.append(SpanSource(name.removeprefix("./"), member.size, str(path), member.offset_data))
                elif reason := unread(name):
                    remarks.append(reason)
    except (tarfile.TarError, OSError) as error:
        raise SetError(f"{path.name} is not a tar that can be read ({error}); pack it again.") from error
    return _without_repeats(sources, remarks), remarks


def plain_tar(path: Path, hold: list[object], limits: Limits | None = None) -> Path:
    """The tar itself, or an unpacked copy of a compressed one: only a plain tar can be read at any place.

    Args:
        path: The tar.
        hold: Gets the temporary folder of the copy; it is removed when nothing refers to it any more.
        limits: The copy stops at ``total_bytes``.

    Raises:
        SetError: It is damaged, or it unpacks to more than the limits.
    """
    openers = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opener = openers.get(path.suffix.lower())
    if opener is None:
        return path
    folder = tempfile.TemporaryDirectory(prefix="unveil-tar-")
    copy = Path(folder.name) / path.name
    written = 0
    most = (limits or Limits()).total_bytes
    try:
        with opener(path, "rb") as packed, copy.open("wb") as plain:
            while block := packed.read(2**20):
                written += len(block)
                if written > most:
                    raise SetError(f"{path.name} unpacks to over {most / 2**30:,.0f} GiB; it was not opened.")
                plain.write(block)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise SetError(f"{path.name} is damaged or cut off ({error}); pack it again.") from error
    hold.append(folder)
    return copy


def unread(name: str) -> str | None:
    """What to say of a picture in a format that is not read; None for anything else."""
    kind = UNREAD.get(PurePosixPath(name).suffix.lower())
    return f"{name} was left out: {kind} files are not read; save it as PNG." if kind else None


def _check_limits(path: Path, count: int, total: int, limits: Limits) -> None:
    if count > limits.members:
        raise SetError(f"{path.name} holds more than {limits.members:,} entries; split it into parts.")
    if total > limits.total_bytes:
        raise SetError(
            f"{path.name} claims to unpack to {total / 2**30:,.0f} GiB, over the limit of "
            f"{limits.total_bytes / 2**30:,.0f} GiB; it was not opened."
        )


def _why_refused(name: str, *, is_link: bool, is_special: bool) -> str | None:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        return f"{name!r} was left out: its path points outside the archive."
    if is_link:
        return f"{name!r} was left out: it is a link."
    if is_special:
        return f"{name!r} was left out: it is not a regular file."
    if name.lower().endswith(ARCHIVE_SUFFIXES):
        return f"{name!r} was left out: it is an archive in the archive; unpack it first."
    return None


def _is_clutter(name: str) -> bool:
    """Hidden files and what file managers add."""
    parts = [part for part in PurePosixPath(name).parts if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _without_repeats(sources: list[Source], remarks: list[str]) -> list[Source]:
    """One source per name. A name that stands for different bytes is broken: nobody can say which is meant."""
    first: dict[str, int] = {}
    kept: list[Source] = []
    for source in sources:
        if source.name not in first:
            first[source.name] = len(kept)
            kept.append(source)
            continue
        place = first[source.name]
        if not isinstance(kept[place], BrokenSource) and not _same_content(kept[place], source):
            reason = f"{source.name} is in the archive more than once with different content; keep one of them."
            kept[place] = BrokenSource(source.name, source.size, reason)
            remarks.append(reason)
    return kept


def _same_content(one: Source, other: Source) -> bool:
    """Whether two members hold the same bytes, by their checksums where the archive has some."""
    return one.fingerprint() == other.fingerprint() and (isinstance(one, ZipSource) or same_bytes(one, other))


def _readable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\\", "/")
