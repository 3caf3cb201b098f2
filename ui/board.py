"""A leaderboard as part of the page: the table, its small print, its plots. All views of ``eval.leaderboard``."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval import export
from eval.exports.printed import (
    FAILED,
    cost_columns,
    failed_images,
    failure_line,
    in_script,
    lines,
    sentences,
    show_cost,
    title,
)
from eval.exports.reasons import reasons
from eval.leaderboard import COSTS, Leaderboard
from eval.plots import distribution_svg, pareto_svg
from ui import html
from ui.advice import in_browser

if TYPE_CHECKING:
    import pandas

DOWNLOADS = {
    "csv": "CSV",
    "md": "Markdown",
    "tex": "LaTeX",
    "html": "HTML",
    "json": "JSON report",
    "parquet": "Rows (Parquet)",
}
"""Format of ``eval.export`` to the words on its button."""


def table(board: Leaderboard) -> str:
    """The ranking. Raw numbers sit in ``data-value``, by which columns sort; shown ones in the cells."""
    heads = ['<th class="text" scope="col">#</th>', '<th class="text name" scope="col">Method</th>']
    heads += [
        f'<th scope="col" title="{escape(_hint(board, m))}">{escape(title(board, m))}</th>' for m in board.metrics
    ]
    heads.append('<th scope="col" title="1 = best on every image">Average rank</th>')
    heads += [f'<th scope="col">{FAILED}</th>'] if board.failures else []
    heads += [f'<th scope="col">{escape(COSTS[name])}</th>' for name in cost_columns(board)]
    records = board.table.to_dict("records")
    body = "".join(_row(board, record, line) for record, line in zip(records, lines(board), strict=True))
    small = "<br>".join(escape(sentence) for sentence in sentences(board))
    return (
        '<p class="note sideways">Scroll the table sideways for more columns →</p>'
        f'<div class="table-scroll"><table class="board"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<p class="note under">{small}<br>Bold is best, underlined is second. Click a heading to sort.</p>'
    )


def failures(board: Leaderboard) -> str:
    """How many images lack a score, and one line a reason; empty if there is none."""
    if not board.failures:
        return ""
    said = reasons(board.failures, lambda metric: failure_line(board, metric))
    items = "".join(f"<li>{escape(in_browser(sentence))}</li>" for sentence in said)
    what = f"{failed_images(board)} failed"
    return f'<div class="alert" role="status"><details open><summary>{what}</summary><ul>{items}</ul></details></div>'


def plots(board: Leaderboard, metric: str) -> tuple[str, str]:
    """The distribution over pictures, and quality against time where times are known, as SVG."""
    pareto = ""
    if "seconds_per_mpix" in board.costs and sum(math.isfinite(_cost(board, m)) for m in board.methods) > 1:
        pareto = pareto_svg(board, metric, "seconds_per_mpix", theme=None)
    return html.panel(distribution_svg(board, metric, theme=None)), html.panel(pareto) if pareto else ""


def _cost(board: Leaderboard, method: str) -> float:
    value = board.raw(method, "seconds_per_mpix")
    return math.nan if value is None else float(value)


def _hint(board: Leaderboard, metric: str) -> str:
    spec = board.specs[metric]
    return f"{spec.better} is better. {spec.typical}. Licence: {spec.licence}."


def _row(board: Leaderboard, record: dict[str, Any], line: Any) -> str:
    cells = [
        f'<td class="text dim" data-value="{line.rank}">{line.rank}</td>',
        f'<td class="text name">{escape(line.method)}</td>',
    ]
    for cell in line.cells:
        interval = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
        group = f"<sup>{escape(cell.group)}</sup>" if cell.group else ""
        cells.append(
            f'<td class="{cell.mark}" data-value="{in_script(cell.value)}">{escape(cell.text)}{group}{interval}</td>'
        )
    cells.append(f'<td class="dim" data-value="{in_script(record["average_rank"])}">{escape(line.average_rank)}</td>')
    if board.failures:
        kind = "why" if line.failures else "dim"
        cells.append(f'<td class="{kind}" data-value="{line.failures}">{line.failures or "–"}</td>')
    for name in cost_columns(board):
        value = record[name]
        raw = "" if isinstance(value, str) else f' data-value="{in_script(value)}"'
        cells.append(f'<td class="dim"{raw}>{escape(show_cost(name, value))}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def export_files(board: Leaderboard, frame: pandas.DataFrame, folder: Path) -> dict[str, Path]:
    """Write every form of the ranking, as the command line does; format to file."""
    paths = export.write_all(board, frame, folder, formats=tuple(DOWNLOADS))
    return dict(zip(DOWNLOADS, paths, strict=True))
