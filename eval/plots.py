"""Two plots as plain SVG text: scores image by image, and quality against cost.

No plotting library: the files are small, sharp at any zoom, the same bytes everywhere, follow the page's light or dark
colours, and can be put into an HTML page as they are. Every name in them is escaped.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eval.column import show, sort_value
from eval.exports.printed import ARROWS, plain, shortened, show_cost

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard

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
_RIDGE = 12  # below this many images a density is a guess and only the dots are drawn
_DOTS = 200  # above this many images the outline alone is drawn


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


def distribution_svg(board: Leaderboard, metric: str, *, theme: str | None = "auto") -> str:
    """Scores of every method on one metric, image by image.

    A row a method, best first: the outline is a kernel density estimate, a dot is an image, the diamond is the mean and
    the bar its interval. Infinite scores are counted at the right.

    Args:
        board: The leaderboard.
        metric: One of its metrics.
        theme: See `style`; None leaves the style sheet to the page.
    """
    spec, values = board.specs[metric], board.values[metric]
    methods = sorted(values.columns, key=lambda name: sort_value(board.raw(name, metric), spec.better))
    finite = {name: values[name][np.isfinite(values[name])].to_numpy() for name in methods}
    everything = np.concatenate([*finite.values(), np.empty(0)])
    room = [v for scores in finite.values() for v in _extent(scores)]
    low, high = _padded(np.array([*everything, *room]), 0.03)
    if len(everything):  # a score's own limits, PSNR below 0 or SSIM above 1, need no room in the plot
        low = max(low, min(spec.low, everything.min()))
        high = min(high, max(spec.high, everything.max()))
    left, right, top, row = _label_width(methods), WIDTH - 44, 30, 50
    bottom = top + row * len(methods)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = [_text(left, 16, f"{spec.title} {ARROWS[spec.better]} of each image", "soft")]
    for tick in ticks(low, high):
        parts.append(_line(x(tick), top, x(tick), bottom, "line"))
        parts.append(_text(x(tick), bottom + 18, _tick_text(tick, high - low), "soft", "middle"))
    for index, name in enumerate(methods):
        base = top + row * (index + 1) - 20
        parts.append(_label(left - 12, base - 4, name, left - 16))
        parts.append(_line(left, base, right, base, "line"))
        parts.append(_ridge(finite[name], base, x, row - 26, low, high))
        if len(finite[name]) <= _DOTS:
            parts += [
                _circle(x(v), base + 6 + 5 * _jitter(i), 2 if _bandwidth(finite[name]) else 3, "dot")
                for i, v in enumerate(np.sort(finite[name]))
            ]
        lower, upper, centre = (float(board.raw(name, key)) for key in (f"{metric}_low", f"{metric}_high", metric))
        if math.isfinite(lower):
            parts.append(_line(x(lower), base, x(upper), base, "bar"))
        if math.isfinite(centre):
            parts.append(_diamond(x(centre), base, f"{plain(name)}: {show(centre, spec.decimals)}"))
        infinite = int(np.isinf(values[name]).sum())
        if infinite:
            parts.append(_text(right + 8, base + 4, f"∞ ×{infinite}", "soft"))
    words = f"{spec.title} of each image, {len(methods)} methods"
    return _document(bottom + 28, parts, words, theme)


def pareto_svg(board: Leaderboard, metric: str, cost: str, *, theme: str | None = "auto") -> str:
    """Quality against cost: upwards is better, leftwards is cheaper; the dashed line joins what nothing dominates.

    Methods whose cost is unknown are named under the plot, not dropped in silence. Costs that span more than a factor
    of 20 are drawn on a logarithmic scale.

    Args:
        board: A leaderboard with the column `cost`.
        metric: One of its metrics.
        cost: "parameters", "gmacs", "seconds_per_mpix" or "peak_mib".
        theme: See `style`; None leaves the style sheet to the page.
    """
    from eval.leaderboard import COSTS

    spec = board.specs[metric]
    points, unknown = _points(board, metric, cost)
    front = frontier([(c, sort_value(q, spec.better)) for _, c, q, _, _ in points])
    left, right, top, bottom = 56, WIDTH - 16, 26, 330
    costs = [c for _, c, *_ in points]
    logarithmic = bool(costs) and min(costs) > 0 and max(costs) / min(costs) > 20
    scaled = np.log10(costs) if logarithmic else np.array(costs, dtype=np.float64)
    c_low, c_high = _padded(scaled, 0.12)
    q_low, q_high = _padded(np.array([v for _, _, *ends in points for v in ends if math.isfinite(v)]), 0.12)

    def x(value: float) -> float:
        value = math.log10(value) if logarithmic else value
        return left + (value - c_low) / (c_high - c_low) * (right - left)

    def y(value: float) -> float:
        share = (value - q_low) / (q_high - q_low)
        return bottom - (share if spec.better == "higher" else 1 - share) * (bottom - top)

    parts = [_text(left, 14, f"{spec.title} {ARROWS[spec.better]} (up is better)", "soft")]
    for tick in ticks(q_low, q_high):
        parts.append(_line(left, y(tick), right, y(tick), "line"))
        parts.append(_text(left - 8, y(tick) + 4, _tick_text(tick, q_high - q_low), "soft", "end"))
    for tick in _log_ticks(c_low, c_high) if logarithmic else ticks(max(c_low, 0.0), c_high):
        parts.append(_line(x(tick), top, x(tick), bottom, "line"))
        parts.append(_text(x(tick), bottom + 18, show_cost(cost, tick).replace("–", "0"), "soft", "middle"))
    scale = ", logarithmic" if logarithmic else ""
    parts.append(_text(right, bottom + 38, f"{COSTS[cost]} (left is cheaper{scale})", "soft", "end"))
    if len(front) > 1:
        path = " ".join(f"{x(points[i][1]):.1f},{y(points[i][2]):.1f}" for i in front)
        parts.append(f'<polyline class="front" points="{path}"/>')
    spots = [(x(c), y(q)) for _, c, q, _, _ in points]
    for index, (name, c, q, low, high) in enumerate(points):
        if math.isfinite(low):
            parts.append(_line(spots[index][0], y(low), spots[index][0], y(high), "thin"))
        kind = "on" if index in front else "off"
        words = f"{plain(name)}: {show(q, spec.decimals)}, {show_cost(cost, c)} {COSTS[cost]}"
        parts.append(_circle(*spots[index], 5.5, kind, words))
    dashes = _along([spots[index] for index in front])
    for spot, (*_, low, high) in zip(spots, points, strict=True):
        if math.isfinite(low):
            dashes += _along([(spot[0], y(low)), (spot[0], y(high))])
    parts += _place_labels([name for name, *_ in points], spots, dashes, (left, top, right, bottom))
    if unknown:
        parts.append(_text(left, bottom + 56, shortened(f"without a known cost: {', '.join(unknown)}", 84), "soft"))
    return _document(bottom + (66 if unknown else 48), parts, f"{spec.title} against {COSTS[cost]}", theme)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points no other point dominates, cheapest first; both coordinates are better when smaller.

    Example:
        >>> frontier([(1.0, 5.0), (2.0, 6.0), (3.0, 1.0)])
        [0, 2]
    """
    best, found = math.inf, []
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        if points[index][1] < best:
            best = points[index][1]
            found.append(index)
    return found


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


