"""Feature attention: weigh channels by what the whole picture holds, and pixels by where they are.

Qin et al., "FFA-Net: Feature Fusion Attention Network for Single Image Dehazing", AAAI 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _squeeze(channels: int, outputs: int, reduction: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels // reduction, 1),
        nn.ReLU(),
        nn.Conv2d(channels // reduction, outputs, 1),
        nn.Sigmoid(),
    )


class ChannelAttention(nn.Module):
    """One factor in (0, 1) for each channel, computed from the channel means of the whole picture."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.weigh = _squeeze(channels, channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return x * self.weigh(x.mean((2, 3), keepdim=True))


class PixelAttention(nn.Module):
    """One factor in (0, 1) for each pixel, shared by its channels."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.weigh = _squeeze(channels, 1, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return x * self.weigh(x)


class FeatureAttentionBlock(nn.Module):
    """``y = PA(CA(conv2(ReLU(conv1(x)) + x))) + x`` (FFA-Net, figure 4).

    Args:
        channels: Width, a multiple of ``reduction``.
        reduction: Bottleneck of the two attentions.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.channel_attention = ChannelAttention(channels, reduction)
        self.pixel_attention = PixelAttention(channels, reduction)

    def local(self, x: Tensor) -> Tensor:
        """The two convolutions: what depends on neighbours within two pixels and on nothing else."""
        return self.conv2(torch.relu(self.conv1(x)) + x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return self.pixel_attention(self.channel_attention(self.local(x))) + x
