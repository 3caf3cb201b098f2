"""A leaderboard as one HTML file: sortable, light and dark, with its plots, and nothing loaded from anywhere.

Names of methods and images are hostile: every text is escaped, and a content security policy lets the page run its own
script (by hash) and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from html import escape as _escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval import stats
from eval.exports.csv import to_csv
from eval.exports.printed import (
    FAILED,
    Cell,
    Line,
    cost_columns,
    failed_images,
    groups,
    has_intervals,
    has_letters,
    headline,
    images,
    in_script,
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
from eval.suite import called
from eval.wording import counted

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard
    from eval.suite import Ranking

_MOST_REASONS = 500


def to_html(ranking: Ranking, *, intervals: bool = True, average_rank: bool = True, heading: str | None = None) -> str:
    """The whole page as text.

    Args:
        ranking: A leaderboard, or several; a set's columns then share a heading, and its plots a section.
        intervals: Show the confidence intervals in the table.
        average_rank: Show its column.
        heading: Title of the page; names set and protocol where None.
    """
    heading = heading or headline(ranking)
    here = Path(__file__)
    script = here.with_name("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    sections = [_ranking(ranking, intervals, average_rank)]
    for board in ranking.boards:
        of_set = f": {_text(called(board))}" if len(ranking.boards) > 1 else ""
        sections += [_plots(board, of_set), _costs(board, of_set), _duels(board, of_set)]
    said = sentences(ranking, intervals=intervals, average_rank=average_rank)
    sections += [_failures(ranking), _reading(ranking, said)]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(heading)}</title>",
            f"<style>\n{here.with_name('page.css').read_text(encoding='utf-8')}{style()}\n</style>",
            "</head>\n<body>\n<main>",
            _header(ranking, heading),
            *filter(None, sections),
            f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def _header(ranking: Ranking, heading: str) -> str:
    table = base64.b64encode(to_csv(ranking).encode()).decode()
    name = set_name(ranking)
    chips = [
        *([f"set{'s' if len(ranking.datasets) > 1 else ''} <b>{_text(name)}</b>"] if name else []),
        f"<b>{_text(ranking.protocol_name or 'unnamed protocol')}</b> <code>{_text(ranking.protocol_hash)}</code>",
        counted(len(ranking.methods), "method"),
        _text(images(ranking)),
        f"code {_text(', '.join(ranking.code_versions) or 'unknown')}",
    ]
    return (
        f"<header><h1>{_text(heading)}</h1>"
        f'<div class="actions"><a class="button" download="leaderboard.csv" href="data:text/csv;base64,{table}">'
        'Download CSV</a><button class="button" id="theme" type="button">Light / dark</button></div>'
        f'<p class="lead">{_text(ranking.protocol.partition("): ")[2])}</p>'
        f'<div class="chips">{"".join(f"<span class=chip>{chip}</span>" for chip in chips)}</div></header>'
    )


def _ranking(ranking: Ranking, intervals: bool, average_rank: bool) -> str:
    costs = [(name, COSTS[name]) for name in cost_columns(ranking)]
    columns = [(board, metric) for board in ranking.boards for metric in board.metrics]
    heads = [
        _head("#", "number", "rank"),
        _head("Method", "text", "name"),
        *(
            _head(title(board, m), "number", first="descending" if board.specs[m].better == "higher" else "ascending")
            for board, m in columns
        ),
        *([_head("Avg. rank", "number")] if average_rank else []),
        _head(FAILED, "number"),
        *(_head(cost, "text" if name == "device" else "number") for name, cost in costs),
    ]
    scales = [_scale(board, metric) if intervals else None for board, metric in columns]
    names = [name for name, _ in costs]
    rows = zip(lines(ranking), ranking.table.to_dict("records"), strict=True)
    body = "\n".join(_row(line, raw, scales, names, average_rank) for line, raw in rows)
    legend = ["<span><b>bold</b> best, <u>underlined</u> second, at the shown precision</span>"]
    if intervals and has_intervals(ranking):
        legend.append(
            f'<span><span class="strip" style="--a:.2;--b:.8;--m:.5"><i></i><b></b></span>'
            f"{ranking.level:.0%} interval of the mean</span>"
        )
    if has_letters(ranking):
        legend.append('<span><span class="group">ab</span> methods that share a letter cannot be told apart</span>')
    notes = "".join(f"<p>{_text(note)}</p>" for note in ranking.notes)
    return (
        '<section aria-label="Ranking"><div class="scroll"><table class="board">'
        f"<thead>{_set_heads(ranking)}<tr>{''.join(heads)}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
        f'<div class="legend">{"".join(legend)}</div>'
        + (f'<div class="notes" role="note">{notes}</div>' if notes else "")
        + "</section>"
    )


def _set_heads(ranking: Ranking) -> str:
    """A line with the sets over their columns; nothing for a single set."""
    sets = groups(ranking)
    cells = "".join(f'<th scope="colgroup" colspan="{count}" class="set">{_text(name)}</th>' for name, count in sets)
    return f'<tr><td colspan="2"></td>{cells}</tr>' if sets else ""


def _head(text: str, kind: str, css: str = "", first: str = "ascending") -> str:
    return (
        f'<th scope="col" class="{css}" data-kind="{kind}" data-first="{first}">'
        f'<button class="sort" type="button">{_text(text)}</button></th>'
    )


def _row(
    line: Line,
    raw: dict[str, Any],
    scales: Sequence[tuple[float, float] | None],
    costs: Sequence[str],
    average_rank: bool,
) -> str:
    failed = f'<span class="warn">{line.failures}</span>' if line.failures else "0"
    return (
        f'<tr class="{"top" if line.rank == "1" else ""}">'
        f'<td class="rank" data-value="{_number(raw["rank"])}">{line.rank}</td>'
        f'<th scope="row" class="name" data-value="{_text(line.method)}">{_text(line.method)}</th>'
        + "".join(_score(cell, scale) for cell, scale in zip(line.cells, scales, strict=True))
        + (f'<td data-value="{_number(raw["average_rank"])}">{line.average_rank}</td>' if average_rank else "")
        + f'<td data-value="{line.failures}">{failed}</td>'
        + "".join(
            f'<td data-value="{_number(raw[name])}">{_text(text)}</td>'
            for name, text in zip(costs, line.costs, strict=True)
        )
        + "</tr>"
    )


def _score(cell: Cell, scale: tuple[float, float] | None) -> str:
    """One mean with its letters and, where there is a scale for it, its interval."""
    letters = f'<span class="group">{cell.group}</span>'
    text = f'<span class="value {cell.mark}">{cell.text}</span>{letters}'
    if cell.interval and scale:
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


def _plots(board: Leaderboard, of_set: str) -> str:
    plots = [distribution_svg(board, m, theme=None) for m in board.metrics if len(board.values[m])]
    return (
        f"<section><h2>Image by image{of_set}</h2><p class=sub>A dot is an image (shown up to 200), the outline their "
        f"density, the diamond the mean, the bar its interval.</p><div class=plots>{''.join(plots)}</div></section>"
    )


def _costs(board: Leaderboard, of_set: str) -> str:
    known = [name for name in board.costs if name != "device" and board.table[name].dropna().nunique() > 1]
    if not known:
        return ""
    first = next(metric for metric in board.metrics if len(board.values[metric]))
    plots = [pareto_svg(board, first, name, theme=None) for name in known]
    return (
        f"<section><h2>Quality against cost{of_set}</h2><p class=sub>The dashed line joins the methods that no other "
        f"beats on both counts.</p><div class=plots>{''.join(plots)}</div></section>"
    )


def _duels(board: Leaderboard, of_set: str) -> str:
    if len(board.methods) < 2 or not any(board.common.values()):
        return ""
    tables = "".join(_duel(board, metric) for metric in board.metrics if board.common[metric])
    return (
        f"<section><h2>Who beats whom{of_set}</h2><p class=sub>Images on which the method of the row is better, equal, "
        "worse than the method of the column. Coloured where the difference is significant (Wilcoxon, Holm, "
        f"{stats.ALPHA:.0%}).</p>"
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
            kind = "even" if not p < stats.ALPHA else "win" if win > lose else "lose"
            share = round(45 * abs(win - lose) / max(1, win + tie + lose))
            hint = "no test" if math.isnan(p) else f"p = {p:.2g}"
            cells.append(f'<td class="{kind}" style="--s:{share}%" title="{hint}">{win} · {tie} · {lose}</td>')
        rows.append(f"<tr><th scope=row class=name>{_text(a)}</th>{''.join(cells)}</tr>")
    return (
        f"<div><h3>{_text(board.specs[metric].title)}</h3><div class=scroll><table class=duel>"
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def _failures(ranking: Ranking) -> str:
    found = table(ranking)
    if not found:
        return ""
    heads = "".join(f"<th>{head}</th>" for head in HEADS)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(text)}</td>' for text in row)}</tr>" for row in found[:_MOST_REASONS])
    rest = len(found) - _MOST_REASONS
    more = f"<p class=sub>{rest} more reasons are in report.json.</p>" if rest > 0 else ""
    failed = f" <span class=warn>({failed_images(ranking)})</span>" if ranking.failures else ""
    return (
        f"<section><h2>What could not be scored{failed}</h2><div class=scroll><table class=list>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{more}</section>"
    )


def _reading(ranking: Ranking, said: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in said)
    tables = "".join(_details(board, len(ranking.boards) > 1) for board in ranking.boards)
    return (
        f"<section><h2>How to read this</h2><ul class=read>{items}</ul>"
        f"<details><summary>Medians, spreads and where the numbers come from</summary>{tables}</details></section>"
    )


def _details(board: Leaderboard, named: bool) -> str:
    heads = "".join(
        f"<th>{_text(board.specs[m].title)} {word}</th>" for m in board.metrics for word in ("median", "std", "images")
    )
    rows = "".join(_detail(board, row) for row in board.table.to_dict("records"))
    return (
        (f"<h3>{_text(called(board))}</h3>" if named else "")
        + f"<div class=scroll><table><thead><tr><th class=name>Method</th>{heads}"
        + f"<th class=name>Weights</th><th>Code</th></tr></thead><tbody>{rows}</tbody></table></div>"
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
    """What a column is sorted by: a raw number, or a text as it is."""
    return _text(value) if isinstance(value, str) else in_script(value)


def _text(text: str) -> str:
    return _escape(plain(text))
