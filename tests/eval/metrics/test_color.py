"""Luma and grey: closed forms and the corners of the colour cube."""

from __future__ import annotations

import numpy as np
import pytest

from eval.metrics.color import MATLAB_GREY_WEIGHTS, grey, luma, matlab_grey
from tests.eval.metrics.pictures import noise

CORNERS = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)


def test_luma_of_the_corners_is_that_of_bt_601() -> None:
    np.testing.assert_allclose(luma(CORNERS)[0], [16, 235, 81.481, 144.553, 40.966], atol=1e-12)


def test_grey_of_the_corners() -> None:
    np.testing.assert_allclose(grey(CORNERS)[0], [0, 255, 76.245, 149.685, 29.07], atol=1e-12)
    assert matlab_grey(CORNERS)[0].tolist() == [0, 255, 76, 150, 29]


def test_matlab_grey_weights_are_the_inverse_ntsc_matrix() -> None:
    ntsc = np.array([[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.106, 1.703]])
    np.testing.assert_allclose(np.linalg.inv(ntsc)[0], MATLAB_GREY_WEIGHTS, atol=1e-15)


def test_planes_equal_the_dot_product_for_every_type() -> None:
    image = noise(31, 17)
    for kind in (np.uint8, np.uint16, np.float32, np.float64):
        np.testing.assert_allclose(
            luma(image.astype(kind)), 16 + image @ np.array([65.481, 128.553, 24.966]) / 255, atol=1e-9
        )
        np.testing.assert_allclose(
            grey(image.astype(kind)[:, ::-1]), (image @ [0.299, 0.587, 0.114])[:, ::-1], atol=1e-9
        )
    expected = np.floor(image @ np.array(MATLAB_GREY_WEIGHTS) + 0.5)
    assert np.abs(matlab_grey(image) - expected).max() == 0


def test_limited_range_luma_is_a_stretched_grey() -> None:
    # Why PSNR on the two Ys differs by 20 log10(255 / 219) = 1.32 dB.
    image = noise(20, 30)
    np.testing.assert_allclose(luma(image), 16 + grey(image) * 219 / 255, atol=0.01)
    assert 20 * np.log10(255 / 219) == pytest.approx(1.32, abs=0.005)
