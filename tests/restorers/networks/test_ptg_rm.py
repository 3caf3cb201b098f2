"""The refinement module: published size, dynamic kernels, identity at the start, switches, gradients, files."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from errors import WeightsError
from restorers import hub, registry
from restorers.base import Restorer, count_parameters, load_weights
from restorers.card import RestorerCard
from restorers.checkpoint import constructor_arguments
from restorers.classical.lime import Lime
from restorers.networks.ptg_rm import (
    CARD,
    ChannelSpatialAttention,
    PtgRm,
    RefinementModule,
    RestormerBlock,
    SpatiallyVaryingEnhancement,
    coordinates,
    dynamic_convolution,
    guide_encoder,
    position_encoder,
    ptg_rm,
)
from restorers.publish import write_folder


class Doubler(Restorer):
    """A base of scale 2 without parameters."""

    card = RestorerCard(name="doubler", title="Doubler", task="sr", summary="Twice the size.", scale=2)

    def enhance(self, x):
        return F.interpolate(x, scale_factor=2, mode="nearest")


def small(**options):
    torch.manual_seed(0)
    options = {"base": "scl_lle", "base_config": {"width": 4}, "guide": "none", "width": 8, "dimension": 6} | options
    return PtgRm(**options)


def stirred(module, seed=1):
    """Leave the identity, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def test_parameter_counts():
    assert count_parameters(RefinementModule(mode="released")) == 671_735
    assert count_parameters(RefinementModule()) == CARD.parameters == 672_170


def test_parameter_counts_of_the_parts():
    """The rows of the published code's table."""
    module = RefinementModule(mode="released")
    parts = {
        "R_e": (module.encoder, 5_536),
        "P": (position_encoder(16), 544),
        "T": (guide_encoder(512), 147_456),
        "R_m": (module.sve.mask, 13_968),
        "R_s": (module.sve.short, 4_640),
        "R_l": (module.sve.long, 17_172),
        "R_c": (module.csa.channel, 1_536),
        "R_p": (module.csa.kernels, 311_040),
        "R_o": (module.csa.importance, 144),
        "R_f": (module.csa.fusion, 512),
        "R_d": (module.decoder, 21_187),
    }
    assert {name: count_parameters(part) for name, (part, _) in parts.items()} == {k: n for k, (_, n) in parts.items()}
    assert count_parameters(RestormerBlock(16)) == 4_293


def test_dynamic_convolution_with_a_central_one_is_the_identity():
    x = torch.rand(2, 3, 5, 7)
    kernels = torch.zeros(2, 3, 9, 5, 7)
    kernels[:, :, 4] = 1
    assert torch.equal(dynamic_convolution(x, kernels.flatten(1, 2)), x)


def test_dynamic_convolution_with_constant_kernels_is_a_box_filter():
    x = torch.rand(1, 3, 6, 8)
    box = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    torch.testing.assert_close(dynamic_convolution(x, torch.full((1, 27, 6, 8), 1 / 9)), box)


def test_dynamic_convolution_written_as_a_loop():
    generator = torch.Generator().manual_seed(2)
    x, kernels = torch.rand(1, 2, 4, 5, generator=generator), torch.rand(1, 18, 4, 5, generator=generator)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = torch.zeros_like(x)
    for c in range(2):
        for y in range(4):
            for z in range(5):
                for i in range(3):
                    for j in range(3):
                        expected[0, c, y, z] += kernels[0, 9 * c + 3 * i + j, y, z] * padded[0, c, y + i, z + j]
    torch.testing.assert_close(dynamic_convolution(x, kernels), expected)


def test_coordinates_run_along_height_then_width():
    place = coordinates(torch.zeros(2, 1, 3, 5))
    assert place.shape == (2, 2, 3, 5)
    assert place[0, 0, :, 0].tolist() == [-1.0, 0.0, 1.0]
    assert place[1, 1, 0].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


@pytest.mark.parametrize("size", [(64, 64), (60, 40), (16, 20)])
def test_a_fresh_module_returns_the_first_result(size):
    first, degraded, g = torch.rand(1, 3, *size) * 1.2, torch.rand(1, 3, *size), torch.rand(1, 6)
    torch.testing.assert_close(RefinementModule(8, 6)(first, degraded, g), first, atol=1e-6, rtol=0)
    torch.testing.assert_close(RefinementModule(8, 6, "released")(first, degraded, g), first.clamp(0, 1))


def test_equation_1_with_a_known_head():
    module = RefinementModule(8, 6)
    with torch.no_grad():
        module.decoder[-1].bias.copy_(torch.tensor([-0.5, -0.5, -0.5, 0.1, 0.2, 0.3]))
    first, degraded = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    residual = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    expected = degraded + (first - degraded) * 0.5 + residual
    torch.testing.assert_close(module(first, degraded, torch.zeros(1, 6)), expected)


