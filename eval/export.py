"""Leaderboards on disk: the door to every printed form.

`write_all` is what `python -m eval leaderboard` leaves behind. The same rows give the same bytes: no file holds a date,
a duration or a path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import check_names
from eval.exports.csv import to_csv
from eval.exports.html import to_html
from eval.exports.hub import to_eval_results, to_model_index
from eval.exports.latex import to_latex
from eval.exports.markdown import to_markdown
from eval.exports.report import to_report
from eval.rowfiles import write_rows
from eval.rows import from_frame
from eval.selection import rows_behind

if TYPE_CHECKING:
    import pandas

    from eval.suite import Ranking

__all__ = [
    "FORMATS",
    "LOOKS",
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

LOOKS = {
    "heading": ("md", "html"),
    "caption": ("tex",),
    "label": ("tex",),
    "intervals": ("md", "tex", "html"),
    "average_rank": ("md", "tex", "html"),
}
"""What can be chosen about a printed table -> the formats that it is printed in. The others hold raw numbers."""


def write_all(
    ranking: Ranking,
    frame: pandas.DataFrame,
    folder: str | Path,
    *,
    formats: Sequence[str] = (*FORMATS, "parquet"),
    **looks: Any,
) -> list[Path]:
    """Write a ranking and its rows into `folder`, which is made if need be.

    Args:
        ranking: A leaderboard, or those of several sets.
        frame: The score rows it was built from; those that were not ranked are left out of rows.parquet.
        folder: Where to.
        formats: Which of `FORMATS` and "parquet"; all by default.
        looks: Options of `LOOKS`; each form takes those that it knows.

    Returns:
        The paths written.

    Raises:
        UnknownNameError: An unknown format; nothing is written.
        UsageError: A label that LaTeX would not take; nothing is written.
    """
    check_names("format", formats, [*FORMATS, "parquet"])
    texts = {name: _text(name, ranking, looks) for name in dict.fromkeys(formats) if name != "parquet"}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in dict.fromkeys(formats):
        if name == "parquet":
            path = folder / "rows.parquet"
            write_rows(path, from_frame(_ranked(ranking, frame)))
        else:
            path = folder / FORMATS[name][0]
            path.write_bytes(texts[name].encode("utf-8"))
        written.append(path)
    return written


def _text(name: str, ranking: Ranking, looks: Mapping[str, Any]) -> str:
    return FORMATS[name][1](ranking, **{look: value for look, value in looks.items() if name in LOOKS[look]})


def _ranked(ranking: Ranking, frame: pandas.DataFrame) -> pandas.DataFrame:
    return rows_behind(
        frame,
        protocol=ranking.protocol_hash or ranking.protocol_name,
        datasets=ranking.datasets,
        methods=ranking.methods,
        metrics=ranking.metrics,
    )
