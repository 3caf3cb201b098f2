"""The dark channel prior against a plain reading of the papers, and against haze that is known."""

import numpy as np
import pytest
import torch

from restorers.classical.dark_channel import DarkChannel, airlight, dark_channel
from restorers.registry import create


def plain_dark_channel(picture, patch):
    """The definition, pixel by pixel."""
    _, height, width = picture.shape
    reach = patch // 2
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            window = picture[:, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            out[y, x] = window.min()
    return out


def scene(height=120, width=160, seed=0):
    """Blocks of saturated colour, as the prior expects, with a depth that grows to the right."""
    rng = np.random.default_rng(seed)
    colours = rng.random((height // 8, width // 8, 3)).astype(np.float32)
    colours[
        np.arange(colours.shape[0])[:, None], np.arange(colours.shape[1]), rng.integers(0, 3, colours.shape[:2])
    ] = 0
    clear = colours.repeat(8, 0).repeat(8, 1).transpose(2, 0, 1)
    return clear, np.linspace(0, 1, width, dtype=np.float32)[None].repeat(height, 0)


def hazy(clear, depth, beta=1.2, light=(0.9, 0.92, 0.95)):
    transmission = np.exp(-beta * depth)[None]
    light = np.array(light, np.float32)[:, None, None]
    return clear * transmission + light * (1 - transmission)


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a) - np.asarray(b)) ** 2))


@pytest.mark.parametrize("patch", [1, 3, 7, 8])
def test_dark_channel_is_the_minimum_of_the_window(patch):
    picture = np.random.default_rng(1).random((3, 20, 25), dtype=np.float32)
    np.testing.assert_array_equal(dark_channel(picture, patch), plain_dark_channel(picture, patch // 2 * 2 + 1))


def test_airlight_is_the_mean_colour_of_the_haziest_pixels():
    picture = np.zeros((3, 40, 50), np.float32)
    picture[:, :4, :5] = np.array([0.7, 0.8, 0.9], np.float32)[:, None, None]
    np.testing.assert_allclose(airlight(picture, dark_channel(picture, 1), 0.01), [0.7, 0.8, 0.9], atol=1e-6)


def test_airlight_does_not_depend_on_the_order_of_ties():
    picture = np.random.default_rng(2).random((3, 40, 50)).round(1).astype(np.float32)
    turned = np.ascontiguousarray(picture[:, ::-1, ::-1])
    values = [airlight(p, dark_channel(p, 5), 0.01) for p in (picture, turned)]
    np.testing.assert_allclose(*values, atol=1e-6)


@pytest.mark.parametrize("method", [DarkChannel(), DarkChannel.of_the_paper()], ids=["ours", "paper"])
def test_known_haze_is_removed(method):
    clear, depth = scene()
    picture = hazy(clear, depth)
    restored = method(torch.from_numpy(picture)[None])[0]
    assert psnr(restored, clear) > psnr(picture, clear) + 3


def test_a_clear_picture_of_dark_colours_stays_as_it_is():
    clear, _ = scene()
    restored = DarkChannel()(torch.from_numpy(clear)[None])[0]
    assert psnr(restored, clear) > 30


def test_more_haze_means_more_is_removed():
    clear, depth = scene()
    gains = []
    for beta in (0.3, 0.8, 1.5):
        picture = hazy(clear, depth, beta)
        gains.append(psnr(DarkChannel()(torch.from_numpy(picture)[None])[0], clear) - psnr(picture, clear))
    assert gains == sorted(gains)


def test_turning_the_picture_turns_the_result():
    clear, depth = scene(96, 96)
    x = torch.from_numpy(hazy(clear, depth))[None]
    method = DarkChannel(subsample=1)
    torch.testing.assert_close(method(x.flip(-1)).flip(-1), method(x), atol=2e-4, rtol=0)


def test_it_is_registered_with_the_facts():
    model = create("dark_channel")
    assert isinstance(model, DarkChannel) and model.card.parameters == 0 and model.card.weights is None
