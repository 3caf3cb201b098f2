"""Self-attention inside windows, with a learned bias for every relative position.

Liu et al., "Swin Transformer", ICCV 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def relative_positions(window: int) -> Tensor:
    """(T, T) index into a table of (2 window - 1)^2 relative positions, T = window^2."""
    axis = torch.arange(window)
    place = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
    offset = place[:, :, None] - place[:, None, :] + window - 1
    return offset[0] * (2 * window - 1) + offset[1]


class WindowAttention(nn.Module):
    """Attention among the pixels of each window; (N, H, W, C) to the same, H and W multiples of the window.

    Args:
        channels: Width, a multiple of ``heads``.
        heads: Attention heads.
        window: Side of a window.
        shift: Move the windows up and left by this many pixels, below ``window``, so that neighbours of the unshifted
            windows meet. Beyond the border they see the picture mirrored; Swin's cyclic shift would show them its
            other end.
        alignments: Outside training, take the mean over windows in so many places, ``window / alignments`` apart on the
            diagonal: what is trained with windows on one grid otherwise shows its squares in smooth places.
    """

    positions: Tensor

    def __init__(self, channels: int, heads: int = 1, window: int = 8, shift: int = 0, alignments: int = 1) -> None:
        super().__init__()
        self.heads, self.window, self.shift, self.alignments = heads, window, shift, alignments
        self.project_in = nn.Linear(channels, 3 * channels)
        self.project_out = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("positions", relative_positions(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        alignments = 1 if self.training else self.alignments
        x = self.project_in(x)
        y = self._attend(x, self.shift)
        for i in range(1, alignments):
            y = y + self._attend(x, (self.shift + i * self.window // alignments) % self.window)
        return self.project_out(y / alignments)

    def _attend(self, x: Tensor, shift: int) -> Tensor:
        """Queries, keys and values (N, H, W, 3 C) to what the pixels of each window gather, (N, H, W, C)."""
        side = self.window
        if shift:  # so much more above and to the left, and below and to the right what fills the last windows
            beyond = (shift, side - shift, shift, side - shift)
            x = F.pad(x.permute(0, 3, 1, 2), beyond, mode="reflect").permute(0, 2, 3, 1)
        count, height, width, channels = x.shape
        rows, columns = height // side, width // side
        x = x.reshape(count, rows, side, columns, side, channels).transpose(2, 3).reshape(-1, side * side, channels)
        q, k, v = x.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.bias[:, self.positions].to(q.dtype)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        x = x.transpose(1, 2).reshape(count, rows, columns, side, side, -1).transpose(2, 3)
        x = x.reshape(count, height, width, -1)
        return x[:, shift : shift - side, shift : shift - side] if shift else x
