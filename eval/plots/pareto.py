"""Quality against cost: what a method's points of PSNR, SSIM or NIQE are paid for with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eval.column import show, sort_value
from eval.exports.printed import plain, shortened, show_cost
from eval.plots.svg import WIDTH, circle, document, line, padded, text_at, tick_text, ticks

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard


def pareto_svg(board: Leaderboard, metric: str, cost: str, *, theme: str | None = "auto") -> str:
    """Quality against cost: upwards is better, leftwards is cheaper; the dashed line joins what nothing dominates.

    Methods whose cost is unknown are named under the plot, not dropped in silence. Costs that span more than a factor
    of 20 are drawn on a logarithmic scale.

    Args:
        board: A leaderboard with the column `cost`.
        metric: One of its metrics.
        cost: A column of numbers among `board.costs`.
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
    c_low, c_high = padded(scaled, 0.12)
    q_low, q_high = padded(np.array([v for _, _, *ends in points for v in ends if math.isfinite(v)]), 0.12)

    def x(value: float) -> float:
        value = math.log10(value) if logarithmic else value
        return left + (value - c_low) / (c_high - c_low) * (right - left)

    def y(value: float) -> float:
        share = (value - q_low) / (q_high - q_low)
        return bottom - (share if spec.better == "higher" else 1 - share) * (bottom - top)

    parts = [text_at(left, 14, f"{spec.title} {spec.arrow} (up is better)", "soft")]
    for tick in ticks(q_low, q_high):
        parts.append(line(left, y(tick), right, y(tick), "line"))
        parts.append(text_at(left - 8, y(tick) + 4, tick_text(tick, q_high - q_low), "soft", "end"))
    for tick in _log_ticks(c_low, c_high) if logarithmic else ticks(max(c_low, 0.0), c_high):
        parts.append(line(x(tick), top, x(tick), bottom, "line"))
        parts.append(text_at(x(tick), bottom + 18, show_cost(cost, tick).replace("–", "0"), "soft", "middle"))
    scale = ", logarithmic" if logarithmic else ""
    parts.append(text_at(right, bottom + 38, f"{COSTS[cost]} (left is cheaper{scale})", "soft", "end"))
    if len(front) > 1:
        path = " ".join(f"{x(points[i][1]):.1f},{y(points[i][2]):.1f}" for i in front)
        parts.append(f'<polyline class="front" points="{path}"/>')
    spots = [(x(c), y(q)) for _, c, q, _, _ in points]
    for index, (name, c, q, low, high) in enumerate(points):
        if math.isfinite(low):
            parts.append(line(spots[index][0], y(low), spots[index][0], y(high), "thin"))
        kind = "on" if index in front else "off"
        words = f"{plain(name)}: {show(q, spec.decimals)}, {show_cost(cost, c)} {COSTS[cost]}"
        parts.append(circle(*spots[index], 5.5, kind, words))
    dashes = _along([spots[index] for index in front])
    for spot, (*_, low, high) in zip(spots, points, strict=True):
        if math.isfinite(low):
            dashes += _along([(spot[0], y(low)), (spot[0], y(high))])
    parts += _place_labels([name for name, *_ in points], spots, dashes, (left, top, right, bottom))
    if unknown:
        parts.append(text_at(left, bottom + 56, shortened(f"without a known cost: {', '.join(unknown)}", 84), "soft"))
    return document(bottom + (66 if unknown else 48), parts, f"{spec.title} against {COSTS[cost]}", theme)


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


def _log_ticks(low: float, high: float) -> list[float]:
    steps = [s * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for s in (1, 2, 5)]
    inside = [tick for tick in steps if low <= math.log10(tick) <= high]
    whole = [tick for tick in inside if round(math.log10(tick), 9).is_integer()]
    return whole if len(whole) >= 3 else inside


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
    """Put each name beside its point, on the side where it covers least of the points, the line and other names.

    Where all sides are taken it goes above or below them, at the end of a thin line from its point.
    """
    left, top, right, bottom = frame
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in spots]
    taken += [(px - 2, py - 2, px + 2, py + 2) for px, py in dashes]
    parts = []
    for name, (px, py) in zip(names, spots, strict=True):
        text = shortened(name, 26)
        width = 6.7 * len(text)
        options = [(px + 10, py + 4), (px - 10 - width, py + 4), (px - width / 2, py - 12), (px - width / 2, py + 20)]
        options += [(px + 8, py - 10), (px - 8 - width, py - 10), (px + 8, py + 18), (px - 8 - width, py + 18)]
        beside = len(options)
        across = (px + 8, px - width / 2, px - 8 - width)
        options += [(tx, py + 4 + far) for far in (-26, 26, -44, 44) for tx in across]
        boxes = [(tx, ty - 11, tx + width, ty + 3) for tx, ty in options]
        costs = [
            sum(_overlap(box, other) for other in taken)
            + 1e4 * (box[0] < left or box[2] > right or box[1] < top - 8 or box[3] > bottom)
            for box in boxes
        ]
        choice = costs.index(min(costs))
        taken.append(boxes[choice])
        tx, ty = options[choice]
        if choice >= beside:
            near = min(max(px, tx), tx + width)
            parts.append(line(px, py + math.copysign(6, ty - py), near, ty + (4 if ty < py else -12), "thin"))
        parts.append(text_at(tx, ty, text, hint=name))
    return parts


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
