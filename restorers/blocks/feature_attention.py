"""Feature attention: weigh channels by what the whole picture holds, and pixels by where they are.

Qin et al., "FFA-Net: Feature Fusion Attention Network for Single Image Dehazing", AAAI 2020. Windows in place of the
whole picture are an option (``restorers/blocks/windows.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorers.blocks.windows import Windows


def _squeeze(channels: int, outputs: int, reduction: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels // reduction, 1),
        nn.ReLU(),
        nn.Conv2d(channels // reduction, outputs, 1),
        nn.Sigmoid(),
    )


class ChannelAttention(nn.Module):
    """One factor in (0, 1) for each channel, computed from the channel means of the whole picture.

    Args:
        channels: Width, a multiple of ``reduction``.
        reduction: Bottleneck.
        window: Side of the windows whose means are taken instead, in pixels of the feature map; None for the whole.
    """

    def __init__(self, channels: int, reduction: int = 8, window: int | None = None) -> None:
        super().__init__()
        self.window = window
        self.weigh = _squeeze(channels, channels, reduction)

    def windows(self, x: Tensor) -> Windows:
        """Where means are taken on a map (N, C, H, W): one window without ``window``."""
        return Windows(*x.shape[-2:], self.window or max(x.shape[-2:]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        windows = self.windows(x)
        if windows.whole:
            return x * self.weigh(x.mean((2, 3), keepdim=True))
        return x * windows.spread(self.weigh(windows.means(x)))


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
        window: Of the channel attention.
    """

    def __init__(self, channels: int, reduction: int = 8, window: int | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.channel_attention = ChannelAttention(channels, reduction, window)
        self.pixel_attention = PixelAttention(channels, reduction)

    def local(self, x: Tensor) -> Tensor:
        """The two convolutions: what depends on neighbours within two pixels and on nothing else."""
        return self.conv2(torch.relu(self.conv1(x)) + x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return self.pixel_attention(self.channel_attention(self.local(x))) + x
