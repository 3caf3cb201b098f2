"""Results of reduced pictures at full size: exact for what is linear, against the guided filter, any size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from guided_filter import guided_filter
from restorers.blocks import joint_upsampling
from restorers.blocks.joint_upsampling import RIDGE, WINDOW, joint_upsample, on_reduced


def scene(height=64, width=96):
    """Smooth shades under fine stripes and grain."""
    torch.manual_seed(0)
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    base = torch.stack([rows * columns, 1 - rows + 0 * columns, 0.3 + 0.4 * columns + 0 * rows])
    return (0.15 + 0.5 * base + 0.2 * torch.rand(3, height, width))[None]


def test_what_is_linear_in_the_picture_is_carried_over_with_its_detail():
    picture = scene()
    small = F.interpolate(picture, (16, 24), mode="area")
    hazy = joint_upsample(small, 0.4 * small + 0.5, picture)
    torch.testing.assert_close(hazy, 0.4 * picture + 0.5, atol=0.01, rtol=0)
    assert (F.interpolate(0.4 * small + 0.5, picture.shape[-2:], mode="bilinear") - hazy).abs().mean() > 0.01


def test_in_grey_and_at_one_size_it_is_the_guided_filter():
    torch.manual_seed(1)
    picture, result = torch.rand(2, 1, 1, 24, 30).unbind(0)
    wanted = guided_filter(picture[0, 0].numpy(), result[0, 0].numpy(), WINDOW // 2, RIDGE)
    found = joint_upsample(picture, result, picture)[0, 0].numpy()
    # The two mirror borders differently; away from them windows are the same.
    inside = slice(WINDOW - 1, 1 - WINDOW)
    np.testing.assert_allclose(found[inside, inside], wanted[inside, inside], atol=2e-3)


def test_channels_share_their_slope_but_not_their_offset():
    """The pixel in the middle, by least squares with one slope and three offsets in all windows that hold it."""
    rng = np.random.default_rng(2)
    side, middle = 2 * WINDOW - 1, WINDOW - 1
    picture, result = rng.random((2, 3, side, side))
    means = []
    for top in range(WINDOW):
        for left in range(WINDOW):
            window = (slice(None), slice(top, top + WINDOW), slice(left, left + WINDOW))
            x, y = picture[window].reshape(3, -1), result[window].reshape(3, -1)
            unknowns = np.column_stack([x.ravel(), np.kron(np.eye(3), np.ones((x.shape[1], 1)))])
            slope, *offsets = np.linalg.lstsq(unknowns, y.ravel(), rcond=None)[0]
            means.append(slope * picture[:, middle, middle] + offsets)
    tensors = [torch.from_numpy(array)[None] for array in (picture, result, picture)]
    found = joint_upsample(*tensors)[0, :, middle, middle].numpy()
    np.testing.assert_allclose(found, np.mean(means, 0), atol=1e-3)  # the ridge's share


def test_flat_windows_take_the_results_mean():
    flat = torch.full((1, 3, 8, 8), 0.5)
    y = joint_upsample(flat, flat + 0.2, torch.full((1, 3, 32, 32), 0.5))
    torch.testing.assert_close(y, torch.full_like(y, 0.7))


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (60, 180), (64, 64)])
def test_the_network_sees_the_short_side_and_multiples(size):
    seen = []

    def network(x):
        seen.append(tuple(x.shape[-2:]))
        return 0.5 * x

    picture = scene(*size)
    y = on_reduced(network, picture, 24, 16)
    assert y.shape == picture.shape
    torch.testing.assert_close(y, 0.5 * picture, atol=0.02, rtol=0)
    share = 24 / min(size)
    assert seen == [tuple(-(-round(length * share) // 16) * 16 for length in size)]


@pytest.mark.parametrize("side", [None, 64, 100])
def test_pictures_that_are_small_already_are_left_alone(side, monkeypatch):
    monkeypatch.setattr(joint_upsampling, "joint_upsample", lambda *_: pytest.fail("was brought to a size it has"))
    picture = scene()
    assert torch.equal(on_reduced(lambda x: 1 - x, picture, side, 16), 1 - picture)


@pytest.mark.parametrize("side", [None, 24])
def test_mirrored_networks_have_no_left_or_right(side):
    """A network that moves everything to the right does so no more once both views are averaged."""
    picture = scene()

    def moved(x):
        return x.roll(2, -1)

    one = on_reduced(moved, picture, side, 16)
    both = on_reduced(moved, picture, side, 16, mirrored=True)
    again = on_reduced(moved, picture.flip(-1), side, 16, mirrored=True).flip(-1)
    torch.testing.assert_close(again, both, atol=1e-3, rtol=0)
    assert not torch.allclose(one, both, atol=1e-2)


def test_of_several_sides_the_mean_is_taken():
    picture = scene()
    gains = {(16, 32): 0.5, (32, 48): 0.9}

    def network(x):
        return gains[tuple(x.shape[-2:])] * x

    y = on_reduced(network, picture, [16, 32], 16)
    torch.testing.assert_close(y, 0.7 * picture, atol=0.03, rtol=0)
    one = on_reduced(lambda x: 1 - x, picture, [64, 100], 16)
    assert torch.equal(one, 1 - picture), "sides that no picture is reduced to are one"
