"""A leaderboard as a Markdown table for a README or an issue: best bold, second underlined."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from eval.exports.printed import FAILED, Cell, cost_columns, groups, headline, lines, plain, sentences, titles
from eval.exports.reasons import HEADS, table
from eval.leaderboard import COSTS

if TYPE_CHECKING:
    from eval.suite import Ranking


def to_markdown(
    ranking: Ranking, *, intervals: bool = True, average_rank: bool = True, heading: str | None = None
) -> str:
    """The title, the table, the sentences that belong to it, and the reasons why scores are missing.

    Args:
        ranking: A leaderboard, or several; each set's name then stands before its columns' titles.
        intervals: Add the confidence interval behind each mean. Letters stand as superscripts.
        average_rank: Show its column.
        heading: The title; names set and protocol where None.
    """
    sets = [f"{escape(name)} " for name, count in groups(ranking) for _ in range(count)]
    scores = [(sets[i] if sets else "") + escape(text) for i, text in enumerate(titles(ranking))]
    ranks = ["Average rank"] if average_rank else []
    costs = [escape(COSTS[name]) for name in cost_columns(ranking)]
    heads = ["#", "Method", *scores, *ranks, FAILED, *costs]
    body = [
        [
            line.rank,
            escape(line.method),
            *(_cell(cell, intervals) for cell in line.cells),
            *([line.average_rank] if average_rank else []),
            str(line.failures),
            *map(escape, line.costs),
        ]
        for line in lines(ranking)
    ]
    parts = [f"**{escape(heading or headline(ranking))}**", ""]
    parts += [_table(heads, body, "rl" + "r" * (len(heads) - 2)), ""]
    said = sentences(ranking, intervals=intervals, average_rank=average_rank)
    parts += [f"- {escape(sentence)}" for sentence in said]
    missing = [[escape(text) for text in row] for row in table(ranking)]
    if missing:
        parts += ["", _table(list(HEADS), missing, "llll")]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown and the HTML inside it show as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", html.escape(plain(text), quote=False))


def _cell(cell: Cell, intervals: bool) -> str:
    text = {"best": f"**{cell.text}**", "second": f"<u>{cell.text}</u>"}.get(cell.mark, cell.text)
    letters = f"<sup>{cell.group}</sup>" if cell.group else ""
    return f"{text}{letters}" + (f" <sub>{cell.interval}</sub>" if intervals and cell.interval else "")


def _table(heads: list[str], body: list[list[str]], align: str) -> str:
    widths = [max(3, *(len(row[i]) for row in [heads, *body])) for i in range(len(heads))]
    rule = ["-" * (width - 1) + (":" if side == "r" else "-") for width, side in zip(widths, align, strict=True)]
    rows = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [heads, rule, *body]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