def _points(
    board: Leaderboard, metric: str, cost: str
) -> tuple[list[tuple[str, float, float, float, float]], list[str]]:
    """(method, cost, quality, interval) of the methods that have both, and the names of those without a cost."""
    found, unknown = [], []
    for row in board.table.to_dict("records"):
        price = row.get(cost)
        if not math.isfinite(row[metric]):
            continue
        if price is None or not math.isfinite(price):
            unknown.append(row["method"])
        else:
            found.append((row["method"], float(price), row[metric], row[f"{metric}_low"], row[f"{metric}_high"]))
    return found, unknown


def _padded(values: np.ndarray, share: float = 0.04) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = (high - low) * share or max(abs(high) * 0.05, 1e-3)
    return low - pad, high + pad


def _log_ticks(low: float, high: float) -> list[float]:
    steps = [s * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for s in (1, 2, 5)]
    inside = [tick for tick in steps if low <= math.log10(tick) <= high]
    whole = [tick for tick in inside if round(math.log10(tick), 9).is_integer()]
    return whole if len(whole) >= 3 else inside


def _tick_text(tick: float, span: float) -> str:
    decimals = max(0, 1 - math.floor(math.log10(span)))
    text = f"{tick:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _jitter(index: int) -> float:
    """A fixed sequence in [0, 2) that spreads neighbours apart (golden ratio)."""
    return 2 * ((index * 0.6180339887498949) % 1.0)


