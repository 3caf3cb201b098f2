"""Slabs: run local layers on a few rows at a time, so that memory does not grow with the picture.

A slab is cut with a halo of rows on either side; the rows of the result that a cut edge can reach are thrown away.
At the picture's own border there is no cut, so layers pad there as they always do and the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Slab:
    """Rows ``start`` to ``stop`` of a result, computed from rows ``low`` to ``high``."""

    low: int
    high: int
    start: int
    stop: int

    def cut(self, x: Tensor, scale: int = 1) -> Tensor:
        """The rows to compute from, of a tensor with ``scale`` times as many rows."""
        return x[..., self.low * scale : self.high * scale, :]

    def keep(self, y: Tensor, scale: int = 1) -> Tensor:
        """The rows that no cut edge has reached, of a result with ``scale`` times as many rows."""
        return y[..., (self.start - self.low) * scale : (self.stop - self.low) * scale, :]


def slabs(height: int, rows: int, halo: int) -> Iterator[Slab]:
    """Cover ``height`` rows with slabs of ``rows``, each seeing ``halo`` rows more on either side."""
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        yield Slab(max(start - halo, 0), min(stop + halo, height), start, stop)


def map_slabs(function: Callable[[Tensor], Tensor], x: Tensor, rows: int, halo: int) -> Tensor:
    """``function(x)`` for a function that keeps the size and reaches ``halo`` rows, a slab at a time."""
    result: Tensor | None = None
    for slab in slabs(x.shape[-2], rows, halo):
        piece = slab.keep(function(slab.cut(x)))
        if result is None:
            result = piece.new_empty(*piece.shape[:-2], *x.shape[-2:])
        result[..., slab.start : slab.stop, :] = piece
    assert result is not None
    return result
