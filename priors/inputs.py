"""Pictures that a command line names, one by one or by their folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from errors import UsageError
from images import UNREAD, list_pictures, list_unread


def find_input(name: str | Path) -> Path:
    """A picture or folder that was named.

    Raises:
        UsageError: It does not exist.
    """
    path = Path(name)
    if not path.exists():
        raise UsageError(f"There is no picture or folder {str(name)!r}; check the path.")
    return path


def find_inputs(names: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Every picture that was named, directly or by its folder, and those in the folders whose formats are not read.

    Raises:
        UsageError: One does not exist, or a folder holds no picture.
    """
    found: list[Path] = []
    unread: list[Path] = []
    for name in names:
        path = find_input(name)
        pictures, others = (list_pictures(path), list_unread(path)) if path.is_dir() else ([path], [])
        if not pictures and others:
            raise UsageError(
                f"The pictures in {str(name)!r} are not read, {others[0].name} for one; export them as PNG."
            )
        if not pictures:
            raise UsageError(f"The folder {str(name)!r} holds no pictures; name one that does.")
        found.extend(pictures)
        unread.extend(others)
    return list(dict.fromkeys(found)), list(dict.fromkeys(unread))


def left_out(unread: Sequence[Path], most: int = 5) -> str:
    """Which pictures of formats that are not read were passed over, as one line."""
    names = [f"{path.name} ({UNREAD[path.suffix.lower()]} is not read)" for path in unread[:most]]
    rest = [f"and {len(unread) - most} more"] if len(unread) > most else []
    return f"{len(unread)} file{'s' if len(unread) > 1 else ''} left out: {', '.join(names + rest)}"
