"""A real, small network for tests, known to a process only after ``install()``."""

import torch
from torch import nn

from restorers import networks
from restorers.base import Restorer
from restorers.card import Figure, RestorerCard


class Tiny(Restorer):
    """Three convolutions on half the resolution: a receptive field of 13 and a size multiple of 2."""

    card = RestorerCard(
        "tiny",
        "Tiny",
        "dehaze",
        "A network for tests.",
        size_multiple=2,
        receptive_field=8,
        figures=(Figure("NYU 1349-1398", "dehaze-rgb", "PSNR", 21.5, "python -m eval score"),),
    )

    def __init__(self, width: int = 4, slope: float = 0.1):
        super().__init__()
        self.down = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.body = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1)
        self.slope = slope

    def enhance(self, x):
        y = nn.functional.leaky_relu(self.down(x), self.slope)
        return x + self.up(torch.tanh(self.body(y)))


ENTRY = networks.Architecture("tiny", __name__, "Tiny")


def install():
    """Let this process know the architecture."""
    if ENTRY not in networks._ARCHITECTURES:
        networks._ARCHITECTURES = (*networks._ARCHITECTURES, ENTRY)


def make(seed: int = 0, **arguments) -> Tiny:
    torch.manual_seed(seed)
    return Tiny(**arguments).eval()
