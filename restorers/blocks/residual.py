"""The residual block without normalisation."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, skip; no normalisation, which would shift colours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return x + self.conv2(self.conv1(x).relu())
