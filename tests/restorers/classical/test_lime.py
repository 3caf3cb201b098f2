"""LIME: the illumination map is smooth where the picture is, exposure is reached, nothing clips."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from restorers.blocks.structure_smoothing import _solve_lines, smooth, texture_weights
from restorers.classical.lime import MIDDLE_GREY, Lime, brighten, denoise_dark

LUMA = torch.tensor([0.299, 0.587, 0.114])


def dark_scene(seed=0, noise=0.0):
    """A bright window in a dim room, in float32 (3, H, W)."""
    rng = np.random.default_rng(seed)
    picture = rng.random((3, 12, 16)).astype(np.float32).repeat(8, 1).repeat(8, 2) * 0.15
    picture[:, 20:50, 70:110] *= 4
    return np.clip(picture + noise * rng.standard_normal(picture.shape), 0, 1).astype(np.float32)


def luma(x):
    return float(torch.einsum("c,nchw->nhw", LUMA, x).mean())


def test_lines_are_solved_as_a_general_solver_would():
    rng = np.random.default_rng(0)
    values, weights = rng.random((30, 4)), rng.random((29, 4)) * 100
    solved = _solve_lines(values, weights)
    for column in range(4):
        w = weights[:, column]
        diagonal = 1 + np.append(w, 0) + np.insert(w, 0, 0)
        matrix = sparse.diags([-w, diagonal, -w], [-1, 0, 1], format="csc")
        np.testing.assert_allclose(solved[:, column], spsolve(matrix, values[:, column]), atol=1e-10)


def test_smoothing_flattens_texture_and_keeps_the_edge():
    rng = np.random.default_rng(0)
    step = np.where(np.arange(80) < 40, 0.2, 0.7)[None].repeat(60, 0)
    plane = (step + 0.02 * rng.standard_normal(step.shape)).astype(np.float32)
    result = smooth(plane, 0.15)
    assert result[:, :36].std() < plane[:, :36].std() / 3
    assert (result[:, 44:].mean() - result[:, :36].mean()) > 0.45
    assert plane.min() <= result.min() and result.max() <= plane.max()


def test_smoothing_leaves_a_flat_plane_and_is_symmetric():
    flat = np.full((20, 30), 0.3, np.float32)
    np.testing.assert_allclose(smooth(flat, 30.0), flat, atol=1e-6)
    plane = np.random.default_rng(3).random((24, 31)).astype(np.float32)
    np.testing.assert_allclose(smooth(plane[:, ::-1], 5.0)[:, ::-1], smooth(plane, 5.0), atol=1e-5)
    across, down = texture_weights(plane)
    assert across.shape == (24, 30) and down.shape == (23, 31) and across.min() > 0 < down.min()


def test_brightening_is_division_by_the_illumination_in_the_dark_and_never_clips():
    dark = np.full((3, 1, 1), 0.004, np.float32)
    assert brighten(dark, np.full((1, 1), 8, np.float32)).max() == pytest.approx(8 * 0.004, rel=0.02)
    ramp = np.linspace(0, 1, 50, dtype=np.float32)[None, None].repeat(3, 0)
    result = brighten(ramp, np.full((1, 50), 20, np.float32))
    assert result.min() == 0 and result.max() == 1
    assert (np.diff(result[0, 0, :20]) > 0).all()


def test_the_exposure_is_reached():
    x = torch.from_numpy(dark_scene())[None]
    assert luma(x) < 0.12
    assert luma(Lime()(x)) == pytest.approx(MIDDLE_GREY, abs=0.02)
    assert luma(Lime(exposure=0.3)(x)) == pytest.approx(0.3, abs=0.02)


def test_a_bright_picture_is_left_alone():
    picture = np.random.default_rng(0).uniform(0.5, 1, (3, 40, 40)).astype(np.float32)
    x = torch.from_numpy(picture)[None]
    torch.testing.assert_close(Lime(noise=0)(x), x, atol=1e-6, rtol=0)


def test_black_stays_black_and_finite():
    assert float(Lime()(torch.zeros(1, 3, 32, 32)).max()) == 0


def test_noise_in_the_dark_is_smoothed_and_bright_parts_are_kept():
    picture = dark_scene(noise=2 / 255)
    clean = dark_scene()
    light = np.full(picture.shape[1:], 0.1, np.float32)
    result = denoise_dark(picture, light, 2 / 255)
    assert np.abs(result - clean).mean() < 0.85 * np.abs(picture - clean).mean()
    np.testing.assert_allclose(denoise_dark(picture, np.ones_like(light), 2 / 255), picture, atol=1e-7)


def test_regions_lit_differently_come_closer():
    """The point of an illumination map: a dim copy of a region looks more like the lit one afterwards."""
    rng = np.random.default_rng(0)
    patch = rng.uniform(0.7, 1, (3, 48, 48)).astype(np.float32)
    x = torch.from_numpy(np.concatenate([patch * 0.05, patch * 0.3], axis=2))[None]
    ratio = lambda z: float(z[..., 60:].mean() / z[..., :36].mean())  # noqa: E731
    assert ratio(x) > 5.5
    assert ratio(Lime(exponent=1.0, exposure=None)(x)) < ratio(Lime.of_the_paper()(x)) < 2.5
    assert ratio(Lime(exponent=0.25, exposure=None)(x)) < 4.5
