"""Last bits of the dark: steps become slopes, edges and bright parts stay, noise is fixed."""

import numpy as np
import pytest
import torch

from restorers.blocks.rounding import NOISE, fixed_noise, smoothed_shadows, undo_rounding


def ramp(low, high, size=(96, 192)):
    """A slope, rounded to 8 bits; and the slope itself."""
    slope = np.tile(np.linspace(low, high, size[1], dtype=np.float32), (3, size[0], 1)) / 255
    return (slope * 255).round() / np.float32(255), slope


def test_rounded_slopes_come_back():
    rounded, slope = ramp(0, 5)
    inside = np.s_[:, :, 16:-16]
    before, after = (np.abs(x - slope)[inside].mean() for x in (rounded, smoothed_shadows(rounded)))
    assert after < 0.6 * before


def test_edges_in_the_dark_are_kept():
    picture = np.zeros((3, 64, 96), np.float32)
    picture[..., 48:] = 16 / 255
    found = smoothed_shadows(picture)
    assert found[..., 47].max() < 3 / 255 and found[..., 48].min() > 13 / 255


def test_what_is_bright_passes():
    picture = ramp(60, 90)[0]
    assert smoothed_shadows(picture) is picture
    half = np.concatenate((ramp(0, 4)[0], picture), 2)
    assert np.array_equal(smoothed_shadows(half)[..., -150:], half[..., -150:])


def test_noise_is_a_tenth_of_a_level_and_always_the_same():
    flat = torch.full((2, 3, 40, 600), 0.5)
    y = undo_rounding(flat)
    assert float((y - flat).std()) == pytest.approx(NOISE, rel=0.02)
    assert torch.equal(y, undo_rounding(flat)) and torch.equal(y[1], y[0])
    assert torch.equal(fixed_noise(40, 600)[..., :88], fixed_noise(40, 600)[..., 512:])


def test_nothing_leaves_the_range():
    y = undo_rounding(torch.stack((torch.zeros(3, 32, 32), torch.ones(3, 32, 32))))
    assert float(y.min()) == 0 and float(y.max()) == 1
