"""Means over windows of a feature map, spread back over it: what a network means by "the whole picture" here.

A network that averages whole pictures, but learned from crops, meets averages in use that it never saw in training.
Averages over windows as large as its crops were are closer to those (Chu et al., "Improving Image Restoration by
Revisiting Global Information Aggregation", ECCV 2022). There the mean is taken around every pixel; here in places about
``SPACING`` apart, and values between places are interpolated, which costs next to nothing and needs no second map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SPACING = 8
"""Largest distance between neighbouring places of a window."""


@dataclass(frozen=True)
class Windows:
    """Square windows on a feature map, shifted inside at its borders; along an edge shorter than them there is one.

    Attributes:
        height: Of the map.
        width: Of the map.
        side: Of a window.

    Example:
        >>> windows = Windows(1, 4, side=2)
        >>> grid = windows.means(torch.tensor([[[[0.0, 2.0, 4.0, 6.0]]]]))
        >>> grid.flatten().tolist(), windows.spread(grid).flatten().tolist()
        ([1.0, 5.0], [1.0, 2.0, 4.0, 5.0])
    """

    height: int
    width: int
    side: int

    @property
    def whole(self) -> bool:
        """Whether the map is no larger than a window, so that there is one mean, the map's."""
        return max(self.height, self.width) <= self.side

    def means(self, x: Tensor, first_row: int = 0) -> Tensor:
        """Mean of every window, or some rows' part of it: the parts of all rows add up to the mean.

        Args:
            x: (N, C, rows, width).
            first_row: Row of the map that is the first row of ``x``.

        Returns:
            (N, C, places down, places across).
        """
        down = _covers(self.height, self.side)[:, first_row : first_row + x.shape[-2]].to(x)
        across = _covers(self.width, self.side).to(x)
        area = min(self.side, self.height) * min(self.side, self.width)
        return down @ x @ across.T / area

    def spread(self, grid: Tensor, first_row: int = 0, stop_row: int | None = None) -> Tensor:
        """One value for every pixel of the rows from ``first_row`` to ``stop_row``, the end if None.

        Args:
            grid: (N, C, places down, places across), one value for every window.
            first_row: Of the map.
            stop_row: Of the map.

        Returns:
            (N, C, rows, width), bilinear between the windows' centres and constant beyond the outermost.
        """
        down = _between(self.height, self.side)[first_row:stop_row].to(grid)
        return down @ grid @ _between(self.width, self.side).T.to(grid)


def _starts(size: int, side: int) -> Tensor:
    """First pixels of the windows along one edge."""
    room = max(size - side, 0)
    return torch.linspace(0, room, -(-room // SPACING) + 1).round()


def _covers(size: int, side: int) -> Tensor:
    """(places, size): 1 where a window covers a pixel."""
    starts, pixels = _starts(size, side)[:, None], torch.arange(size)
    return ((pixels >= starts) & (pixels < starts + side)).float()


def _between(size: int, side: int) -> Tensor:
    """(size, places): weights of linear interpolation between the windows' centres."""
    centres = _starts(size, side) + (min(side, size) - 1) / 2
    if len(centres) == 1:
        return torch.ones(size, 1)
    pixels = torch.arange(size).float().clamp(centres[0], centres[-1])
    left = (torch.searchsorted(centres, pixels, right=True) - 1).clamp(max=len(centres) - 2)
    share = (pixels - centres[left]) / (centres[left + 1] - centres[left])
    weights = torch.zeros(size, len(centres))
    weights.scatter_(1, left[:, None], (1 - share)[:, None])
    return weights.scatter_add_(1, left[:, None] + 1, share[:, None])
