"""The generator: sizes, bicubic start, reach, gradients, files."""

from pathlib import Path

import cv2
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from errors import UsageError
from eval.metrics.psnr import psnr
from images import read_picture
from resample import imresize
from restorers import registry
from restorers.base import count_parameters, load_weights
from restorers.networks.crl_sr import CrlSr, reach
from restorers.pipeline import restore

EXAMPLES = Path(__file__).resolve().parents[3] / "assets" / "examples" / "haze" / "clear"


def stirred(net, amount=0.05):
    """Leave the bicubic start, as training does."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
    return net.eval()


def small(**options):
    torch.manual_seed(0)
    return CrlSr(**({"width": 8, "encoder_blocks": 1, "generator_blocks": 2} | options))


def test_parameter_count_by_the_layer_table():
    width, blocks = 64, 8 + 16
    conv = 9 * width * width + width
    expected = (
        (27 * width + width)  # first layer
        + 2 * blocks * conv
        + 2 * conv  # the two tails
        + 2 * (9 * width * 4 * width + 4 * width)  # two doublings
        + (27 * width + 3)
    )
    net = CrlSr()
    assert count_parameters(net) == net.card.parameters == expected
    assert 2 * expected < 12 * 2**20, "half-precision weights stay below 12 MB"


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("upsampler", ["stepwise", "direct"])
def test_starts_as_bicubic_at_every_scale(scale, upsampler):
    net = small(scale=scale, upsampler=upsampler).eval()
    x = torch.rand(1, 3, 17, 21)
    with torch.no_grad():
        y = net(x)
    assert y.shape == (1, 3, 17 * scale, 21 * scale) and net.card.scale == scale
    expected = F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)
    torch.testing.assert_close(y, expected)


def test_other_scales_are_refused():
    with pytest.raises(UsageError, match="not 5"):
        CrlSr(scale=5)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("upsampler", ["stepwise", "direct"])
def test_nothing_beyond_the_stated_reach_matters(scale, upsampler):
    """The gradient of output pixels with respect to the input is zero outside the halo, and not inside."""
    net = stirred(small(scale=scale, upsampler=upsampler), 0.2).double()
    halo = net.card.receptive_field
    assert halo == reach(1, 2, scale, upsampler)
    side = 2 * halo + 8
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    first = halo + 4
    net.enhance(x)[..., scale * first : scale * (first + 1), scale * first : scale * (first + 1)].sum().backward()
    touched = x.grad[0].abs().sum((0, 1)).nonzero().flatten()
    assert first - halo <= int(touched.min()) and int(touched.max()) <= first + halo
    assert int(touched.max()) - first >= halo - 2, "the halo is not wastefully large"


def test_gradient_reaches_every_parameter():
    net = stirred(small()).train()
    net(torch.rand(2, 3, 16, 16)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_batch_of_many_is_many_of_one():
    net, x = stirred(small()), torch.rand(3, 3, 18, 16)
    with torch.no_grad():
        torch.testing.assert_close(net(x), torch.cat([net(p[None]) for p in x]), atol=1e-5, rtol=0)


def test_saved_and_loaded_weights_are_the_same_bytes(tmp_path):
    net = stirred(small())
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    other = small()
    load_weights(other, tmp_path / "a.safetensors")
    save_file(other.state_dict(), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_bfloat16_stays_close():
    net, x = stirred(small()), torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        whole = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x).float()
    assert float((half - whole).square().mean()) < 1e-4


@pytest.fixture(scope="module")
def embedded():
    return registry.create("crl_sr")


@pytest.mark.parametrize("blur", [0.0, 2.0])
def test_embedded_weights_beat_bicubic_with_and_without_blur(embedded, blur):
    truth = read_picture(EXAMPLES / "cat.jpg").pixels[:320, :320] / 255.0
    blurred = cv2.GaussianBlur(truth, (0, 0), blur) if blur else truth
    small = imresize(blurred, 0.25).clip(0, 1)
    with torch.inference_mode():
        x = torch.from_numpy(small).permute(2, 0, 1)[None].float()
        enlarged = embedded(x)[0].permute(1, 2, 0).double().numpy()
    bicubic = imresize(small, 4.0).clip(0, 1)
    gain = psnr(enlarged[8:-8, 8:-8], truth[8:-8, 8:-8], 1.0) - psnr(bicubic[8:-8, 8:-8], truth[8:-8, 8:-8], 1.0)
    assert gain > (0.4 if blur == 0 else 1.2)


def test_bfloat16_changes_the_embedded_weights_results_by_less_than_a_tenth_of_a_decibel(embedded):
    truth = read_picture(EXAMPLES / "coffee.jpg").pixels[:256, :256] / 255.0
    x = torch.from_numpy(imresize(truth, 0.25).clip(0, 1)).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        single = embedded(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = embedded(x).float()
    scores = [psnr(y[0].permute(1, 2, 0).double().numpy(), truth, 1.0) for y in (single, half)]
    assert abs(scores[0] - scores[1]) < 0.1


def test_tiles_of_the_embedded_network_leave_no_seams(embedded):
    x = torch.rand(1, 3, 96, 120, generator=torch.Generator().manual_seed(0))
    whole, tiled = (restore(embedded, x, tile=tile).pixels for tile in ("none", 64))
    assert embedded.card.receptive_field == 22 and abs(whole.astype(int) - tiled).max() <= 1
