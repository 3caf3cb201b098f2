"""Bars as HTML: no plotting library, no script, words that wrap on a phone, the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def bars(rows: Sequence[tuple[str, float]], words: str, digits: int = 2) -> str:
    """Horizontal bars on one scale, each with its number: from zero to the right, and to the left below zero.

    Args:
        rows: Name and value.
        words: What the bars show, for those who cannot see them.
        digits: Decimals of the numbers.
    """
    values = [value for _, value in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    share = 100 / ((high - low) or 1.0)
    zero = -low * share
    drawn = "".join(
        f'<li><span>{escape(name)}</span><span class="track">'
        f'<i style="left:{min(zero, zero + value * share):.1f}%;width:{abs(value) * share:.1f}%"></i>'
        f'<b style="left:{zero:.1f}%"></b></span><span class="value">{value:.{digits}f}</span></li>'
        for name, value in rows
    )
    return f'<ul class="bars" aria-label="{escape(words)}">{drawn}</ul>'