def _bandwidth(values: np.ndarray) -> float:
    """Width of the density's kernel by Scott's rule; 0 where there are too few values, or one value, to estimate."""
    if len(values) < _RIDGE or np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())):
        return 0.0
    return float(np.std(values, ddof=1)) * len(values) ** -0.2


def _extent(values: np.ndarray) -> tuple[float, ...]:
    """Where an outline begins and ends, none where there is none."""
    reach = 2 * _bandwidth(values)
    return (values.min() - reach, values.max() + reach) if reach else ()


def _ridge(values: np.ndarray, base: float, x: Callable[[float], float], height: float, low: float, high: float) -> str:
    """Outline of a kernel density estimate, standing on `base`."""
    width = _bandwidth(values)
    if not width:
        return ""
    start, end = _extent(values)
    grid = np.linspace(max(low, start), min(high, end), 96)
    density = np.zeros(len(grid))
    for value in np.sort(values):
        density += np.exp(-0.5 * ((grid - value) / width) ** 2)
    outline = " ".join(
        f"{x(g):.1f},{base - height * d / density.max():.1f}" for g, d in zip(grid, density, strict=True)
    )
    return f'<polygon class="area" points="{x(grid[0]):.1f},{base:.1f} {outline} {x(grid[-1]):.1f},{base:.1f}"/>'


def _along(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points every few pixels along a polyline."""
    found = []
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        count = int(math.hypot(bx - ax, by - ay) // 6) + 1
        found += [(ax + (bx - ax) * i / count, ay + (by - ay) * i / count) for i in range(count + 1)]
    return found


def _place_labels(
    names: Sequence[str],
    spots: Sequence[tuple[float, float]],
    dashes: Sequence[tuple[float, float]],
    frame: tuple[float, ...],
) -> list[str]:
    """Put each name beside its point, on the side where it covers least of the points, the line and other names."""
    left, top, right, bottom = frame
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in spots]
    taken += [(px - 2, py - 2, px + 2, py + 2) for px, py in dashes]
    parts = []
    for name, (px, py) in zip(names, spots, strict=True):
        text = shortened(name, 26)
        width = 6.7 * len(text)
        options = [(px + 10, py + 4), (px - 10 - width, py + 4), (px - width / 2, py - 12), (px - width / 2, py + 20)]
        options += [(px + 8, py - 10), (px - 8 - width, py - 10), (px + 8, py + 18), (px - 8 - width, py + 18)]
        boxes = [(tx, ty - 11, tx + width, ty + 3) for tx, ty in options]
        costs = [
            sum(_overlap(box, other) for other in taken)
            + 1e4 * (box[0] < left or box[2] > right or box[1] < top - 8 or box[3] > bottom)
            for box in boxes
        ]
        choice = costs.index(min(costs))
        taken.append(boxes[choice])
        parts.append(_text(*options[choice], text, hint=name))
    return parts


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _label_width(names: Sequence[str]) -> float:
    return 28 + 7.0 * max((len(shortened(name, 24)) for name in names), default=8)


def _label(x: float, y: float, name: str, width: float) -> str:
    return _text(x, y, shortened(name, max(4, int(width / 7))), anchor="end", hint=name)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "", hint: str = "") -> str:
    title = f"<title>{html.escape(plain(hint))}</title>" if hint and plain(hint) != text else ""
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{title}{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _circle(x: float, y: float, radius: float, kind: str, hint: str = "") -> str:
    body = f"><title>{html.escape(hint)}</title></circle>" if hint else "/>"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"{body}'


def _diamond(x: float, y: float, hint: str) -> str:
    points = f"{x - 5:.1f},{y:.1f} {x:.1f},{y - 6:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 6:.1f}"
    return f'<polygon class="mean" points="{points}"><title>{html.escape(hint)}</title></polygon>'


def _document(height: float, parts: Sequence[str], words: str, theme: str | None) -> str:
    sheet = f"<style>{style(theme)}</style>" if theme else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img" aria-label="{html.escape(words)}">{sheet}' + "\n".join(part for part in parts if part) + "</svg>\n"
    )
