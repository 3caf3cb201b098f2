"""The half of CRL-SR that exists only in training: detail remover, projection heads, feature extractor, reconstructor.

The two encoders and the extractor end on the same grid, or "the same position" would mean nothing.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from restorers.blocks.residual import ResidualBlock

PROJECTION = 256


def strides(scale: int) -> tuple[int, ...]:
    """Strides that bring high resolution to the low-resolution grid."""
    return (2,) * int(math.log2(scale)) if scale in (2, 4) else (scale,)


class DetailRemover(nn.Module):
    """E_h: the large picture to vectors on the small picture's grid, (N, 3, sH, sW) to (N, C, H, W)."""

    def __init__(self, width: int, blocks: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for stride in strides(scale):
            layers += [nn.Conv2d(width, width, 3, stride=stride, padding=1), nn.LeakyReLU(0.2)]
        layers += [ResidualBlock(width) for _ in range(blocks)]
        layers.append(nn.Conv2d(width, width, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, picture: Tensor) -> Tensor:
        """Encode."""
        return self.layers(picture)


class FeatureExtractor(nn.Module):
    """E_f: result and large picture to features on the low-resolution grid; few layers, the last one linear."""

    def __init__(self, width: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for stride in strides(scale):
            layers += [nn.Conv2d(width, width, 3, stride=stride, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, sH, sW) to (N, C, H, W)."""
        return self.layers(picture)


class Reconstructor(nn.Module):
    """D_rec: features back to the large picture; small, so that the detail has to be in the features."""

    def __init__(self, width: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for factor in strides(scale):
            layers += [
                nn.Conv2d(width, width * factor**2, 3, padding=1),
                nn.PixelShuffle(factor),
                nn.LeakyReLU(0.2),
            ]
        layers.append(nn.Conv2d(width, 3, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 3, sH, sW)."""
        return self.layers(features)


class ProjectionHead(nn.Module):
    """Vectors to the unit sphere where they are compared: Linear, ReLU, Linear, normalise (as CUT's)."""

    def __init__(self, width: int, dimension: int = PROJECTION) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, dimension), nn.ReLU(), nn.Linear(dimension, dimension))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, M, C) to (N, M, D)."""
        return F.normalize(self.layers(vectors), dim=-1)
