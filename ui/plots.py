"""Bars as SVG text: no plotting library, no script, the page's own colours in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 720
LABEL = 250
ROW = 34


def bars(rows: Sequence[tuple[str, float, float]], words: str, digits: int = 2) -> str:
    """Horizontal bars, each with its number at the end.

    Args:
        rows: Name, length in [0, 1], and the number to print.
        words: What the picture shows, for those who cannot see it.
        digits: Decimals of the numbers.
    """
    parts = []
    for index, (name, share, value) in enumerate(rows):
        top = 6 + ROW * index
        length = max(0.0, min(1.0, share)) * (WIDTH - LABEL - 60)
        shown = name if len(name) <= 36 else f"{name[:35]}…"
        parts.append(
            f'<text x="{LABEL - 12}" y="{top + 17}" text-anchor="end"><title>{escape(name)}</title>'
            f"{escape(shown)}</text>"
            f'<rect class="area" x="{LABEL}" y="{top}" rx="4" height="24" width="{max(length, 1.5):.1f}"/>'
            f'<text class="soft" x="{LABEL + length + 8:.1f}" y="{top + 17}">{value:.{digits}f}</text>'
        )
    height = ROW * len(rows) + 8
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(words)}">'
        f"{''.join(parts)}</svg>"
    )
