"""The curve network: size, identity, official names, ranges, gradients, files."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from errors import WeightsError
from images import read_picture
from restorers import registry
from restorers.base import count_parameters, load_weights
from restorers.blocks.exposing import exposed, mean_luma
from restorers.blocks.rounding import undo_rounding
from restorers.convert import convert_state_dict
from restorers.networks.scl_lle import CARD, SclLle, apply_curves
from training.degradations.low_light import low_light

ROOT = Path(__file__).resolve().parents[3]


def network(seed=0, scale=8.0, **options):
    """Random weights, large enough that curves are far from zero."""
    torch.manual_seed(seed)
    net = SclLle(**options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net.eval()


def test_parameter_count_is_the_papers():
    assert count_parameters(SclLle()) == CARD.parameters == 79_416


def test_zero_weights_are_the_identity():
    net = SclLle()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    picture = torch.rand(2, 3, 17, 23)
    assert torch.equal(net(picture), picture)


def test_curves_written_as_zero_dce_writes_them():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, 3, 6, 5, generator=generator)
    curves = 2 * torch.rand(1, 24, 6, 5, generator=generator) - 1
    y = x
    for k in range(8):
        alpha = -curves[:, 3 * k : 3 * k + 3]
        y = y + alpha * y * (1 - y)
    torch.testing.assert_close(apply_curves(x, curves), y)
    assert 0 <= float(y.min()) <= float(y.max()) <= 1


def test_extreme_curves_keep_pictures_in_range():
    x = torch.linspace(0, 1, 300).view(1, 3, 10, 10)
    for r in (-1.0, 1.0):
        y = apply_curves(x, torch.full((1, 24, 10, 10), r))
        assert 0 <= float(y.min()) <= float(y.max()) <= 1


@pytest.mark.parametrize("size", [(16, 16), (31, 45), (64, 17)])
def test_any_size_comes_back(size):
    picture = torch.rand(1, 3, *size)
    with torch.no_grad():
        assert network()(picture).shape == picture.shape


def test_gradient_reaches_every_parameter():
    net = network()
    net(torch.rand(1, 3, 16, 16)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_receptive_field_is_the_halo_of_the_card():
    """A tile with the halo gives the whole picture's pixels exactly; one pixel less of halo does not."""
    net, halo = network().double(), CARD.receptive_field
    picture = torch.rand(1, 3, 48, 48, dtype=torch.float64)
    with torch.no_grad():
        whole = net.enhance(picture)[..., 20:28, 20:28]
        for extra, equal in ((halo, True), (halo - 1, False)):
            tile = net.enhance(picture[..., 20 - extra : 28 + extra, 20 - extra : 28 + extra])
            inside = tile[..., extra : extra + 8, extra : extra + 8]
            assert torch.allclose(inside, whole, atol=1e-12, rtol=0) == equal


def test_curves_of_a_reduced_picture():
    """Reducing averages; the maps come back by linear interpolation; pictures no larger than that are untouched."""
    net, plain, small = network(side=16), network(), torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(net(small), plain(small))
        large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
        maps = F.interpolate(plain.curves(small), scale_factor=4, mode="bilinear", align_corners=False)
        torch.testing.assert_close(net(large), apply_curves(large, maps), atol=1e-4, rtol=0)
        assert net(torch.rand(1, 3, 37, 61)).shape == (1, 3, 37, 61)


def test_reduced_curves_see_the_scene():
    """What lies thirty pixels away changes a pixel's curve, which the paper's fifteen pixels cannot."""
    picture = torch.full((1, 3, 96, 96), 0.2)
    other = picture.clone()
    other[..., 60:] = 0.9
    with torch.no_grad():
        for options, sees in (({}, False), ({"side": 16}, True)):
            net = network(**options)
            change = (net.enhance(picture) - net.enhance(other))[..., 40:56, 20:30].abs().max()
            assert (float(change) > 1e-6) == sees


def test_reduced_curves_forbid_tiles():
    assert SclLle(side=32).card.tiling == "whole" and SclLle().card.tiling == "exact"


