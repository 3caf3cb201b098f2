"""A leaderboard as one HTML file: sortable, light and dark, with its plots, and nothing loaded from anywhere.

Names of methods and images are hostile: every text is escaped, and a content security policy lets the page run its own
script (by hash) and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from html import escape as _escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.exports.csv import to_csv
from eval.exports.printed import (
    FAILED,
    Cell,
    Line,
    cost_columns,
    failed_images,
    has_intervals,
    headline,
    images,
    lines,
    plain,
    sentences,
    set_name,
    shortened,
    title,
)
from eval.exports.reasons import HEADS, table
from eval.leaderboard import COSTS
from eval.plots import distribution_svg, pareto_svg, style

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard

_MOST_REASONS = 500


def to_html(board: Leaderboard, *, heading: str | None = None) -> str:
    """The whole page as text; its title names set and protocol unless `heading` is another."""
    heading = heading or headline(board)
    here = Path(__file__)
    script = here.with_name("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    sections = [_ranking(board), _plots(board), _costs(board), _duels(board), _failures(board), _reading(board)]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(heading)}</title>",
            f"<style>\n{here.with_name('page.css').read_text(encoding='utf-8')}{style()}\n</style>",
            "</head>\n<body>\n<main>",
            _header(board, heading),
            *filter(None, sections),
            f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def _header(board: Leaderboard, heading: str) -> str:
    table = base64.b64encode(to_csv(board).encode()).decode()
    name = set_name(board)
    chips = [
        *([f"set <b>{_text(name)}</b>"] if name else []),
        f"<b>{_text(board.protocol_name or 'unnamed protocol')}</b> <code>{_text(board.protocol_hash)}</code>",
        f"{len(board.methods)} method{'s' if len(board.methods) != 1 else ''}",
        _text(images(board)),
        f"code {_text(', '.join(board.code_versions) or 'unknown')}",
    ]
    return (
        f"<header><h1>{_text(heading)}</h1>"
        f'<div class="actions"><a class="button" download="leaderboard.csv" href="data:text/csv;base64,{table}">'
        'Download CSV</a><button class="button" id="theme" type="button">Light / dark</button></div>'
        f'<p class="lead">{_text(board.protocol.partition("): ")[2])}</p>'
        f'<div class="chips">{"".join(f"<span class=chip>{chip}</span>" for chip in chips)}</div></header>'
    )


def _ranking(board: Leaderboard) -> str:
    costs = [(name, COSTS[name]) for name in cost_columns(board)]
    heads = [
        _head("#", "number", "rank"),
        _head("Method", "text", "name"),
        *(
            _head(title(board, m), "number", first="descending" if board.specs[m].better == "higher" else "ascending")
            for m in board.metrics
        ),
        _head("Avg. rank", "number"),
        _head(FAILED, "number"),
        *(_head(cost, "text" if name == "device" else "number") for name, cost in costs),
    ]
    scales = {m: _scale(board, m) for m in board.metrics}
    rows = zip(lines(board), board.table.to_dict("records"), strict=True)
    body = "\n".join(_row(board, line, raw, scales) for line, raw in rows)
    legend = ["<span><b>bold</b> best, <u>underlined</u> second, at the shown precision</span>"]
    if has_intervals(board):
        legend.append(
            f'<span><span class="strip" style="--a:.2;--b:.8;--m:.5"><i></i><b></b></span>'
            f"{board.level:.0%} interval of the mean</span>"
        )
    if any(board.groups.values()):
        legend.append('<span><span class="group">ab</span> methods that share a letter cannot be told apart</span>')
    notes = "".join(f"<p>{_text(note)}</p>" for note in board.notes)
    return (
        '<section aria-label="Ranking"><div class="scroll"><table class="board">'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
        f'<div class="legend">{"".join(legend)}</div>'
        + (f'<div class="notes" role="note">{notes}</div>' if notes else "")
        + "</section>"
    )


def _head(text: str, kind: str, css: str = "", first: str = "ascending") -> str:
    return (
        f'<th scope="col" class="{css}" data-kind="{kind}" data-first="{first}">'
        f'<button class="sort" type="button">{_text(text)}</button></th>'
    )


def _row(board: Leaderboard, line: Line, raw: dict[str, Any], scales: dict[str, tuple[float, float]]) -> str:
    failed = f'<span class="warn">{line.failures}</span>' if line.failures else "0"
    costs = zip(cost_columns(board), line.costs, strict=True)
    return (
        f'<tr class="{"top" if line.rank == "1" else ""}">'
        f'<td class="rank" data-value="{_number(raw["rank"])}">{line.rank}</td>'
        f'<th scope="row" class="name" data-value="{_text(line.method)}">{_text(line.method)}</th>'
        + "".join(_score(cell, scales[cell.metric]) for cell in line.cells)
        + f'<td data-value="{_number(raw["average_rank"])}">{line.average_rank}</td>'
        + f'<td data-value="{line.failures}">{failed}</td>'
        + "".join(f'<td data-value="{_number(raw[name])}">{_text(text)}</td>' for name, text in costs)
        + "</tr>"
    )


def _score(cell: Cell, scale: tuple[float, float]) -> str:
    letters = f'<span class="group">{cell.group}</span>'
    text = f'<span class="value {cell.mark}">{cell.text}</span>{letters}'
    if cell.interval:
        low, high = scale
        a, b, m = ((value - low) / (high - low) for value in (cell.low, cell.high, cell.value))
        text += f'<span class="strip" style="--a:{a:.4f};--b:{b:.4f};--m:{m:.4f}"><i></i><b></b></span>'
        text += f'<span class="interval">{cell.interval}</span>'
    return f'<td data-value="{_number(cell.value)}">{text}</td>'


def _scale(board: Leaderboard, metric: str) -> tuple[float, float]:
    """Ends of the interval strips of one column: all strips of a metric share them, so they compare by eye."""
    ends = board.table[[f"{metric}_low", f"{metric}_high"]].stack().dropna()
    if ends.empty or ends.min() == ends.max():
        middle = float(ends.min()) if len(ends) else 0.0
        return middle - 1.0, middle + 1.0
    return float(ends.min()), float(ends.max())


def _plots(board: Leaderboard) -> str:
    plots = [distribution_svg(board, m, theme=None) for m in board.metrics if len(board.values[m])]
    return (
        "<section><h2>Image by image</h2><p class=sub>A dot is an image (shown up to 200), the outline their density, "
        f"the diamond the mean, the bar its interval.</p><div class=plots>{''.join(plots)}</div></section>"
    )


def _costs(board: Leaderboard) -> str:
    known = [name for name in board.costs if name != "device" and board.table[name].dropna().nunique() > 1]
    if not known:
        return ""
    first = next(metric for metric in board.metrics if len(board.values[metric]))
    plots = [pareto_svg(board, first, name, theme=None) for name in known]
    return (
        "<section><h2>Quality against cost</h2><p class=sub>The dashed line joins the methods that no other beats on "
        f"both counts.</p><div class=plots>{''.join(plots)}</div></section>"
    )


def _duels(board: Leaderboard) -> str:
    if len(board.methods) < 2 or not any(board.common.values()):
        return ""
    tables = "".join(_duel(board, metric) for metric in board.metrics if board.common[metric])
    return (
        "<section><h2>Who beats whom</h2><p class=sub>Images on which the method of the row is better, equal, worse "
        "than the method of the column. Coloured where the difference is significant (Wilcoxon, Holm, 5%).</p>"
        f"<div class=duels>{tables}</div></section>"
    )


def _duel(board: Leaderboard, metric: str) -> str:
    counts = board.win_tie_loss(metric)
    p_values = {(t.a, t.b): t.p for t in board.tests if t.metric == metric}
    names = [name for name in board.methods if name in board.values[metric]]
    heads = "".join(f'<th scope=col title="{_text(name)}">{_text(shortened(name, 24))}</th>' for name in names)
    rows = []
    for a in names:
        cells = []
        for b in names:
            if a == b:
                cells.append("<td class=even>·</td>")
                continue
            win, tie, lose = counts[a, b]
            p = p_values.get((a, b), p_values.get((b, a), math.nan))
            kind = "even" if not p < 0.05 else "win" if win > lose else "lose"
            share = round(45 * abs(win - lose) / max(1, win + tie + lose))
            hint = "no test" if math.isnan(p) else f"p = {p:.2g}"
            cells.append(f'<td class="{kind}" style="--s:{share}%" title="{hint}">{win} · {tie} · {lose}</td>')
        rows.append(f"<tr><th scope=row class=name>{_text(a)}</th>{''.join(cells)}</tr>")
    return (
        f"<div><h3>{_text(board.specs[metric].title)}</h3><div class=scroll><table class=duel>"
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def _failures(board: Leaderboard) -> str:
    found = table(board)
    if not found:
        return ""
    heads = "".join(f"<th>{head}</th>" for head in HEADS)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(text)}</td>' for text in row)}</tr>" for row in found[:_MOST_REASONS])
    rest = len(found) - _MOST_REASONS
    more = f"<p class=sub>{rest} more reasons are in report.json.</p>" if rest > 0 else ""
    failed = f" <span class=warn>({failed_images(board)})</span>" if board.failures else ""
    return (
        f"<section><h2>What could not be scored{failed}</h2><div class=scroll><table class=list>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{more}</section>"
    )


def _reading(board: Leaderboard) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences(board))
    heads = "".join(
        f"<th>{_text(board.specs[m].title)} {word}</th>" for m in board.metrics for word in ("median", "std", "images")
    )
    rows = "".join(_detail(board, row) for row in board.table.to_dict("records"))
    return (
        f"<section><h2>How to read this</h2><ul class=read>{items}</ul>"
        "<details><summary>Medians, spreads and where the numbers come from</summary><div class=scroll><table>"
        f"<thead><tr><th class=name>Method</th>{heads}<th class=name>Weights</th><th>Code</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details></section>"
    )


def _detail(board: Leaderboard, row: dict[str, Any]) -> str:
    from eval.column import show

    cells = []
    for metric in board.metrics:
        decimals = board.specs[metric].decimals
        cells += [
            show(row[f"{metric}_median"], decimals),
            show(row[f"{metric}_std"], decimals),
            str(row[f"{metric}_n"]),
        ]
    weights = " ".join(digest[:12] for digest in str(row["weights_sha256"]).split()) or "none"
    return (
        f"<tr><th scope=row class=name>{_text(row['method'])}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}"
        f"<td class=name><code>{_text(weights)}</code></td><td>{_text(row['code_version'])}</td></tr>"
    )


def _number(value: Any) -> str:
    """A raw value as JavaScript's Number reads it; "" where there is none."""
    if isinstance(value, str):
        return _text(value)
    if value is None or math.isnan(value):
        return ""
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else repr(float(value))


def _text(text: str) -> str:
    return _escape(plain(text))
