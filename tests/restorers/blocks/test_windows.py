"""Windows: means against a plain loop, parts that add up, interpolation between centres."""

import pytest
import torch

from restorers.blocks.feature_attention import ChannelAttention
from restorers.blocks.windows import SPACING, Windows, _starts

SIZES = [(9, 31), (31, 9), (40, 23), (8, 8), (12, 12), (1, 30)]


@pytest.mark.parametrize("size", SIZES)
def test_means_are_those_of_a_plain_loop(size):
    windows = Windows(*size, side=10)
    x = torch.rand(2, 3, *size)
    means = windows.means(x)
    tops, lefts = (_starts(edge, 10).int().tolist() for edge in size)
    assert means.shape == (2, 3, len(tops), len(lefts))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            expected = x[..., top : top + 10, left : left + 10].mean((2, 3))
            torch.testing.assert_close(means[..., i, j], expected)


@pytest.mark.parametrize("size", [11, 18, 19, 200])
def test_windows_reach_both_ends_and_are_close_enough(size):
    starts = _starts(size, 10)
    assert starts[0] == 0
    assert starts[-1] == size - 10
    assert starts.diff().min() > 0 and starts.diff().max() <= SPACING


def test_parts_of_rows_add_up_to_the_means():
    windows = Windows(40, 23, side=10)
    x = torch.rand(1, 2, 40, 23)
    parts = [windows.means(x[..., row : row + 7, :], row) for row in range(0, 40, 7)]
    torch.testing.assert_close(torch.stack(parts).sum(0), windows.means(x))


@pytest.mark.parametrize("size", SIZES)
def test_a_plane_is_spread_as_a_plane_between_the_centres(size):
    """Means of a plane are its values at the centres; interpolated they are the plane again, flat beyond."""
    windows = Windows(*size, side=10)
    rows, columns = torch.meshgrid(torch.arange(size[0]).float(), torch.arange(size[1]).float(), indexing="ij")

    def inner(values, edge):
        half = (min(10, edge) - 1) / 2
        return values.clamp(half, edge - 1 - half)

    spread = windows.spread(windows.means((2 * rows - columns)[None, None]))
    torch.testing.assert_close(spread[0, 0], 2 * inner(rows, size[0]) - inner(columns, size[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        windows.spread(windows.means(rows[None, None]), 3, 5), inner(rows, size[0])[None, None, 3:5]
    )


def test_one_window_is_the_mean_of_the_whole():
    torch.manual_seed(0)
    attention = ChannelAttention(64)
    x = torch.randn(2, 64, 9, 13)
    windowed = ChannelAttention(64, window=13)
    windowed.load_state_dict(attention.state_dict())
    assert torch.equal(windowed(x), attention(x))
    windowed.window = 12
    assert not torch.allclose(windowed(x), attention(x))
