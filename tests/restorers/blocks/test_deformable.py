"""Deformable convolution: equal to a plain loop, to torchvision's operator, and to itself in slabs."""

import math

import pytest
import torch
from torchvision.ops import deform_conv2d

from restorers.blocks import deformable
from restorers.blocks.deformable import DeformableConv2d, deformable_convolution


def draw(count=2, inputs=5, outputs=4, height=9, width=11, spread=3.0, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, height, width, generator=g, dtype=dtype)
    offset = spread * torch.randn(count, 18, height, width, generator=g, dtype=dtype)
    mask = torch.rand(count, 9, height, width, generator=g, dtype=dtype)
    weight = torch.randn(outputs, inputs, 3, 3, generator=g, dtype=dtype)
    bias = torch.randn(outputs, generator=g, dtype=dtype)
    return x, offset, mask, weight, bias


def plain_loop(x, offset, mask, weight, bias):
    """The definition, one pixel, tap and corner at a time."""
    count, _, height, width = x.shape
    y = bias.view(1, -1, 1, 1).repeat(count, 1, height, width)
    for n in range(count):
        for row in range(height):
            for column in range(width):
                for tap in range(9):
                    down = row + tap // 3 - 1 + float(offset[n, 2 * tap, row, column])
                    right = column + tap % 3 - 1 + float(offset[n, 2 * tap + 1, row, column])
                    top, left = math.floor(down), math.floor(right)
                    value = torch.zeros(x.shape[1], dtype=x.dtype)
                    for r, c in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                        if 0 <= r < height and 0 <= c < width:
                            value += x[n, :, r, c] * (1 - abs(down - r)) * (1 - abs(right - c))
                    y[n, :, row, column] += weight[:, :, tap // 3, tap % 3] @ value * mask[n, tap, row, column]
    return y


def test_equals_the_definition():
    x, offset, mask, weight, bias = draw(count=1, height=5, width=6)
    torch.testing.assert_close(
        deformable_convolution(x, offset, mask, weight, bias), plain_loop(x, offset, mask, weight, bias)
    )


@pytest.mark.parametrize("size", [(9, 11), (1, 7), (6, 1), (1, 1)])
@pytest.mark.parametrize("spread", [0.0, 0.7, 20.0])
def test_equals_torchvision(size, spread):
    x, offset, mask, weight, bias = draw(height=size[0], width=size[1], spread=spread)
    ours = deformable_convolution(x, offset, mask, weight, bias)
    torch.testing.assert_close(ours, deform_conv2d(x, offset, weight, bias, padding=1, mask=mask))


def test_gradients_equal_torchvision():
    tensors = [t.requires_grad_() for t in draw()]
    x, offset, mask, weight, bias = tensors
    ours = torch.autograd.grad(deformable_convolution(x, offset, mask, weight, bias).square().sum(), tensors)
    theirs = torch.autograd.grad(deform_conv2d(x, offset, weight, bias, padding=1, mask=mask).square().sum(), tensors)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_single_precision_agrees_within_the_rounding_of_positions():
    """White noise is the hardest input: neighbours differ by several units, so a position's last bit shows."""
    x, offset, mask, weight, bias = draw(height=64, width=48, dtype=torch.float32)
    ours = deformable_convolution(x, offset, mask, weight, bias)
    theirs = deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_row_blocks_and_slabs_change_nothing(monkeypatch):
    x, offset, mask, weight, bias = draw()
    whole = deformable_convolution(x, offset, mask, weight, bias)
    slab = deformable_convolution(x, offset[:, :, 3:7], mask[:, :, 3:7], weight, bias, first_row=3)
    torch.testing.assert_close(slab, whole[:, :, 3:7])
    monkeypatch.setattr(deformable, "SAMPLE_BUDGET", 1)
    with torch.no_grad():
        torch.testing.assert_close(deformable_convolution(x, offset, mask, weight, bias), whole)


def test_starts_as_an_ordinary_convolution_at_half_strength():
    layer = DeformableConv2d(6, 7).double()
    x = torch.randn(2, 6, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.nn.functional.conv2d(x, layer.weight / 2, padding=1))
