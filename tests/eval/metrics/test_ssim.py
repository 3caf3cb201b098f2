"""SSIM: scikit-image over every shared option, an independent zero-padded version, tiles, flips, degenerate input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve
from skimage.metrics import structural_similarity

from errors import MetricError
from eval.metrics.ssim import SsimWindow, adaptive_pool, pooling_factor, ssim, ssim_sums
from tests.eval.metrics.pictures import disturbed, load, noise, scene


def _scikit(output: np.ndarray, reference: np.ndarray, window: SsimWindow, peak: float) -> float:
    return structural_similarity(
        output, reference, channel_axis=2 if output.ndim == 3 else None, data_range=peak,
        gaussian_weights=window.shape == "gaussian", sigma=window.sigma, win_size=window.size,
        use_sample_covariance=window.sample_covariance, K1=window.k1, K2=window.k2,
    )  # fmt: skip


def _zero_padded(output: np.ndarray, reference: np.ndarray, window: SsimWindow) -> float:
    """One window a pixel, written with a full two-dimensional convolution."""
    kernel = np.outer(window.weights, window.weights)
    values = []
    for c in range(output.shape[2]):
        x, y = output[..., c].astype(float), reference[..., c].astype(float)
        mx, my, xx, yy, xy = (convolve(a, kernel, mode="constant") for a in (x, y, x * x, y * y, x * y))
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
        values.append(top / ((mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2)))
    return float(np.mean(values))


def _pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Fifty pairs: noise and scenes of many sizes, colour and grey, slightly and badly disturbed."""
    pairs = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        height, width = (int(n) for n in rng.integers(16, 140, 2))
        reference = noise(height, width, seed) if seed % 3 == 0 else scene(height, width, seed)
        output = disturbed(reference, rng.uniform(0.5, 60), seed + 1)
        pairs.append((output[..., 0], reference[..., 0]) if seed % 5 == 0 else (output, reference))
    return pairs


WINDOWS = (SsimWindow(), SsimWindow(shape="uniform", size=7, sample_covariance=True))


@pytest.mark.parametrize("window", WINDOWS)
def test_fifty_pairs_agree_with_scikit_image(window: SsimWindow) -> None:
    for output, reference in _pairs():
        assert ssim(output, reference, window) == pytest.approx(_scikit(output, reference, window, 255), abs=1e-9)


@pytest.mark.parametrize(
    ("shape", "size_sigma", "sample", "k"),
    itertools.product(
        ("gaussian", "uniform"),
        ((3, 0.3), (5, 0.6), (7, 0.8), (11, 1.5), (15, 2.0)),
        (True, False),
        ((0.01, 0.03), (0.02, 0.1)),
    ),
)
def test_every_shared_option_agrees_with_scikit_image(
    shape: str, size_sigma: tuple[int, float], sample: bool, k: tuple[float, float]
) -> None:
    size, sigma = size_sigma  # scikit-image takes the Gaussian's size from sigma: 2 int(3.5 sigma + 0.5) + 1
    window = SsimWindow(shape, size, sigma, sample_covariance=sample, k1=k[0], k2=k[1])
    reference = scene(40, 57, 8)
    output = disturbed(reference, 12)
    for scale, kind in ((1.0, np.uint8), (1 / 255, np.float64), (1 / 255, np.float32)):
        x, y = ((a if kind == np.uint8 else (a * scale).astype(kind)) for a in (output, reference))
        expected = _scikit(x.astype(float), y.astype(float), window, 255 * scale)
        assert ssim(x, y, window, peak=255 * scale) == pytest.approx(expected, abs=1e-9)


def test_photographs_agree_with_scikit_image() -> None:
    for name in ("I04", "I06", "I08"):
        pair = load(f"golden/metrics/dist/{name}.png"), load(f"golden/metrics/ref/{name}.png")
        assert ssim(*pair) == pytest.approx(_scikit(*pair, SsimWindow(), 255), abs=1e-9)


@pytest.mark.parametrize("shape", [(24, 31, 3), (11, 12, 3), (5, 9, 3), (1, 7, 3), (3, 700, 3)])
def test_zero_padded_windows(shape: tuple[int, int, int]) -> None:
    reference = noise(*shape[:2], seed=5)
    output = disturbed(reference, 30)
    window = SsimWindow(border="zero")
    assert ssim(output, reference, window) == pytest.approx(_zero_padded(output, reference, window), abs=1e-12)


