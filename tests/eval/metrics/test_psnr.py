"""PSNR: closed forms, scikit-image, exact sums, degenerate input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from errors import MetricError
from eval.metrics.psnr import psnr, psnr_from_sums, squared_error
from tests.eval.metrics.pictures import disturbed, load, noise, scene


def test_constant_difference_has_a_closed_form() -> None:
    flat = np.full((5, 7, 3), 100, np.uint8)
    assert psnr(flat, flat + 10) == pytest.approx(10 * math.log10(255**2 / 100), abs=1e-12)
    assert psnr(flat / 255, (flat + 10) / 255, peak=1.0) == pytest.approx(psnr(flat, flat + 10), abs=1e-9)


def test_rounding_noise_alone_is_58_9_decibels() -> None:
    exact = np.random.default_rng(0).uniform(0, 255, (400, 400))
    assert psnr(exact, np.rint(exact)) == pytest.approx(58.92, abs=0.02)


@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 90, 2)
    reference = noise(height, width, seed) if seed % 2 else scene(max(height, 8), max(width, 8), seed)
    output = disturbed(reference, rng.uniform(1, 60), seed)
    assert psnr(output, reference) == pytest.approx(
        peak_signal_noise_ratio(reference, output, data_range=255), abs=1e-9
    )
    floats = output / 255.0 + rng.normal(0, 1e-3, output.shape)
    expected = peak_signal_noise_ratio(reference / 255.0, floats, data_range=1)
    assert psnr(floats, reference / 255.0, peak=1.0) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("name", "value"), [("I04", 20.99), ("I06", 27.01), ("I08", 23.30)])
def test_published_values(name: str, value: float) -> None:
    pair = load(f"golden/metrics/dist/{name}.png"), load(f"golden/metrics/ref/{name}.png")
    assert psnr(*pair) == pytest.approx(value, abs=0.005)


def test_integers_are_summed_exactly() -> None:
    black, white = np.zeros((700, 900, 3), np.uint16), np.full((700, 900, 3), 65535, np.uint16)
    assert squared_error(black, white) == (float(black.size * 65535**2), black.size)
    output, reference = noise(61, 83, 1), noise(61, 83, 2)
    difference = output.astype(np.int64) - reference
    assert squared_error(output, reference)[0] == float((difference**2).sum())


def test_tiles_add_up_to_the_whole() -> None:
    output, reference = noise(64, 96, 3), noise(64, 96, 4)
    sums = [squared_error(output[i : i + 16, j : j + 32], reference[i : i + 16, j : j + 32])
            for i in range(0, 64, 16) for j in range(0, 96, 32)]  # fmt: skip
    whole = psnr_from_sums(sum(s for s, _ in sums), sum(n for _, n in sums))
    assert whole == psnr(output, reference)


def test_identical_pictures_are_infinite_and_any_size_has_a_value() -> None:
    assert psnr(noise(20, 30), noise(20, 30)) == math.inf
    assert math.isfinite(psnr(noise(1, 9, 1), noise(1, 9, 2)))
    assert math.isfinite(psnr(noise(1, 1, 1), noise(1, 1, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_has_no_value(bad: float) -> None:
    floats = np.zeros((4, 4, 3))
    with pytest.raises(MetricError, match="not finite"):
        psnr(np.full((4, 4, 3), bad), floats)
    with pytest.raises(MetricError, match="one shape"):
        psnr(floats, floats[:3])
    with pytest.raises(MetricError, match=r"expected a picture"):
        psnr(np.zeros((0, 4)), np.zeros((0, 4)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0.5, 80))
def test_symmetry_and_flips(height: int, width: int, seed: int, amount: float) -> None:
    reference = noise(height, width, seed)
    output = disturbed(reference, amount, seed)
    value = psnr(output, reference)
    assert psnr(reference, output) == value
    assert psnr(output[::-1, ::-1], reference[::-1, ::-1]) == value
    assert psnr(output.swapaxes(0, 1), reference.swapaxes(0, 1)) == value


def test_sums_of_bytes_do_not_overflow_in_wide_rows() -> None:
    black = np.zeros((2, 70_000), np.uint8)
    assert squared_error(black, black + 255) == (255.0**2 * black.size, black.size)
    noisy = noise(3, 40_001, 9)
    other = noise(3, 40_001, 10)
    exact = int(((noisy.astype(np.int64) - other.astype(np.int64)) ** 2).sum())
    assert squared_error(noisy, other)[0] == exact