def test_released_mask_weighs_the_other_branch():
    sve = SpatiallyVaryingEnhancement(8, 6, reversed_mask=False).eval()
    other = SpatiallyVaryingEnhancement(8, 6, reversed_mask=True).eval()
    other.load_state_dict(sve.state_dict())
    f, g = torch.rand(1, 8, 6, 6), torch.rand(1, 6)
    place = coordinates(f)
    with torch.no_grad():
        total = sve(f, g, place) + other(f, g, place)
        torch.testing.assert_close(total, sve.short(f) + sve.long(f))


def test_gradient_reaches_every_parameter_of_base_and_module():
    net = stirred(small(guide="random")).train()
    first, refined = net.stages(torch.rand(2, 3, 32, 32))
    (first.square().mean() + refined.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_base_learns_from_both_losses():
    net = stirred(small())
    x = torch.rand(1, 3, 32, 32)
    for index in range(2):
        net.zero_grad()
        net.stages(x)[index].square().mean().backward()
        assert float(net.base.e_conv7.weight.grad.abs().max()) > 0


def test_guide_matters_only_after_training_and_through_g():
    net = stirred(small())
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        zero = net.stages(x, torch.zeros(1, 6))[1]
        one = net.stages(x, F.normalize(torch.ones(1, 6), dim=-1))[1]
    assert float((zero - one).abs().max()) > 1e-6
    assert torch.equal(net.vector(x), torch.zeros(1, 6))
    net.guide = "random"
    fixed = net.vector(x.repeat(2, 1, 1, 1))
    assert torch.equal(fixed[0], fixed[1])
    assert float(fixed[0].norm()) == pytest.approx(1.0, abs=1e-6)


def test_guide_of_another_length_is_refused(monkeypatch):
    from priors import clip

    class Fake:
        sha256 = "abc123"

        def encode_image(self, x):
            assert not x.requires_grad
            return F.normalize(torch.ones(len(x), 9), dim=-1)

    monkeypatch.setattr(clip, "load", lambda name, device=None: Fake())
    with pytest.raises(WeightsError, match="6 numbers, local-dir:x gives 9"):
        small(guide="local-dir:x").vector(torch.rand(1, 3, 16, 16, requires_grad=True))
    assert small(guide="local-dir:x", dimension=9).vector(torch.rand(2, 3, 16, 16)).shape == (2, 9)
    pinned = {"guide": "local-dir:x", "dimension": 9}
    assert small(**pinned, guide_sha256="abc").vector(torch.rand(1, 3, 16, 16)).shape == (1, 9)
    with pytest.raises(WeightsError, match="trained with the prior f00d, and local-dir:x now is abc123"):
        small(**pinned, guide_sha256="f00d").vector(torch.rand(1, 3, 16, 16))


class Unchanged(nn.Module):
    """In place of SVE or CSA: the features as they are."""

    def forward(self, f, g, place):
        return f


class One(nn.Module):
    """In place of what draws weights: a weight of one."""

    def forward(self, x):
        return x.new_ones(1, 1)


def without_position(refine):
    for part in (refine.sve, refine.csa):
        part.position[-1].weight.zero_()


SURGERY = {
    "sve": lambda refine: setattr(refine, "sve", Unchanged()),
    "csa": lambda refine: setattr(refine, "csa", Unchanged()),
    "channel_attention": lambda refine: setattr(refine.csa, "channel", One()),
    "spatial_attention": lambda refine: setattr(refine.csa, "importance", One()),
    "position": without_position,
}


def pair_of(**options):
    """A module that is awake, and one with other options and the same weights wherever both have them."""
    whole, other = stirred(small()), small(**options).eval()
    weights = whole.state_dict()
    # The released head is shorter: it has the residual's three outputs, the last of the paper's six.
    other.load_state_dict({name: weights[name][-len(value) :] for name, value in other.state_dict().items()})
    return whole, other


@pytest.mark.parametrize("switch", SURGERY)
def test_a_switch_takes_out_its_part_and_nothing_else(switch):
    whole, part = pair_of(**{switch: False})
    assert (count_parameters(part) < count_parameters(whole)) == (switch != "position")
    x, g = torch.rand(1, 3, 32, 32), F.normalize(torch.ones(1, 6), dim=-1)
    with torch.no_grad():
        before, after = whole.stages(x, g)[1], part.stages(x, g)[1]
        SURGERY[switch](whole.refine)
        torch.testing.assert_close(whole.stages(x, g)[1], after)
    assert float((before - after).abs().max()) > 1e-4


def test_released_mode_reverses_the_mask_and_adds_the_residual_alone():
    whole, released = pair_of(mode="released")
    x, g = torch.rand(1, 3, 32, 32), F.normalize(torch.ones(1, 6), dim=-1)
    with torch.no_grad():
        first, before = whole.stages(x, g)
        whole.refine.sve.reversed_mask = True
        residual = whole.refine.correction(first, x, g)[:, 3:]
        after = released.stages(x, g)[1]
        torch.testing.assert_close(after, first.clamp(0, 1) + residual)
    assert float((before - after).abs().max()) > 1e-4


def test_attention_without_position_branch_has_no_idle_parameters():
    module = ChannelSpatialAttention(8, 6, spatial=False)
    f, g = torch.rand(1, 8, 5, 5), torch.rand(1, 6)
    module(f, g, coordinates(f)).square().mean().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("size", [(17, 23), (64, 33)])
def test_any_size_comes_back(size):
    picture = torch.rand(1, 3, *size)
    with torch.no_grad():
        assert stirred(small())(picture).shape == picture.shape


def test_correction_of_a_reduced_picture():
    """Up to that side nothing changes; beyond, the correction is smooth and is applied to every pixel."""
    whole, reduced = stirred(small()), stirred(small(side=32))
    picture = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(whole(picture), reduced(picture))
        large = picture.repeat_interleave(4, 2).repeat_interleave(4, 3)
        g = torch.zeros(1, 6)
        first, refined = reduced.stages(large)
        corners = (F.avg_pool2d(first, 4), picture)
        enlarged = F.interpolate(reduced.refine.correction(*corners, g), scale_factor=4, mode="bilinear")
        torch.testing.assert_close(refined, reduced.refine.corrected(first, large, enlarged), atol=1e-4, rtol=0)
        assert reduced(torch.rand(1, 3, 51, 77)).shape == (1, 3, 51, 77)
    with pytest.raises(ValueError, match="multiple of 4"):
        small(side=30)


def test_wraps_any_restorer_even_one_that_enlarges():
    refined = ptg_rm(Doubler(), guide="none", width=8, dimension=6).eval()
    picture = torch.rand(1, 3, 18, 22)
    with torch.no_grad():
        torch.testing.assert_close(refined(picture), Doubler()(picture), atol=1e-6, rtol=0)
    assert refined.card.name == "doubler+ptg_rm" and refined.card.scale == 2


def test_wraps_a_registered_method_by_name():
    refined = ptg_rm("dark_channel", guide="none", width=8, dimension=6).eval()
    picture = torch.rand(1, 3, 32, 36)
    with torch.no_grad():
        assert refined(picture).shape == picture.shape
    assert refined.card.tiling == "whole"


def test_saved_and_loaded_weights_are_the_same_bytes(tmp_path):
    net = stirred(small())
    assert not [key for key in net.state_dict() if key.startswith("guide")]
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    other = small()
    load_weights(other, tmp_path / "a.safetensors")
    save_file(other.state_dict(), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_bfloat16_stays_close():
    net, picture = stirred(small()), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        whole = net(picture)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(picture).float()
    assert float((half - whole).square().mean()) < 1e-4


@pytest.mark.parametrize("base", ["dark_channel", "scl_lle"])
def test_a_fresh_wrapper_of_any_base_is_the_base_at_odd_sizes_and_comes_back_from_its_folder(base, tmp_path):
    refined = ptg_rm(base).eval()
    assert refined.dimension == 128, "the embedded prior's"
    torch.manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 6, 8), (45, 61), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        torch.testing.assert_close(refined(picture), registry.create(base)(picture), atol=1e-6, rtol=0)
        torch.nn.init.normal_(refined.refine.decoder[-1].weight, std=0.05)
        write_folder(refined, tmp_path / "model")
        torch.testing.assert_close(hub.load(tmp_path / "model", device="cpu")(picture), refined(picture))


class Darker(Lime):
    """A class of one's own."""


@pytest.mark.parametrize("base", [Doubler, Darker, Lime.of_the_paper], ids=["unknown", "of a known name", "otherwise"])
def test_a_base_that_could_not_be_built_again_is_refused_when_it_is_saved(base, tmp_path):
    refined = ptg_rm(base(), guide="none", width=8, dimension=6)
    for save in (lambda: write_folder(refined, tmp_path / "a"), lambda: refined.save_pretrained(tmp_path / "b")):
        with pytest.raises(WeightsError, match=f"could not build its base '{base().card.title}' again"):
            save()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_terms_of_the_base_go_with_the_module():
    base = registry.create("scl_lle")
    refined = ptg_rm(base, guide="none", width=8, dimension=6)
    assert "not for commercial use" in refined.card.licence and refined.card.licence == base.card.licence
    assert refined.card.trained_on == base.card.trained_on
    assert refined.card.parameters == count_parameters(refined)


def test_a_fresh_module_remembers_its_prior(tmp_path, monkeypatch):
    from priors import clip

    digest = clip.load("embedded").sha256
    refined = ptg_rm("dark_channel", width=8)
    write_folder(refined, tmp_path / "model")
    assert hub.load(tmp_path / "model", device="cpu").guide_sha256 == refined.guide_sha256 == digest
    late = small(guide="embedded", dimension=128)
    late.ready(torch.device("cpu"))
    assert constructor_arguments(late)["guide_sha256"] == late.guide_sha256 == digest


@pytest.mark.parametrize("option", [{"width": 0}, {"dimension": "x"}, {"side": 0}, {"side": True}, {"side": "abc"}])
def test_arguments_out_of_range_are_named(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} is a whole number from"):
        small(**option)