def test_border_differs_in_the_third_decimal() -> None:
    for name, valid, padded in (("I04", 0.93252, 0.93119), ("I08", 0.96743, 0.96890)):
        pair = load(f"golden/metrics/dist/{name}.png"), load(f"golden/metrics/ref/{name}.png")
        assert ssim(*pair) == pytest.approx(valid, abs=1e-5)
        assert ssim(*pair, SsimWindow(border="zero")) == pytest.approx(padded, abs=1e-5)


def test_pooling_follows_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for height, width in ((520, 771), (1023, 640), (300, 300)):
        image = noise(height, width, 6)
        factor = pooling_factor(height, width)
        tensor = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)
        size = (height // factor, width // factor)
        expected = torch.nn.functional.adaptive_avg_pool2d(tensor, size).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(adaptive_pool(image, factor), expected, atol=1e-10)
    assert [pooling_factor(n, 9999) for n in (100, 383, 385, 640, 896)] == [1, 1, 2, 2, 4]  # 2.5 to 2, 3.5 to 4


def test_pooled_ssim_is_ssim_of_the_pooled_pictures() -> None:
    reference = scene(512, 600, 4)
    output = disturbed(reference, 25)
    pooled = adaptive_pool(output, 2), adaptive_pool(reference, 2)
    assert ssim(output, reference, SsimWindow(pooling="adaptive")) == ssim(*pooled)


def test_tiles_with_their_halo_add_up_to_the_whole() -> None:
    reference = scene(90, 130, 5)
    output = disturbed(reference, 15)
    total = count = 0
    for top in range(0, 80, 20):
        for left in range(0, 120, 40):
            part = np.s_[top : top + 30, left : left + 50]
            tile = ssim_sums(output[part], reference[part])
            total, count = total + tile[0], count + tile[1]
    assert count == 80 * 120 * 3
    assert total / count == pytest.approx(ssim(output, reference), abs=1e-12)


def test_wide_pictures_cross_the_chunks() -> None:
    reference = scene(24, 2300, 6)
    output = disturbed(reference, 15)
    assert ssim(output, reference) == pytest.approx(_scikit(output, reference, SsimWindow(), 255), abs=1e-10)


def test_identical_and_flat_pictures() -> None:
    assert ssim(noise(33, 20), noise(33, 20)) == pytest.approx(1.0, abs=1e-15)
    flat = np.full((20, 20, 3), 90, np.uint8)
    assert ssim(flat, flat) == pytest.approx(1.0, abs=1e-12)
    # Two flat pictures differ in luminance only: (2ab + C1) / (a^2 + b^2 + C1).
    c1 = (0.01 * 255) ** 2
    assert ssim(flat, flat + 60) == pytest.approx((2 * 90 * 150 + c1) / (90**2 + 150**2 + c1), abs=1e-9)


def test_refuses_what_has_no_value() -> None:
    with pytest.raises(MetricError, match="too small"):
        ssim(noise(10, 40), noise(10, 40))
    with pytest.raises(MetricError, match="too small"):
        ssim(noise(1, 40), noise(1, 40))
    with pytest.raises(MetricError, match="one shape"):
        ssim(noise(20, 40), noise(20, 41))
    with pytest.raises(MetricError, match="not finite"):
        ssim(np.full((20, 20), np.nan), np.zeros((20, 20)))
    for broken in ({"size": 10}, {"sigma": 0.0}, {"border": "mirror"}, {"shape": "round"}, {"pooling": "max"}):
        with pytest.raises(MetricError):
            SsimWindow(**broken)


@settings(max_examples=40, deadline=None)
@given(st.integers(11, 60), st.integers(11, 60), st.integers(0, 2**32 - 1), st.floats(0.5, 80))
def test_symmetry_flips_and_range(height: int, width: int, seed: int, amount: float) -> None:
    reference = noise(height, width, seed)
    output = disturbed(reference, amount, seed)
    value = ssim(output, reference)
    assert -1.0 <= value <= 1.0
    assert ssim(reference, output) == pytest.approx(value, abs=1e-12)
    assert ssim(output[::-1], reference[::-1]) == pytest.approx(value, abs=1e-12)
    assert ssim(output.swapaxes(0, 1), reference.swapaxes(0, 1)) == pytest.approx(value, abs=1e-12)
    assert ssim(output[..., ::-1], reference[..., ::-1]) == pytest.approx(value, abs=1e-12)
