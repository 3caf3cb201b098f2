"""The torch path: the same values as NumPy, batch of one = batch of many, gradients, the GPU where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from errors import MetricError
from eval.metrics import niqe as niqe_numpy
from eval.metrics import psnr as psnr_numpy
from eval.metrics import ssim as ssim_numpy
from eval.metrics.color import luma as luma_numpy
from eval.metrics.niqe_model import embedded_model
from eval.metrics.ssim import SsimWindow
from tests.eval.metrics.pictures import disturbed, noise, scene

torch = pytest.importorskip("torch")
from eval.metrics import tensors  # noqa: E402

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _batch(*images: np.ndarray, device: str = "cpu"):
    stacked = np.stack(images).transpose(0, 3, 1, 2) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(stacked.astype(np.float32))).to(device)


@pytest.fixture(scope="module")
def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    references = [scene(100, 200, seed) for seed in range(3)]
    return [disturbed(image, 5 + 9 * i, i) for i, image in enumerate(references)], references


@pytest.mark.parametrize("device", DEVICES)
def test_psnr_and_ssim_equal_the_numpy_values(pairs: tuple, device: str) -> None:
    outputs, references = pairs
    x, y = _batch(*outputs, device=device), _batch(*references, device=device)
    expected = [psnr_numpy.psnr(a, b) for a, b in zip(outputs, references, strict=True)]
    np.testing.assert_allclose(tensors.psnr(x, y).cpu(), expected, atol=2e-5)  # float32 input carries /255
    np.testing.assert_allclose(tensors.psnr(x.double(), y.double()).cpu(), expected, atol=2e-5)
    for window in (SsimWindow(), SsimWindow(border="zero"), SsimWindow("uniform", 7, sample_covariance=True)):
        expected = [ssim_numpy.ssim(a, b, window) for a, b in zip(outputs, references, strict=True)]
        np.testing.assert_allclose(tensors.ssim(x, y, window).cpu(), expected, atol=1e-6)


def test_pooled_ssim_equals_the_numpy_value() -> None:
    reference = scene(515, 390, 1)
    output = disturbed(reference, 20)
    window = SsimWindow(pooling="adaptive")
    got = tensors.ssim(_batch(output), _batch(reference), window)
    assert float(got) == pytest.approx(ssim_numpy.ssim(output, reference, window), abs=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_niqe_equals_the_numpy_value_even_on_flat_areas(device: str) -> None:
    images = [scene(200, 300, 1), disturbed(scene(200, 300, 2), 10), scene(200, 300, 3)]
    images[2][:120, :150] = 255  # clipped: NIQE depends on the sign of rounding residues there
    expected = [niqe_numpy.niqe(image, embedded_model()) for image in images]
    got = tensors.niqe(_batch(*images, device=device), embedded_model())
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_a_picture_scores_the_same_alone_and_in_a_batch(pairs: tuple) -> None:
    x, y = _batch(*pairs[0]), _batch(*pairs[1])
    for metric in (tensors.psnr, tensors.ssim):
        together = metric(x, y)
        for i in range(len(x)):
            assert float(metric(x[i : i + 1], y[i : i + 1])[0]) == pytest.approx(float(together[i]), abs=1e-12)
    together = tensors.niqe(x, embedded_model())
    alone = [float(tensors.niqe(x[i : i + 1], embedded_model())) for i in range(3)]
    np.testing.assert_allclose(alone, together, atol=1e-9)


def test_luma_equals_the_numpy_plane() -> None:
    image = noise(20, 30)
    np.testing.assert_allclose(tensors.luma(_batch(image))[0, 0] * 255, luma_numpy(image), atol=1e-4)


def test_gradients_point_to_the_reference(pairs: tuple) -> None:
    x, y = _batch(*pairs[0]).requires_grad_(), _batch(*pairs[1])
    for metric in (tensors.psnr, tensors.ssim):
        (gradient,) = torch.autograd.grad(metric(x, y).sum(), x)
        closer = (x + 1e-3 * gradient / gradient.norm()).detach()
        assert float((metric(closer, y) - metric(x, y).detach()).min()) > 0


def test_degenerate_batches() -> None:
    image = _batch(noise(100, 100))
    assert float(tensors.psnr(image, image)) == math.inf
    assert float(tensors.ssim(image, image)) == pytest.approx(1, abs=1e-12)
    assert math.isnan(float(tensors.niqe(torch.full((1, 3, 96, 96), 0.5), embedded_model())))
    for call in (
        lambda: tensors.psnr(image, image[..., :50]),
        lambda: tensors.ssim(image[..., :8], image[..., :8]),
        lambda: tensors.niqe(image[..., :95], embedded_model()),
        lambda: tensors.niqe(image[:, :1], embedded_model()),
        lambda: tensors.niqe(image * float("nan"), embedded_model()),
    ):
        with pytest.raises(MetricError):
            call()
