"""Blur, noise, rain, JPEG, tone, darkness: closed forms and invariances."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training.degradations import camera, low_light
from training.degradations.depth import photograph_depth, sky_likelihood


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_picture_meets_its_own_kernel():
    """Against OpenCV, one picture at a time."""
    pictures = torch.rand(2, 3, 20, 24)
    kernels = camera.gaussian_kernels(torch.tensor([0.8, 2.0]), 7)
    found = camera.filter_each(pictures, kernels)
    for picture, kernel, result in zip(pictures, kernels, found, strict=True):
        array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        expected = cv2.filter2D(array, -1, kernel.numpy(), borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(result.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_kernels_sum_to_one_and_keep_flat_pictures():
    kernels = torch.cat(
        [
            camera.gaussian_kernels(torch.tensor([0.5, 3.0]), 15),
            camera.motion_kernels(torch.tensor([4.0, 12.0]), torch.tensor([0.3, 2.0]), 15),
        ]
    )
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(4))
    flat = torch.full((4, 3, 20, 20), 0.3)
    torch.testing.assert_close(camera.filter_each(flat, kernels), flat)


def test_motion_goes_along_its_angle():
    horizontal, vertical = camera.motion_kernels(torch.tensor([9.0, 9.0]), torch.tensor([0.0, torch.pi / 2]), 15)
    torch.testing.assert_close(horizontal, vertical.T, atol=1e-5, rtol=1e-3)
    assert horizontal[7].sum() > 0.5 and horizontal[:, 7].sum() < 0.2


def test_noise_has_its_deviation():
    grey = torch.full((4, 3, 64, 64), 0.5)
    sigma = torch.tensor([0.0, 0.02, 0.05, 0.1]).view(4, 1, 1, 1)
    noisy = camera.gaussian_noise(grey, sigma, seeded())
    np.testing.assert_allclose((noisy - grey).std((1, 2, 3)), sigma.flatten(), rtol=0.03)


def test_shot_noise_grows_with_the_square_root_of_light():
    levels = torch.tensor([0.1, 0.4]).view(2, 1, 1, 1).expand(2, 3, 90, 90)
    noisy = low_light.shot_and_read_noise(levels, 0.002, 0.0, seeded())
    deviations = (noisy - levels).std((1, 2, 3))
    assert float(deviations[1] / deviations[0]) == pytest.approx(2.0, rel=0.05)


def test_spread_noise_is_as_strong_and_neighbours_share_it():
    grey = torch.full((2, 3, 128, 128), 0.5)
    white = camera.gaussian_noise(grey, 0.05, seeded())
    spread = low_light.correlated(white, grey, torch.tensor([0.3, 1.2])) - grey
    np.testing.assert_allclose(spread.std((1, 2, 3)), (white - grey).std((1, 2, 3)), rtol=0.03)
    shared = (spread[..., 1:] * spread[..., :-1]).mean((1, 2, 3)) / spread.var((1, 2, 3))
    assert float(shared[0]) < 0.02 and float(shared[1]) == pytest.approx(np.exp(-1 / (4 * 1.2**2)), abs=0.05)


def test_rain_only_adds_light_and_none_at_no_density():
    picture = torch.rand(2, 3, 40, 40) * 0.4
    density, length, angle = torch.tensor([0.02, 0.0]), torch.tensor([9.0, 9.0]), torch.tensor([1.5, 1.5])
    wet = camera.rain(picture, density, length, angle, seeded())
    assert (wet[0] >= picture[0] - 1e-6).all() and (wet[0] - picture[0]).mean() > 0.01
    torch.testing.assert_close(wet[1], picture[1])


def test_jpeg_loses_more_at_lower_quality():
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 6, 6), dtype=np.float32))
    picture = torch.nn.functional.interpolate(coarse, (48, 48), mode="bicubic").clamp(0, 1).repeat(3, 1, 1, 1)
    errors = (camera.jpeg(picture, [5, 40, 100]) - picture).abs().mean((1, 2, 3)).tolist()
    assert errors[0] > 2 * errors[1] > 2 * errors[2] and errors[2] < 0.02


def test_tone_at_rest_is_the_identity_and_grey_has_no_colour():
    picture = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(camera.tone(picture), picture)
    grey = camera.tone(picture, saturation=0.0)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    assert camera.tone(picture, lift=0.05).min() >= 0.05 - 1e-6


def test_darkening_by_hand():
    assert float(low_light.darken(torch.full((1, 3, 1, 1), 0.8), 0.9, 0.5, 2.0)[0, 0]) == pytest.approx(0.9 * 0.16)
    half = torch.full((1, 3, 1, 1), 0.5)
    assert float(low_light.overexpose(half, 2.0)[0, 0]) == pytest.approx(0.5 * 2 ** (1 / 2.2))
    assert float(low_light.overexpose(half, 1e3).max()) == 1.0


def test_drawn_depth_puts_sky_far_and_repeats():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 90, (80, 120, 3), dtype=np.uint8)
    picture[:30] = (120, 160, 230)
    sky = sky_likelihood(picture)
    assert sky[2:15, 10:-10].min() > 0.9 and sky[45:].max() < 0.1
    field = photograph_depth(picture, np.random.default_rng(3))
    assert field.shape == (80, 120) and field.dtype == np.float32 and 0 < field.min() <= field.max() <= 1
    assert field[5:20, 10:-10].mean() > field[45:].mean()
    np.testing.assert_array_equal(field, photograph_depth(picture, np.random.default_rng(3)))
