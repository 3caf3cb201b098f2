"""Where results are written, and what must not be overwritten by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from errors import UsageError


def target_of(path: Path, folder: Path) -> Path:
    """The file that the result of a picture is written to."""
    return folder / f"{path.stem}.png"


def check_targets(paths: Iterable[Path], folder: Path, *, overwrite: bool = False) -> None:
    """Guard of what lies in a folder that results are written to.

    Args:
        paths: Pictures.
        folder: Where their results go.
        overwrite: Whether results that are there already may be replaced.

    Raises:
        UsageError: A picture would be overwritten by its own result, or another result by one of these.
    """
    for path in paths:
        target = target_of(path, folder)
        if target.resolve() == path.resolve():
            raise UsageError(f"{path} would be overwritten by its own result; choose another output folder.")
        if target.exists() and not overwrite:
            raise UsageError(
                f"{target} is there already; choose another output folder, or replace it with --overwrite "
                "(overwrite=True in Python)."
            )


def find_clashes(paths: Sequence[Path], folder: Path) -> dict[Path, str]:
    """Pictures of one stem, each with a sentence why it is not restored: ``same.jpg.png`` would pair with neither."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(path.stem, []).append(path)
    return {
        path: f"{path} and {' and '.join(str(other) for other in group if other != path)} would be written to one "
        f"file, {target_of(path, folder)}; rename them, or restore them to two folders."
        for group in groups.values()
        if len(group) > 1
        for path in group
    }
