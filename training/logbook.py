"""Logbook: one CSV of losses, one of validations, and TensorBoard where it is installed.

CSV is the record: it is appended row by row, survives a kill, and is cut back to the saved step when a run resumes,
so a resumed run has the rows of one that was never interrupted.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any


class Logbook:
    """Writes rows below a run's folder.

    Args:
        folder: The run.
        resumed_at: Step of the saved state; later rows are dropped. None starts new files.
        tensorboard: Also write TensorBoard events if it can be imported.
    """

    def __init__(self, folder: Path, resumed_at: int | None = None, tensorboard: bool = True) -> None:
        self.folder = folder
        self._board = self._open_board(resumed_at) if tensorboard else None
        for name in ("train", "validation"):
            path = folder / f"{name}.csv"
            if resumed_at is None:
                path.unlink(missing_ok=True)
            elif path.exists():
                _cut(path, resumed_at)

    def write(self, name: str, row: dict[str, Any]) -> None:
        """Append a row, which has a ``step``, to ``name``.csv."""
        path = self.folder / f"{name}.csv"
        columns = _columns(path, row)
        with path.open("a", newline="", encoding="utf-8") as stream:
            values = {key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()}
            csv.DictWriter(stream, columns).writerow(values)
        if self._board is not None:
            for key, value in row.items():
                if key != "step" and isinstance(value, int | float):
                    self._board.add_scalar(f"{name}/{key}", value, row["step"])

    def close(self) -> None:
        """Finish pending writes."""
        if self._board is not None:
            self._board.close()

    def _open_board(self, resumed_at: int | None) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(self.folder / "tensorboard", purge_step=resumed_at)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a log."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _columns(path: Path, row: dict[str, Any]) -> list[str]:
    """The table's columns, once it has all of the row's: a changed recipe may log more than the old one did."""
    columns: list[str] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as stream:
            columns = next(csv.reader(stream), [])
    missing = [key for key in row if key not in columns]
    if missing:
        before = read_rows(path) if columns else []
        columns += missing
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, restval="")
            writer.writeheader()
            writer.writerows(before)
    return columns


def _cut(path: Path, step: int) -> None:
    """Drop rows after ``step``, and a last row that a kill left half written."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    header = rows[0] if rows else []
    kept = [row for row in rows[1:] if len(row) == len(header) and int(row[header.index("step")]) <= step]
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *kept])
