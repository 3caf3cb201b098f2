"""MATLAB-compatible resizing: closed forms, an independent reference, borders, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from errors import UsageError
from resample import contributions, cubic, imresize


def _dense_reference(signal: np.ndarray, length: int) -> np.ndarray:
    """One output sample at a time, straight from the definition."""
    scale = length / len(signal)
    stretch = min(scale, 1.0)
    output = []
    for position in range(length):
        centre = (position + 0.5) / scale - 0.5
        total = weight_sum = 0.0
        for tap in range(int(np.floor(centre - 2 / stretch)) - 2, int(np.ceil(centre + 2 / stretch)) + 3):
            weight = float(cubic(np.array(stretch * (centre - tap))))
            mirrored = tap % (2 * len(signal))
            mirrored = mirrored if mirrored < len(signal) else 2 * len(signal) - 1 - mirrored
            total += weight * signal[mirrored]
            weight_sum += weight
        output.append(total / weight_sum)
    return np.array(output)


@pytest.mark.parametrize(("length", "output_length"), [(16, 8), (17, 9), (30, 7), (8, 32), (5, 11), (3, 1), (1, 4)])
def test_one_axis_equals_the_definition(length: int, output_length: int) -> None:
    signal = np.random.default_rng(length).random(length)
    got = imresize(signal[:, None], size=(output_length, 1))[:, 0]
    np.testing.assert_allclose(got, _dense_reference(signal, output_length), atol=1e-12)


def test_halving_uses_the_eight_known_taps() -> None:
    _, weights = contributions(32, 16, 0.5)
    expected = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    np.testing.assert_allclose(weights[7], expected, atol=1e-15)


@pytest.mark.parametrize("scale", [0.5, 0.25, 0.75, 2.0, 3.0])
def test_agrees_with_pillow_away_from_the_border(scale: float) -> None:
    # Pillow's float mode has the same kernel and antialiasing; it cuts the kernel off at the border.
    image = np.random.default_rng(0).random((36, 52))
    height, width = round(36 * scale), round(52 * scale)
    theirs = Image.fromarray(image.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    inner = (slice(max(3, round(3 * scale)), -max(3, round(3 * scale))),) * 2
    np.testing.assert_allclose(imresize(image, scale)[inner], np.asarray(theirs)[inner], atol=1e-6)


def test_constant_stays_constant_and_symmetry_holds() -> None:
    image = np.random.default_rng(1).random((24, 31))
    np.testing.assert_allclose(imresize(np.full((9, 13, 3), 0.3), 1.7), 0.3, atol=1e-14)
    np.testing.assert_allclose(imresize(image[::-1], 0.5), imresize(image, 0.5)[::-1], atol=1e-12)
    np.testing.assert_allclose(imresize(image.T, 0.25), imresize(image, 0.25).T, atol=1e-12)


def test_output_size_is_the_ceiling_and_identity_copies() -> None:
    image = np.random.default_rng(2).random((30, 31))
    assert imresize(image, 0.1).shape == (3, 4)
    same = imresize(image, 1.0)
    np.testing.assert_array_equal(same, image)
    assert same is not image
    assert imresize(image.astype(np.float32), 0.5).dtype == np.float64


def test_antialiasing_matters_when_shrinking_only() -> None:
    image = np.random.default_rng(3).random((32, 32))
    assert np.abs(imresize(image, 0.5) - imresize(image, 0.5, antialias=False)).max() > 0.05
    np.testing.assert_array_equal(imresize(image, 2), imresize(image, 2, antialias=False))


@pytest.mark.parametrize(
    ("shape", "kwargs"),
    [((4, 4), {}), ((4, 4), {"scale": 2, "size": (8, 8)}), ((4, 4), {"scale": 0}), ((4, 4), {"scale": float("nan")}),
     ((4, 4), {"size": (0, 3)}), ((4,), {"scale": 2}), ((0, 4), {"scale": 2})],
)  # fmt: skip
def test_refuses_what_it_cannot_do(shape: tuple[int, ...], kwargs: dict) -> None:
    with pytest.raises(UsageError):
        imresize(np.zeros(shape), **kwargs)
