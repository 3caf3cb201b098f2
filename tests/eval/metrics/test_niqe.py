"""NIQE: official values, an independent version written from the paper's steps, invariances, degenerate input."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate
from scipy.special import gamma

from errors import MetricError
from eval.metrics.niqe import aggd_grid, block_features, grey_plane, niqe
from eval.metrics.niqe_model import embedded_model, load_model
from resample import imresize
from tests.eval.metrics.pictures import disturbed, load, noise, scene, shared


def _independent_features(plane: np.ndarray) -> np.ndarray:
    """Features by two-dimensional filters, whole planes, explicit blocks and a search over the whole grid."""
    distance = np.arange(-3, 4)
    kernel = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * (7 / 6) ** 2))
    kernel /= kernel.sum()
    shapes = np.arange(0.2, 10.0005, 0.001)
    ratios = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))

    def fit(x: np.ndarray) -> tuple[float, float, float]:
        left, right = np.sqrt(np.mean(x[x < 0] ** 2)), np.sqrt(np.mean(x[x > 0] ** 2))
        g = left / right
        r = np.mean(np.abs(x)) ** 2 / np.mean(x**2) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
        alpha = shapes[np.argmin((ratios - r) ** 2)]
        scale = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
        return alpha, left * scale, right * scale

    columns = []
    scaled = plane.astype(np.float64)
    for side in (96, 48):
        mean = correlate(scaled, kernel, mode="nearest")
        deviation = np.sqrt(np.abs(correlate(scaled**2, kernel, mode="nearest") - mean**2))
        normalised = (scaled - mean) / (deviation + 1)
        rows = []
        for top in range(0, scaled.shape[0], side):
            for left in range(0, scaled.shape[1], side):
                block = normalised[top : top + side, left : left + side]
                alpha, low, high = fit(block)
                row = [alpha, (low + high) / 2]
                for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    alpha, low, high = fit(block * np.roll(block, shift, axis=(0, 1)))
                    row += [alpha, (high - low) * gamma(2 / alpha) / gamma(1 / alpha), low, high]
                rows.append(row)
        columns.append(np.array(rows))
        scaled = imresize(scaled, 0.5)
    return np.concatenate(columns, axis=1)


def _official_model():
    return load_model(shared("data/niqe/niqe_modelparameters.mat"))


@pytest.mark.parametrize(
    ("path", "value", "tolerance"),
    [
        ("niqe/live_image1.png", 5.0290, 1e-3),
        ("dist/I04.png", 3.6549, 1e-3),
        ("dist/I06.png", 3.2355, 0.05),  # flat areas: see docs/protocols.md
        ("dist/I08.png", 3.1840, 0.05),
    ],
)
def test_official_values(path: str, value: float, tolerance: float) -> None:
    assert niqe(load(f"golden/metrics/{path}"), _official_model()) == pytest.approx(value, abs=tolerance)


def test_every_feature_agrees_with_an_independent_version() -> None:
    for image in (noise(192, 288, 1), disturbed(scene(200, 230, 2), 6)):
        plane = grey_plane(image)
        expected = _independent_features(plane)
        # A shape may fall on the neighbouring grid point when two are equally near.
        np.testing.assert_allclose(block_features(plane).features, expected, rtol=1e-6, atol=1.1e-3)
        assert np.mean(np.abs(block_features(plane).features - expected) > 1e-9) < 0.01


def test_the_second_scale_is_matlabs_half_size() -> None:
    from eval.metrics.niqe_kernels import HALVES, halve

    plane = noise(96, 192, 3, channels=1)
    np.testing.assert_allclose(halve(plane) / HALVES, imresize(plane.astype(float), 0.5), atol=1e-11)


def test_grid_covers_the_papers_range_and_is_increasing() -> None:
    grid = aggd_grid()
    assert (grid.alpha[0], grid.alpha[-1], len(grid.alpha)) == (0.2, 10.0, 9801)
    assert (np.diff(grid.ratio) > 0).all()
    gaussian = np.searchsorted(grid.alpha, 2.0)
    assert grid.ratio[gaussian] == pytest.approx(2 / math.pi, abs=1e-12)  # rho(2) of a Gaussian
    assert grid.scale[gaussian] == pytest.approx(math.sqrt(2), abs=1e-12)


def test_grey_is_matlabs_rounded_grey() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    image[0, :4] = [(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert grey_plane(image)[0, :5].tolist() == [255, 76, 150, 29, 0]
    assert grey_plane(noise(100, 291)).shape == (96, 288)


def test_worse_pictures_score_higher() -> None:
    model = embedded_model()
    clean = load("golden/metrics/ref/I04.png")
    assert niqe(clean, model) < niqe(disturbed(clean, 25), model)
    assert niqe(clean, model) < niqe(imresize(imresize(clean, 0.25), 4), model)


def test_grey_16_bit_and_float_pictures_agree_with_8_bit() -> None:
    model, image = embedded_model(), scene(130, 210, 4)
    value = niqe(image, model)
    assert niqe(image.astype(np.uint16) * 257, model) == value
    assert niqe(image.astype(np.float64), model) == value
    plane = grey_plane(image)
    assert niqe(plane, model) == value
    assert niqe(np.asfortranarray(image), model) == value
    assert niqe(image[::-1][::-1], model) == value


def test_what_is_beyond_whole_blocks_is_not_looked_at() -> None:
    image = scene(200, 300, 5)
    assert niqe(image, embedded_model()) == niqe(image[:192, :288], embedded_model())


def test_a_block_does_not_know_in_which_rows_of_blocks_it_was_looked_at() -> None:
    image = disturbed(scene(96 * 5, 96 * 4, 7), 5)
    whole = block_features(image).features.reshape(5, 4, 36)
    for row in range(1, 4):
        around = block_features(image[96 * (row - 1) : 96 * (row + 2)]).features.reshape(3, 4, 36)
        np.testing.assert_array_equal(around[1], whole[row])
    for column in (1, 2):
        around = block_features(image[:, 96 * (column - 1) : 96 * (column + 2)]).features.reshape(5, 3, 36)
        np.testing.assert_array_equal(around[:, 1], whole[:, column])


def test_threads_change_no_value() -> None:
    images = [disturbed(scene(200 + 31 * k, 330 - 17 * k, k), 4 + k) for k in range(6)]
    alone = [niqe(image, embedded_model()) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: niqe(image, embedded_model()), images * 3))
    assert together == alone * 3


def test_one_block_has_a_value_and_a_partly_flat_picture_too() -> None:
    image = scene(192, 192, 6)
    assert math.isfinite(niqe(image[:96, :96], embedded_model()))
    half = image.copy()
    half[:, 96:] = 255
    features = block_features(grey_plane(half)).features
    assert np.isnan(features).any(axis=1).tolist() == [False, True, False, True]
    assert math.isfinite(niqe(half, embedded_model()))


def test_refuses_what_has_no_value() -> None:
    model = embedded_model()
    for flat in (0, 128, 255):
        with pytest.raises(MetricError, match="flat"):
            niqe(np.full((192, 192, 3), flat, np.uint8), model)
    for small in ((95, 400, 3), (400, 95), (1, 500, 3)):
        with pytest.raises(MetricError, match="at least 96"):
            niqe(np.zeros(small, np.uint8), model)
    with pytest.raises(MetricError, match="expected a picture"):
        niqe(np.zeros((100, 100, 4), np.uint8), model)
    with pytest.raises(MetricError, match="not finite"):
        niqe(np.full((96, 96, 3), np.nan), model)


@settings(max_examples=15, deadline=None)
@given(st.integers(96, 220), st.integers(96, 220), st.integers(0, 2**32 - 1))
def test_negative_and_offset_leave_the_scale_features_alone(height: int, width: int, seed: int) -> None:
    # A brighter picture has the same local contrast: MSCN coefficients do not see an offset.
    plane = (grey_plane(noise(height, width, seed)) // 2).astype(np.uint8)
    first, second = block_features(plane).features, block_features(plane + 60).features
    np.testing.assert_allclose(first, second, atol=2.1e-3)
    np.testing.assert_allclose(block_features(plane).sharpness, block_features(plane + 60).sharpness, rtol=1e-9)
