"""Haze physics against closed forms, and the SOTS recipe step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.degradations import haze


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_transmission_is_beer_lambert_with_a_floor():
    depth = torch.tensor([0.0, 0.5, 1.0, 50.0]).view(1, 1, 1, 4)
    found = haze.transmission(depth, 1.2).flatten().tolist()
    assert found == pytest.approx([1.0, math.exp(-0.6), math.exp(-1.2), haze.MINIMUM_TRANSMISSION])


def test_scattering_at_its_limits_and_inverse():
    clear, t = torch.rand(2, 3, 5, 6), torch.rand(2, 1, 5, 6) * 0.8 + 0.1
    airlight = torch.rand(2, 3, 1, 1)
    hazy = haze.scatter(clear, t, airlight)
    torch.testing.assert_close((hazy - airlight * (1 - t)) / t, clear, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(haze.scatter(clear, torch.ones_like(t), airlight), clear)
    torch.testing.assert_close(haze.scatter(clear, torch.zeros_like(t), airlight), airlight.expand_as(clear))


def test_the_sots_recipe_pixel_by_pixel():
    clear = torch.rand(1, 3, 480, 640)
    depth = torch.randint(1, 200, (1, 1, 480, 640)).float()
    hazy, cropped, t = haze.sots_pair(clear, depth, 0.9)
    assert hazy.shape == cropped.shape == (1, 3, 460, 620) and t.shape == (1, 1, 460, 620)
    for row, column in ((0, 0), (100, 321), (459, 619)):
        expected_t = math.exp(-0.9 * float(depth[0, 0, row + 10, column + 10]) / float(depth.max()))
        assert float(t[0, 0, row, column]) == pytest.approx(expected_t, rel=1e-5)
        expected = clear[0, :, row + 10, column + 10] * expected_t + (1 - expected_t)
        torch.testing.assert_close(hazy[0, :, row, column], expected)


@pytest.mark.parametrize("size", [(16, 16), (40, 90), (90, 40)])
def test_fractal_noise_fills_the_unit_range_and_repeats(size):
    first = haze.fractal_noise(3, *size, seeded(4), octaves=5)
    assert first.shape == (3, 1, *size)
    torch.testing.assert_close(first.amin((1, 2, 3)), torch.zeros(3))
    torch.testing.assert_close(first.amax((1, 2, 3)), torch.ones(3))
    assert torch.equal(first, haze.fractal_noise(3, *size, seeded(4), octaves=5))
    assert not torch.equal(first, haze.fractal_noise(3, *size, seeded(5), octaves=5))


def test_fewer_octaves_are_smoother():
    def roughness(octaves):
        noise = haze.fractal_noise(4, 64, 64, seeded(), octaves=octaves)
        return float((noise[..., 1:] - noise[..., :-1]).abs().mean())

    assert roughness(1) < 0.7 * roughness(5)


def test_patchiness_without_strength_changes_nothing():
    noise = haze.fractal_noise(2, 20, 20, seeded())
    torch.testing.assert_close(haze.patchiness(noise, 0.0), torch.ones_like(noise))
    full = haze.patchiness(noise, 1.0)
    assert full.min() == pytest.approx(0.2, abs=1e-5) and full.max() == pytest.approx(1.8, abs=1e-5)


def test_airlight_stays_in_its_range_and_near_grey():
    airlight = haze.sample_airlight(500, seeded(), low=0.7, high=0.9, tint=0.02)
    assert airlight.shape == (500, 3, 1, 1)
    assert airlight.min() >= 0.68 and airlight.max() <= 0.92
    assert (airlight.amax(1) - airlight.amin(1)).max() <= 0.04 + 1e-6
    assert np.corrcoef(airlight[:, 0].flatten(), airlight[:, 2].flatten())[0, 1] > 0.9


def test_a_border_has_haze_on_one_side():
    masks = haze.half_plane(40, 48, 64, seeded())
    assert masks.shape == (40, 1, 48, 64) and masks.min() >= 0 and masks.max() <= 1
    shares = (masks > 0.5).float().mean((1, 2, 3))
    assert shares.min() > 0.02 and shares.max() < 0.98
    # Straight: the mask is a function of one direction, so its gradient points the same way everywhere it is not zero.
    rise = torch.gradient(masks[0, 0], dim=(0, 1))
    steep = rise[0] ** 2 + rise[1] ** 2 > 1e-6
    angles = torch.atan2(rise[0][steep] / 48 * 64, rise[1][steep])
    assert torch.cos(angles - angles[0]).min() > 0.9
