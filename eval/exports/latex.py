r"""A leaderboard as a LaTeX table for a paper: booktabs, set and protocol in the caption, best bold, second underlined.

The file is one `table` environment to `\input`; it needs `\usepackage{booktabs}` and nothing else, and compiles with
pdfLaTeX, XeLaTeX and LuaLaTeX whatever characters the names hold: what ASCII cannot carry becomes a macro or U+XXXX.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from errors import UsageError
from eval.exports.printed import Cell, cost_columns, groups, lines, plain, sentences, set_name, titles
from eval.leaderboard import COSTS

if TYPE_CHECKING:
    from eval.suite import Ranking

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": "{`}",  # in braces, so that two of them stay two
    "'": "{'}",
    "[": "{[}",  # after the end of a line these two would be arguments of it
    "*": "{*}",
}
_SYMBOLS = {
    "∞": r"$\infty$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi _ pi rho _ "
    "sigma tau upsilon phi chi psi omega"
)
_SYMBOLS |= {chr(0x3B1 + i): f"$\\{name}$" for i, name in enumerate(_GREEK.split()) if name != "_"}
_ACCENTS = {0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: '"'}
_ACCENTS |= {0x30A: "r", 0x30B: "H", 0x30C: "v", 0x327: "c", 0x323: "d"}


def to_latex(
    ranking: Ranking,
    *,
    intervals: bool = True,
    average_rank: bool = True,
    caption: str | None = None,
    label: str | None = None,
) -> str:
    """One `table` environment.

    Args:
        ranking: A leaderboard, or several; a set's columns then share a heading.
        intervals: Add a small second line a method with the confidence intervals.
        average_rank: Show its column.
        caption: Its caption as plain text; set, protocol and what bold means where None, else these stand in the note.
        label: Its label; made of the names of set and protocol where None, so that two tables of a paper differ.

    Raises:
        UsageError: The label holds characters that LaTeX would not take.
    """
    if label is not None and not re.fullmatch(r"[A-Za-z0-9:._+/-]+", label):
        raise UsageError(f"The label {label!r} cannot stand in LaTeX; use letters, digits and : . _ + / - only.")
    scores = [escape(text) for text in titles(ranking)]
    ranks = [r"Avg.\ rank"] if average_rank else []
    costs = [escape(COSTS[name]) for name in cost_columns(ranking)]
    heads = ["Method", *scores, *ranks, *costs]
    first, *rest = sentences(ranking, intervals=intervals, average_rank=average_rank)
    first += " Best in bold, second best underlined."
    notes = [first, *rest] if caption else rest
    out = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(caption or first)}}}",
        rf"\label{{{label or label_of(ranking)}}}",
        r"\medskip",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        *_group_heads(groups(ranking), len(ranks) + len(costs)),
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for line in lines(ranking):
        own = [_number(line.average_rank)] if average_rank else []
        own += map(escape, line.costs)
        out.append(" & ".join([escape(line.method), *map(_cell, line.cells), *own]) + r" \\")
        if intervals and any(cell.interval for cell in line.cells):
            small = [rf"{{\scriptsize {_number(cell.interval)}}}" if cell.interval else "" for cell in line.cells]
            out.append(" & ".join(["", *small, *("" for _ in own)]) + r" \\[2pt]")
    out += [r"\bottomrule", r"\end{tabular}", "", r"\smallskip", r"\parbox{\linewidth}{\scriptsize"]
    out += [*map(escape, notes), "}", r"\end{table}"]
    return "\n".join(out) + "\n"


def _group_heads(sets: Sequence[tuple[str, int]], after: int) -> list[str]:
    """A line with the sets over their columns and one with the rules under them; nothing for a single set."""
    if not sets:
        return []
    cells, rules, column = [""], [], 2
    for name, count in sets:
        cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(name)}}}")
        rules.append(rf"\cmidrule(lr){{{column}-{column + count - 1}}}")
        column += count
    return [" & ".join([*cells, *([""] * after)]) + r" \\", "".join(rules)]


def label_of(ranking: Ranking) -> str:
    """`tab:SET-PROTOCOL` in ASCII letters, digits and hyphens; `tab:leaderboard-PROTOCOL` for a set without a name."""
    return "-".join(filter(None, (f"tab:{_slug(set_name(ranking)) or 'leaderboard'}", _slug(ranking.protocol_name))))


def escape(text: str) -> str:
    """Text as LaTeX prints it, in ASCII: no character can end a group, start a command or break the engine."""
    return "".join(map(_character, unicodedata.normalize("NFC", plain(text)))).replace("--", "-{}-")


def _slug(text: str) -> str:
    """Accents go, other characters that ASCII lacks become their code points, so that no two alphabets collide."""
    base = (c for c in unicodedata.normalize("NFKD", plain(text)) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9]+", "-", "".join(c if c.isascii() else f"u{ord(c):04x}" for c in base)).strip("-")


def _character(character: str) -> str:
    if character in _SPECIAL or character in _SYMBOLS:
        return _SPECIAL.get(character) or _SYMBOLS[character]
    if character.isascii():
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and ord(parts[1]) in _ACCENTS:
        return f"\\{_ACCENTS[ord(parts[1])]}{{{parts[0]}}}"
    return f"U+{ord(character):04X}"


def _cell(cell: Cell) -> str:
    number = _number(cell.text)
    number = {"best": rf"\textbf{{{number}}}", "second": rf"\underline{{{number}}}"}.get(cell.mark, number)
    return f"{number}$^{{\\mathrm{{{cell.group}}}}}$" if cell.group else number


def _number(text: str) -> str:
    return text.replace("∞", r"$\infty$").replace("–", r"\textendash{}").replace("-", "$-$")
