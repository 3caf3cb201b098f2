"""Blind super-resolution's degradations: equality with MATLAB's resize, alignment, MANet's modes, seeds."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from errors import UsageError
from eval.metrics.psnr import psnr
from images import read_picture
from resample import imresize
from training.degradations import blind_sr
from training.degradations.kernels import gaussian_kernel, sinc_kernel, strided_kernel
from training.degradations.resize import matlab_resize
from training.degradations.second_order import draw_kernel, second_order

SET5 = Path(__file__).resolve().parents[4] / "shared" / "data" / "set5"


def picture(height=48, width=64, seed=0):
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (height, width), mode="bicubic", align_corners=False).clamp(0, 1)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1 / 3, 2.0, 4.0, 0.37, 1.7])
@pytest.mark.parametrize("size", [(24, 36), (17, 29)])
def test_tensor_resize_equals_imresize(scale, size):
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = matlab_resize(x, scale)
    for image, result in zip(x, ours, strict=True):
        expected = imresize(image.permute(1, 2, 0).numpy(), scale)
        np.testing.assert_allclose(result.permute(1, 2, 0).numpy(), expected, atol=1e-12)
    single = matlab_resize(x.float(), scale)
    assert float((single - ours).abs().max()) < 2e-6


def test_kernels_sum_to_one_and_have_the_variances_asked_for():
    kernel = gaussian_kernel(41, 9.0, 4.0)[0].double()
    axis = torch.arange(41, dtype=torch.float64) - 20
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert float((kernel.sum(0) * axis.square()).sum()) == pytest.approx(9, rel=1e-3)
    assert float((kernel.sum(1) * axis.square()).sum()) == pytest.approx(4, rel=1e-3)
    turned = gaussian_kernel(41, 9.0, 4.0, math.pi / 2)[0]
    torch.testing.assert_close(turned, gaussian_kernel(41, 4.0, 9.0)[0], atol=1e-6, rtol=0)


def test_generalised_profiles_contain_the_gaussian():
    plain = gaussian_kernel(15, 3.0, 1.5, 0.4)
    torch.testing.assert_close(gaussian_kernel(15, 3.0, 1.5, 0.4, profile="generalised", shape=1.0), plain)
    flat = gaussian_kernel(15, 9.0, profile="plateau", shape=2.0)[0]
    peaked = gaussian_kernel(15, 9.0, profile="generalised", shape=0.5)[0]
    assert float(flat[7, 8] / flat[7, 7]) > float(plain[0, 7, 8] / plain[0, 7, 7])
    assert float(peaked[7, 8] / peaked[7, 7]) < float(flat[7, 8] / flat[7, 7])


def test_sinc_kernel_of_full_band_is_nearly_a_disc_of_frequencies():
    kernel = sinc_kernel(21, math.pi / 3)
    response = torch.fft.fft2(kernel[0]).abs()
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert float(response[0, 1]) > 0.8 and float(response[0, 10]) < 0.15


def test_blur_is_a_convolution_with_replicated_edges():
    x, kernels = picture(20, 24), torch.rand(1, 5, 5)
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    expected = torch.zeros_like(x)
    for i in range(5):
        for j in range(5):
            # y(p) = sum_u k(u) x(p - u): the kernel's first row looks two pixels down.
            expected += kernels[0, i, j] * padded[..., 4 - i : 24 - i, 4 - j : 28 - j]
    torch.testing.assert_close(blind_sr.blur(x, kernels), expected)
    unchanged = F.pad(torch.ones(1, 1, 1), (2, 2, 2, 2))
    torch.testing.assert_close(blind_sr.blur(x, unchanged), x)
    two = torch.cat((kernels, unchanged))
    torch.testing.assert_close(blind_sr.blur(x.repeat(2, 1, 1, 1), two), torch.cat((expected, x)))


def test_vanishing_blur_is_bicubic():
    x = blind_sr.round_to_8_bits(picture())
    assert torch.equal(blind_sr.blurred_bicubic(x, 4, gaussian_kernel(21, 1e-4)), blind_sr.bicubic(x, 4))


def test_bicubic_refuses_a_rest():
    with pytest.raises(UsageError, match="multiples of 4"):
        blind_sr.bicubic(picture(46, 64), 4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_strided_pictures_are_aligned(scale):
    """Pixel i of the small picture shows the mean position of high-resolution pixels s i ... s i + s - 1."""
    ramp = (torch.arange(96.0) / 96).expand(1, 3, 96, 96)
    kernel = strided_kernel(21, scale, 3.0, 2.0, 0.3)
    for turned in (ramp, ramp.mT):
        small = blind_sr.blur(turned, kernel)[..., ::scale, ::scale]
        inside = small[0, 0] if turned is ramp else small[0, 0].mT
        index = torch.arange(inside.shape[1])[8:-8]
        expected = (scale * index + (scale - 1) / 2) / 96
        torch.testing.assert_close(inside[10, 8:-8], expected, atol=1e-5, rtol=0)


def test_strided_kernel_fills_the_upper_left():
    kernel = strided_kernel(21, 4, 5.0, 5.0, 0.0)[0]
    assert float(kernel[18:].abs().sum()) == 0 and float(kernel[:, 18:].abs().sum()) == 0
    torch.testing.assert_close(kernel[:18, :18], kernel[:18, :18].flip((0, 1)))


def test_equal_cells_equal_the_invariant_blur():
    # One sums 441 products, the other transforms: in single precision rounding alone can part them by 1e-6.
    x = picture(100, 130).double()
    cells = blind_sr.manet_cells(1, 100, 130, 4, np.random.default_rng(0))
    shape = cells.angle.shape
    assert shape == (3, 4)
    same = blind_sr.CellKernels(torch.full(shape, 6.0), torch.full(shape, 2.0), torch.full(shape, 0.7))
    expected = blind_sr.blur(x, strided_kernel(21, 4, 6.0, 2.0, 0.7))
    assert float((blind_sr.cell_blur(x, same, 4) - expected).abs().max()) < 1e-6


def test_every_cell_has_its_own_kernel():
    x = picture(80, 120).double()
    cells = blind_sr.manet_cells(4, 80, 120, 4, np.random.default_rng(0))
    blurred = blind_sr.cell_blur(x, cells, 4)
    for row in range(2):
        for column in range(3):
            here = tuple(float(v[row, column]) for v in (cells.variance1, cells.variance2, cells.angle))
            alone = blind_sr.blur(x, strided_kernel(21, 4, *here))
            box = (..., slice(40 * row, 40 * row + 40), slice(40 * column, 40 * column + 40))
            assert float((blurred[box] - alone[box]).abs().max()) < 1e-6


def test_manet_modes_by_their_formulas():
    rng = np.random.default_rng(0)
    one, two, three, four, five = (blind_sr.manet_cells(m, 160, 80, 4, rng) for m in blind_sr.MANET_MODES)
    a, b = 9.3, 0.7
    assert one.angle.shape == (4, 2)
    assert one.variance1.unique().tolist() == pytest.approx([a + b])
    assert one.variance2[:, 0].tolist() == pytest.approx([b, a / 4 + b, a / 2 + b, 3 * a / 4 + b])
    assert two.variance1[0].tolist() == pytest.approx([b, a / 2 + b])
    assert three.variance2.unique().tolist() == pytest.approx([b])
    assert three.angle[:, 1].tolist() == pytest.approx([0, math.pi / 4, math.pi / 2, 3 * math.pi / 4])
    assert torch.equal(four.variance1, two.variance1) and torch.equal(four.angle, three.angle)
    assert float(five.variance1.min()) >= b and float(five.variance1.max()) <= a + b
    with pytest.raises(UsageError, match="mode 6"):
        blind_sr.manet_cells(6, 40, 40, 4, rng)


def test_mixture_of_equal_kernels_is_that_kernel():
    x, kernel = picture(), gaussian_kernel(21, 4.0, 1.0, 0.5)
    weights = blind_sr.smooth_weights(3, 48, 64, torch.Generator().manual_seed(0))
    torch.testing.assert_close(weights.sum(0), torch.ones(48, 64))
    mixed = blind_sr.mixture_blur(x, kernel.repeat(3, 1, 1), weights)
    assert float((mixed - blind_sr.blur(x, kernel)).abs().max()) < 1e-6


@pytest.mark.parametrize(
    "mix",
    [{kind: 1.0} for kind in ("bicubic", "isotropic", "anisotropic", "strided", "smooth", "second_order")]
    + [{"bicubic": 0.5, "isotropic": 0.5, "jpeg": 1.0}],
    ids=str,
)
@pytest.mark.parametrize("scale", [2, 4])
def test_draws_are_seeded_rounded_and_of_the_right_size(mix, scale):
    x = picture()
    first, again, other = (blind_sr.draw(x, scale, np.random.default_rng(s), mix) for s in (5, 5, 6))
    assert first.shape == (1, 3, 48 // scale, 64 // scale)
    assert torch.equal(first, again)
    assert mix == {"bicubic": 1.0} or not torch.equal(first, other)
    assert float(((first * 255).round() / 255 - first).abs().max()) < 1e-6
    assert float(first.min()) >= 0 and float(first.max()) <= 1


def test_a_mix_has_to_sum_to_one():
    with pytest.raises(UsageError, match="sums to one"):
        blind_sr.draw(picture(), 4, np.random.default_rng(0), {"bicubic": 0.5})
    with pytest.raises(UsageError, match="sums to one"):
        blind_sr.draw(picture(), 4, np.random.default_rng(0), {"bicubic": 1.0, "rain": 0.0})


def test_second_order_kernels_sum_to_one():
    rng = np.random.default_rng(0)
    for _ in range(40):
        kernel = draw_kernel((0.2, 3.0), rng)
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
        assert kernel.shape[-1] % 2 == 1


def test_second_order_is_harder_than_bicubic():
    x = picture(96, 96)
    worse = [second_order(x, 4, np.random.default_rng(s)) for s in range(6)]
    clean = blind_sr.bicubic(x, 4)
    assert np.mean([float((w - clean).abs().mean()) for w in worse]) > 0.01


def test_spatially_variant_noise_is_seeded():
    x = picture(80, 80)
    first, again = (blind_sr.spatially_variant(x, 4, 5, noise=blind_sr.MANET_NOISE, seed=3) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, blind_sr.spatially_variant(x, 4, 5, noise=blind_sr.MANET_NOISE, seed=4))


@pytest.mark.shared
@pytest.mark.skipif(not SET5.is_dir(), reason="the Set5 pictures are not beside the project")
def test_bicubic_anchor_on_set5():
    """Our x4 reduction is the published one, and enlarging it scores the published 28.42 dB."""
    scores = []
    for path in sorted(SET5.glob("*_HR.png")):
        high = read_picture(path).to_tensor()
        low = blind_sr.bicubic(high, 4)
        published = read_picture(path.with_name(path.name.replace("HR", "LR"))).to_tensor()
        assert float((low - published).abs().mean()) < 0.5 / 255
        up = blind_sr.round_to_8_bits(matlab_resize(low, 4))
        weights = torch.tensor((65.481, 128.553, 24.966)).view(3, 1, 1)
        y = [(weights * t[0]).sum(0)[4:-4, 4:-4].numpy() / 255 for t in (up, high)]
        scores.append(psnr(y[0], y[1], 1.0))
    assert np.mean(scores) == pytest.approx(28.42, abs=0.02)
