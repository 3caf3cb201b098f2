"""Modulated deformable convolution, without a compiled operator.

Dai et al., "Deformable Convolutional Networks", ICCV 2017; Zhu et al., "Deformable ConvNets v2", CVPR 2019.

``y(p) = sum_k w_k m_k(p) x(p + p_k + o_k(p)) + b``: every tap k reads the input at its own, learned, fractional
position. Reading is one ``grid_sample`` over all nine shifted grids, weighting one matrix product. On a CPU the
backward pass of that is about thirty times faster than that of ``torchvision.ops.deform_conv2d``, whose values it
reproduces; on a GPU torchvision's kernel is used, which needs no buffer of samples.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE_BUDGET = 2**24
"""Samples (channels x taps x pixels) held at a time when no gradient is needed: 64 MiB."""


def deformable_convolution(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None, *, first_row: int = 0
) -> Tensor:
    """Deformable convolution of stride one that keeps the size.

    Args:
        x: (N, C, H, W).
        offset: (N, 2k, h, W) with k the number of taps, row-major; for each tap its shift down, then to the right,
            in pixels (the layout of torchvision).
        mask: (N, k, h, W), the factor of each tap.
        weight: (O, C, side, side) with side odd, side * side = k.
        bias: (O,).
        first_row: Row of ``x`` to which the first row of ``offset`` belongs: a slab of the output can be computed
            from the whole input.

    Returns:
        (N, O, h, W). Outside ``x`` there are zeros.
    """
    if x.is_cuda and first_row == 0 and offset.shape[-2] == x.shape[-2]:
        from torchvision.ops import deform_conv2d

        side = weight.shape[-1] // 2
        with torch.autocast("cuda", enabled=False):
            single = [t.float() for t in (x, offset, weight)]
            y = deform_conv2d(*single, None if bias is None else bias.float(), padding=side, mask=mask.float())
        return y.to(x.dtype)
    if torch.is_grad_enabled():
        return _sampled(x, offset, mask, weight, bias, first_row)
    per_row = x.shape[0] * x.shape[1] * mask.shape[1] * offset.shape[-1]
    rows = max(1, SAMPLE_BUDGET // per_row)
    if rows >= offset.shape[-2]:
        return _sampled(x, offset, mask, weight, bias, first_row)
    pieces = [
        _sampled(x, o, m, weight, bias, first_row + index * rows)
        for index, (o, m) in enumerate(zip(offset.split(rows, 2), mask.split(rows, 2), strict=True))
    ]
    return torch.cat(pieces, 2)


def _sampled(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, first_row: int) -> Tensor:
    count, channels, height, width = x.shape
    outputs, side = weight.shape[0], weight.shape[-1]
    taps, rows = mask.shape[1], mask.shape[2]
    exact = torch.promote_types(x.dtype, torch.float32)  # half precision cannot hold a position
    reach = torch.arange(side, device=x.device, dtype=exact) - side // 2
    offset = offset.to(exact).view(count, taps, 2, rows, width)
    down = offset[:, :, 0] + reach.repeat_interleave(side).view(1, taps, 1, 1)
    right = offset[:, :, 1] + reach.repeat(side).view(1, taps, 1, 1)
    down = down + torch.arange(first_row, first_row + rows, device=x.device, dtype=exact).view(1, 1, rows, 1)
    right = right + torch.arange(width, device=x.device, dtype=exact)
    # Unit coordinates with align_corners: -1 is the centre of the first pixel, 1 of the last; one pixel wide axes
    # would divide by zero, and any position there is the distance from that one pixel.
    grid = torch.stack((_unit(right, width), _unit(down, height)), -1)
    source = x if width > 1 and height > 1 else F.pad(x, (0, int(width == 1), 0, int(height == 1)))
    grid = grid.view(count, taps * rows, width, 2)
    samples = F.grid_sample(source.to(exact), grid, padding_mode="zeros", align_corners=True)
    samples = samples * mask.reshape(count, 1, taps * rows, width).to(samples.dtype)
    y = weight.reshape(outputs, -1) @ samples.view(count, channels * taps, rows * width).to(weight.dtype)
    if bias is not None:
        y = y + bias[:, None].to(y.dtype)
    return y.view(count, outputs, rows, width)


def _unit(position: Tensor, size: int) -> Tensor:
    return position * (2 / max(size - 1, 1)) - 1


class DeformableConv2d(nn.Module):
    """Deformable convolution that predicts its own offsets and mask from its input (DCNv2).

    The predicting convolution starts at zero, so training starts from an ordinary convolution at half strength.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        side: Kernel size, odd.
    """

    def __init__(self, inputs: int, outputs: int, side: int = 3) -> None:
        super().__init__()
        self.taps = side * side
        self.weight = nn.Parameter(torch.empty(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.predict = nn.Conv2d(inputs, 3 * self.taps, side, padding=side // 2)
        bound = 1 / math.sqrt(inputs * self.taps)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(self.predict.bias)

    def fields(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (N, 2k, H, W) in pixels and mask (N, k, H, W) in (0, 1), predicted from ``x``."""
        predicted = self.predict(x)
        return predicted[:, : 2 * self.taps], predicted[:, 2 * self.taps :].sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return deformable_convolution(x, *self.fields(x), self.weight, self.bias)
