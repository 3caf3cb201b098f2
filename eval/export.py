"""Leaderboards on disk: the door to every printed form.

`write_all` is what `python -m eval leaderboard` leaves behind. The same rows give the same bytes: no file holds a date,
a duration or a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UnknownNameError
from eval.exports.csv import to_csv
from eval.exports.html import to_html
from eval.exports.hub import to_eval_results, to_model_index
from eval.exports.latex import to_latex
from eval.exports.markdown import to_markdown
from eval.exports.report import to_report
from eval.rowfiles import write_rows
from eval.rows import from_frame

if TYPE_CHECKING:
    import pandas

    from eval.leaderboard import Leaderboard

__all__ = [
    "FORMATS",
    "to_csv",
    "to_eval_results",
    "to_html",
    "to_latex",
    "to_markdown",
    "to_model_index",
    "to_report",
    "write_all",
]

FORMATS = {
    "csv": ("leaderboard.csv", to_csv),
    "md": ("leaderboard.md", to_markdown),
    "tex": ("leaderboard.tex", to_latex),
    "html": ("leaderboard.html", to_html),
    "json": ("report.json", to_report),
}
"""Format -> file name and the function that makes its text; "parquet" is the rows themselves."""


def write_all(
    board: Leaderboard,
    frame: pandas.DataFrame,
    folder: str | Path,
    *,
    formats: Sequence[str] = (*FORMATS, "parquet"),
    heading: str | None = None,
) -> list[Path]:
    """Write a leaderboard and its rows into `folder`, which is made if need be.

    Args:
        board: The leaderboard.
        frame: The score rows it was built from.
        folder: Where to.
        formats: Which of `FORMATS` and "parquet"; all by default.
        heading: Title of the HTML page and of the Markdown table; the set and the protocol where None.

    Returns:
        The paths written.

    Raises:
        UnknownNameError: An unknown format; nothing is written.
    """
    for name in formats:
        if name not in (*FORMATS, "parquet"):
            raise UnknownNameError("format", name, [*FORMATS, "parquet"])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in dict.fromkeys(formats):
        if name == "parquet":
            path = folder / "rows.parquet"
            write_rows(path, from_frame(frame))
        else:
            file_name, text = FORMATS[name]
            path = folder / file_name
            options = {"heading": heading} if name in ("html", "md") else {}
            path.write_bytes(text(board, **options).encode("utf-8"))
        written.append(path)
    return written
