"""What both plots are drawn with: the style sheet, ticks, and shapes as SVG text. Every name is escaped here."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from eval.exports.printed import plain, shortened

_LIGHT = "--ink:#1d2733;--soft:#5d6b7a;--line:#dde3ea;--accent:#0b6bcb;--fill:#0b6bcb22;--paper:#ffffff"
_DARK = "--ink:#e8edf3;--soft:#93a1b1;--line:#2c3744;--accent:#5cb0ff;--fill:#5cb0ff2e;--paper:#10161d"
_RULES = (
    ".plot{{{base}}}{dark}"
    ".plot text{{font:12px system-ui,sans-serif;fill:var(--ink)}}.plot .soft{{fill:var(--soft);font-size:11px}}"
    ".plot .line{{stroke:var(--line)}}.plot .area{{fill:var(--fill);stroke:var(--accent);stroke-width:1}}"
    ".plot .dot{{fill:var(--accent);fill-opacity:.45}}.plot .bar{{stroke:var(--ink);stroke-width:2}}"
    ".plot .mean{{fill:var(--paper);stroke:var(--ink);stroke-width:1.6}}"
    ".plot .front{{stroke:var(--accent);stroke-width:1.5;fill:none;stroke-dasharray:5 4}}"
    ".plot .on{{fill:var(--accent);stroke:var(--paper);stroke-width:1.5}}"
    ".plot .off{{fill:var(--paper);stroke:var(--soft);stroke-width:1.8}}"
    ".plot .thin{{stroke:var(--soft);stroke-width:1}}"
)
WIDTH = 560


def style(theme: str = "auto") -> str:
    """The style sheet of the plots.

    Args:
        theme: `"auto"` follows the system and, inside a page, a `data-theme` of the root element or a `dark` class;
            `"class"` follows the `dark` class only (what Gradio sets); `"light"` and `"dark"` are fixed.
    """
    dark_class = f".dark .plot{{{_DARK}}}"
    dark = {
        "light": "",
        "dark": "",
        "class": dark_class,
        "auto": f"@media(prefers-color-scheme:dark){{.plot{{{_DARK}}}}}{dark_class}"
        f":root[data-theme=dark] .plot{{{_DARK}}}:root[data-theme=light] .plot{{{_LIGHT}}}",
    }[theme]
    return _RULES.format(base=_DARK if theme == "dark" else _LIGHT, dark=dark)


def ticks(low: float, high: float, about: int = 7) -> list[float]:
    """Round numbers between `low` and `high`, near `about` of them.

    Example:
        >>> ticks(18.3, 31.2)
        [20.0, 22.0, 24.0, 26.0, 28.0, 30.0]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: np.ndarray, share: float = 0.04) -> tuple[float, float]:
    """The range of values with a share of room at both ends."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = (high - low) * share or max(abs(high) * 0.05, 1e-3)
    return low - pad, high + pad


def tick_text(tick: float, span: float) -> str:
    """A tick's number with the decimals its axis needs."""
    decimals = max(0, 1 - math.floor(math.log10(span)))
    text = f"{tick:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def label_width(names: Sequence[str]) -> float:
    """Pixels to leave for row labels."""
    return 28 + 7.0 * max((len(shortened(name, 24)) for name in names), default=8)


def row_label(x: float, y: float, name: str, width: float) -> str:
    """A method's name that ends at `x`, cut to `width` pixels; the whole name is its hint."""
    return text_at(x, y, shortened(name, max(4, int(width / 7))), anchor="end", hint=name)


def text_at(x: float, y: float, text: str, kind: str = "", anchor: str = "", hint: str = "") -> str:
    """Text whose baseline starts at (x, y), or as `anchor` says; `hint` appears under the pointer where it differs."""
    title = f"<title>{html.escape(plain(hint))}</title>" if hint and plain(hint) != text else ""
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{title}{html.escape(text)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line of the style `kind`."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def circle(x: float, y: float, radius: float, kind: str, hint: str = "") -> str:
    """A circle, with a hint under the pointer."""
    body = f"><title>{html.escape(hint)}</title></circle>" if hint else "/>"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"{body}'


def diamond(x: float, y: float, hint: str) -> str:
    """The mark of a mean, with a hint under the pointer."""
    points = f"{x - 5:.1f},{y:.1f} {x:.1f},{y - 6:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 6:.1f}"
    return f'<polygon class="mean" points="{points}"><title>{html.escape(hint)}</title></polygon>'


def document(height: float, parts: Sequence[str], words: str, theme: str | None) -> str:
    """The whole picture; `words` is what a screen reader says, `theme` None leaves the style sheet to the page."""
    sheet = f"<style>{style(theme)}</style>" if theme else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img" aria-label="{html.escape(words)}">{sheet}' + "\n".join(part for part in parts if part) + "</svg>\n"
    )
