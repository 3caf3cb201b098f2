"""Tiles: how a picture that does not fit is cut, and put together again without seams.

A tile *keeps* a rectangle of the picture and *reads* a larger one around it, the halo, which is thrown away again.
With a halo as large as a network's receptive field, what is kept is exactly what the whole picture would have given.
Kept rectangles may overlap, and are then blended with linear ramps that sum to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SMALLEST_TILE = 32
"""Tiles are not cut smaller than this, in pixels a side."""


@dataclass(frozen=True, eq=False)
class Span:
    """One tile along one axis, in input pixels.

    Attributes:
        read: First pixel that the network sees, and the one after the last.
        keep: The same for what is kept of its result.
        weights: Float32, one a kept pixel; over all spans they sum to one at every pixel.
    """

    read: tuple[int, int]
    keep: tuple[int, int]
    weights: np.ndarray


def spans(length: int, tile: int, *, overlap: int = 0, halo: int = 0, multiple: int = 1, least: int = 1) -> list[Span]:
    """Cut one axis.

    Args:
        length: Pixels along the axis.
        tile: Pixels that a tile keeps.
        overlap: Pixels that neighbours both keep, at most half a tile.
        halo: Pixels read beyond what is kept, where the picture has them.
        multiple: Reading starts and ends on multiples of this (or at the border), so that strided networks see the
            same grid as in the whole picture.
        least: Smallest number of pixels that are read.

    Returns:
        Spans from left to right that cover the axis.
    """
    tile = max(1, min(tile, length))
    overlap = max(0, min(overlap, tile // 2))
    keeps, start = [], 0
    while True:
        keeps.append((start, min(start + tile, length)))
        if keeps[-1][1] == length:
            break
        start += tile - overlap
    ramps = [_ramp(keep, length, overlap) for keep in keeps]
    total = np.zeros(length, np.float64)
    for (first, last), ramp in zip(keeps, ramps, strict=True):
        total[first:last] += ramp
    cut = []
    for (first, last), ramp in zip(keeps, ramps, strict=True):
        lower = max(0, (first - halo) // multiple * multiple)
        upper = min(length, -(-(last + halo) // multiple) * multiple)
        if upper - lower < least:
            lower = max(0, (upper - least) // multiple * multiple)
            upper = min(length, -(-max(upper, lower + least) // multiple) * multiple)
        cut.append(Span((lower, upper), (first, last), (ramp / total[first:last]).astype(np.float32)))
    return cut


def _ramp(keep: tuple[int, int], length: int, overlap: int) -> np.ndarray:
    """Rises over the overlap with the tile before, falls over that with the next; never zero."""
    first, last = keep
    position = np.arange(first, last) + 0.5
    ramp = np.ones(last - first)
    if overlap and first > 0:
        ramp = np.minimum(ramp, (position - first) / overlap)
    if overlap and last < length:
        ramp = np.minimum(ramp, (last - position) / overlap)
    return ramp


def tile_count(height: int, width: int, tile: int, overlap: int = 0) -> int:
    """Number of tiles of a picture."""
    return len(spans(height, tile, overlap=overlap)) * len(spans(width, tile, overlap=overlap))


def restore_tiled(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    tile: int,
    *,
    scale: int = 1,
    overlap: int = 0,
    halo: int = 0,
    multiple: int = 1,
    least: int = 16,
) -> Tensor:
    """Run a network tile by tile.

    Args:
        network: (1, 3, h, w) to (1, 3, scale h, scale w), on any device.
        x: (1, 3, H, W).
        tile: Pixels a side that a tile contributes; see :func:`spans` for the rest.
        scale: The network's scale.
        overlap: See :func:`spans`.
        halo: See :func:`spans`.
        multiple: See :func:`spans`.
        least: See :func:`spans`.

    Returns:
        Float32 (1, 3, scale H, scale W) in main memory.
    """
    height, width = x.shape[-2:]
    canvas = torch.zeros(1, x.shape[1], height * scale, width * scale)
    for row, column in _grid(height, width, tile, overlap, halo, multiple, least):
        window = x[..., row.read[0] : row.read[1], column.read[0] : column.read[1]]
        part = network(window).float().cpu()
        top, left = (row.keep[0] - row.read[0]) * scale, (column.keep[0] - column.read[0]) * scale
        tall, wide = len(row.weights) * scale, len(column.weights) * scale
        part = part[..., top : top + tall, left : left + wide]
        if overlap:
            vertical = torch.from_numpy(row.weights.repeat(scale))[:, None]
            part = part * (vertical * torch.from_numpy(column.weights.repeat(scale)))
        canvas[..., row.keep[0] * scale : row.keep[1] * scale, column.keep[0] * scale : column.keep[1] * scale] += part
    return canvas


def _grid(
    height: int, width: int, tile: int, overlap: int, halo: int, multiple: int, least: int
) -> Iterator[tuple[Span, Span]]:
    rules = {"overlap": overlap, "halo": halo, "multiple": multiple, "least": least}
    columns = spans(width, tile, **rules)
    for row in spans(height, tile, **rules):
        for column in columns:
            yield row, column
