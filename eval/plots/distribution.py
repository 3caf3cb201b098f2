"""Scores image by image: what a mean hides."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from eval.column import show, sort_value
from eval.exports.printed import plain
from eval.plots.svg import (
    WIDTH,
    circle,
    diamond,
    document,
    label_width,
    line,
    padded,
    row_label,
    text_at,
    tick_text,
    ticks,
)

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard

_RIDGE = 12  # below this many images a density is a guess and only the dots are drawn
_DOTS = 200  # above this many images the outline alone is drawn


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
    low, high = padded(np.array([*everything, *room]), 0.03)
    if len(everything):  # a score's own limits, PSNR below 0 or SSIM above 1, need no room in the plot
        low = max(low, min(spec.low, everything.min()))
        high = min(high, max(spec.high, everything.max()))
    left, right, top, row = label_width(methods), WIDTH - 44, 30, 50
    bottom = top + row * len(methods)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = [text_at(left, 16, f"{spec.title} {spec.arrow} of each image", "soft")]
    for tick in ticks(low, high):
        parts.append(line(x(tick), top, x(tick), bottom, "line"))
        parts.append(text_at(x(tick), bottom + 18, tick_text(tick, high - low), "soft", "middle"))
    for index, name in enumerate(methods):
        base = top + row * (index + 1) - 20
        parts.append(row_label(left - 12, base - 4, name, left - 16))
        parts.append(line(left, base, right, base, "line"))
        parts.append(_ridge(finite[name], base, x, row - 26, low, high))
        if len(finite[name]) <= _DOTS:
            parts += [
                circle(x(v), base + 6 + 5 * _jitter(i), 2 if _bandwidth(finite[name]) else 3, "dot")
                for i, v in enumerate(np.sort(finite[name]))
            ]
        lower, upper, centre = (float(board.raw(name, key)) for key in (f"{metric}_low", f"{metric}_high", metric))
        if math.isfinite(lower):
            parts.append(line(x(lower), base, x(upper), base, "bar"))
        if math.isfinite(centre):
            parts.append(diamond(x(centre), base, f"{plain(name)}: {show(centre, spec.decimals)}"))
        infinite = int(np.isinf(values[name]).sum())
        if infinite:
            parts.append(text_at(right + 8, base + 4, f"∞ ×{infinite}", "soft"))
    words = f"{spec.title} of each image, {len(methods)} methods"
    return document(bottom + 28, parts, words, theme)


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