def test_batch_of_many_is_many_of_one():
    net, picture = network(), torch.rand(3, 3, 20, 20)
    with torch.no_grad():
        alone = torch.cat([net(p[None]) for p in picture])
        torch.testing.assert_close(net(picture), alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_names_convert_strictly(prefix):
    """Names as in SCL-LLE.pth and in Zero-DCE's Epoch99.pth, the latter as DataParallel saves them."""
    net = network(seed=3)
    official = {f"e_conv{i}.{part}" for i in range(1, 8) for part in ("weight", "bias")}
    assert set(net.state_dict()) == official
    config, state = convert_state_dict("scl_lle", {prefix + k: v for k, v in net.state_dict().items()})
    other = SclLle(**config).eval()
    other.load_state_dict(state, strict=True)
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(other(picture), net(picture))
    with pytest.raises(WeightsError, match=r"e_conv7\.bias is missing"):
        convert_state_dict("scl_lle", {k: v for k, v in net.state_dict().items() if k != "e_conv7.bias"})


def test_the_released_forward_pass_written_out():
    """The published script's own order of operations, with its names for the eight maps."""
    net, x = network(seed=5), torch.rand(1, 3, 20, 20)
    with torch.no_grad():
        x1 = torch.relu(net.e_conv1(x))
        x2 = torch.relu(net.e_conv2(x1))
        x3 = torch.relu(net.e_conv3(x2))
        x4 = torch.relu(net.e_conv4(x3))
        x5 = torch.relu(net.e_conv5(torch.cat([x3, x4], 1)))
        x6 = torch.relu(net.e_conv6(torch.cat([x2, x5], 1)))
        maps = torch.split(torch.tanh(net.e_conv7(torch.cat([x1, x6], 1))), 3, dim=1)
        y = x
        for r in maps:
            y = y + r * (torch.pow(y, 2) - y)
        # Within one grey level, as the acceptance of converted checkpoints asks.
        assert float((net(x) - y).abs().max()) < 0.5 / 255


def test_saved_and_loaded_weights_are_the_same_bytes(tmp_path):
    net = network(seed=4)
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    other = SclLle()
    load_weights(other, tmp_path / "a.safetensors")
    save_file(other.state_dict(), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert load_file(tmp_path / "a.safetensors")["e_conv7.weight"].shape == (24, 64, 3, 3)


def test_bfloat16_stays_close():
    net = network(scale=4.0)
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = net(picture).float()
    with torch.no_grad():
        whole = net(picture)
    assert float((half - whole).square().mean()) < 1e-4


def test_card_is_a_frozen_fact():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CARD.name = "other"


@pytest.mark.parametrize("example", ["astronaut", "coffee"])
def test_embedded_weights_brighten_and_bfloat16_changes_nothing_that_counts(example):
    folder = ROOT / "assets" / "examples" / "lowlight"
    dark, normal = (
        read_picture(next((folder / kind).glob(f"{example}.*"))).to_tensor()[..., :256, :320]
        for kind in ("low", "normal")
    )
    net = registry.create("scl_lle")
    with torch.inference_mode():
        whole = net(dark)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(dark).float()
    before, after, after_half = (_psnr(x, normal) for x in (dark, whole, half))
    assert after > before + 5
    assert abs(after - after_half) < 0.1


@pytest.mark.parametrize("example", ["astronaut", "coffee"])
def test_embedded_denoiser_takes_noise_away_and_leaves_clean_pictures(example):
    folder = ROOT / "assets" / "examples" / "lowlight" / "normal"
    clear = read_picture(next(folder.glob(f"{example}.*"))).to_tensor()[..., :256, :320]
    noisy = low_light(clear, 0.06, 1 / 1000, 1e-6, torch.Generator().manual_seed(0))
    net = registry.create("scl_lle-denoise")
    curves, exposure = SclLle(side=net.side), net.exposure
    curves.load_state_dict({key: value for key, value in net.state_dict().items() if key.startswith("e_conv")})
    with torch.inference_mode():
        wanted = exposed(curves(low_light(clear, 0.06)), exposure)
        plain = exposed(curves(noisy), exposure)
        whole = net(noisy)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(noisy).float()
        clean = net(low_light(clear, 0.06))
    assert _psnr(whole, wanted) > _psnr(plain, wanted) + 4
    assert _psnr(clean, wanted) > 30
    assert abs(_psnr(whole, clear) - _psnr(half, clear)) < 0.1


def _psnr(x, reference):
    return float(-10 * torch.log10((x - reference).square().mean()))


def test_rounding_is_undone_outside_training_before_the_curves(monkeypatch):
    monkeypatch.setattr(SclLle, "curves", lambda self, x: torch.full((len(x), 24, *x.shape[-2:]), -0.5))
    picture = (torch.rand(2, 3, 40, 56) * 8).floor() / 255
    plain, net = network(side=16), network(side=16, undo_rounding=True)
    with torch.no_grad():
        assert torch.equal(net(picture), plain(undo_rounding(picture)))
        assert not torch.equal(net(picture), plain(picture))
        assert torch.equal(net.train()(picture), plain(picture))


@pytest.mark.parametrize("options", [{"undo_rounding": True}, {"denoise": 8}, {"exposure": 0.45}, {"side": 16}])
def test_what_depends_on_the_whole_is_not_tiled(options):
    assert SclLle().card.tiling == "exact" and SclLle(**options).card.tiling == "whole"


def test_the_denoiser_sees_what_the_curves_made():
    plain, net = network(), network(denoise=8)
    assert {name.split(".")[0] for name in net.state_dict().keys() - plain.state_dict().keys()} == {"denoiser"}
    picture = torch.rand(1, 3, 21, 34)
    with torch.no_grad():
        curved = apply_curves(picture, net.curves(picture))
        assert torch.equal(net(picture), net.denoiser(curved).clamp(0, 1))


def test_exposure_brings_the_result_to_a_mean_and_never_darkens_the_picture(monkeypatch):
    monkeypatch.setattr(SclLle, "curves", lambda self, x: torch.full((len(x), 24, *x.shape[-2:]), -0.1))
    plain, net = network(side=16), network(side=16, exposure=0.45)
    torch.manual_seed(1)
    dark, light = 0.3 * torch.rand(1, 3, 40, 50), 0.6 + 0.4 * torch.rand(1, 3, 40, 50)
    with torch.no_grad():
        assert float(mean_luma(net(dark))) == pytest.approx(0.45, abs=3e-3)
        assert float(mean_luma(plain(dark))) != pytest.approx(0.45, abs=3e-3)
        assert float(mean_luma(net(light))) == pytest.approx(float(mean_luma(light)), abs=3e-3)
        both = net(torch.cat((dark, light)))
    torch.testing.assert_close(both[:1], net(dark))
