"""A small denoiser: it predicts what is noise, at half and a quarter of the size, and takes it away.

Learning the residual is DnCNN's idea (Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 2017), working on pixels
that are folded into channels is FFDNet's (Zhang et al., IEEE TIP 2018); the part at a quarter of the size sees
structure that a pixel's noise hides.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorers.blocks.padding import padded_to_multiple
from restorers.blocks.slabs import map_slabs

MULTIPLE = 4
_REACH = 16
"""Half-size rows from which a result's row is computed, on either side."""
_ROWS = 256
"""Half-size rows that are computed at a time."""


class Denoiser(nn.Module):
    """(N, 3, H, W) to the same, of any size.

    Args:
        width: Channels at half the size; twice as many at a quarter.
        depth: Convolutions at a quarter of the size, in pairs.
    """

    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.fold = nn.Conv2d(12, width, 3, padding=1)
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.reduce = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.coarse = nn.ModuleList(nn.Conv2d(2 * width, 2 * width, 3, padding=1) for _ in range(depth))
        self.enlarge = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.unfold = nn.Conv2d(width, 12, 3, padding=1)
        with torch.no_grad():
            self.unfold.weight.mul_(0.1)  # nearly the identity at first
            nn.init.zeros_(self.unfold.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Take away what is noise."""
        height, width = x.shape[-2:]
        folded = F.pixel_unshuffle(padded_to_multiple(x, MULTIPLE), 2)
        noise = self.noise(folded) if self.training else map_slabs(self.noise, folded, _ROWS, _REACH)
        return x - F.pixel_shuffle(noise, 2)[..., :height, :width]

    def noise(self, folded: Tensor) -> Tensor:
        """What is noise, of pixels folded into channels: (N, 12, H, W) to the same, H and W even."""
        fine = torch.relu(self.fine(torch.relu(self.fold(folded))))
        coarse = torch.relu(self.reduce(fine))
        for first, second in zip(self.coarse[::2], self.coarse[1::2], strict=True):
            coarse = torch.relu(coarse + second(torch.relu(first(coarse))))
        fine = fine + F.pixel_shuffle(self.enlarge(coarse), 2)
        return self.unfold(torch.relu(self.join(torch.relu(fine))))
