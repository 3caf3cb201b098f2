"""CLIPHaze: its start, its guidance, its guide, any size, and learning."""

import pytest
import torch
from torch import nn

from errors import UnveilError, WeightsError
from restorers.base import count_parameters
from restorers.guidance import load_guide
from restorers.networks import clip_haze
from restorers.networks.clip_haze import GUIDANCE, ClipHaze, DensityWeights, TrambaBlock
from tests.restorers.tiny_clip import write_tiny_clip

WIDTH = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_tiny_clip(tmp_path_factory.mktemp("clip"), WIDTH)


def tiny(guidance="both", clip="embedded", awake=True, **options):
    torch.manual_seed(0)
    model = ClipHaze(width=8, blocks=(1, 1, 1), state=4, guidance=guidance, clip=clip, token_width=WIDTH, **options)
    if awake:  # move what starts at zero
        for name, parameter in model.named_parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.3 if "head" not in name else 0.05)
    return model


def blocks_sum(of_channels):
    """Sum over the blocks of the default network: 4 + 4 of 32 channels, 4 + 4 of 64, 4 of 128."""
    return 8 * of_channels(32) + 8 * of_channels(64) + 4 * of_channels(128)


DENSITY = blocks_sum(lambda c: 4 * c)
SEMANTIC = blocks_sum(lambda c: 10 * c * c + 177 * c)  # with tokens of 128 numbers
PLAIN = 2_875_611


@pytest.mark.parametrize(
    ("guidance", "more"), [("none", 0), ("density", DENSITY), ("semantic", SEMANTIC), ("both", DENSITY + SEMANTIC)]
)
def test_parameters(guidance, more):
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_haze.SelectiveScan2d, "reset", lambda self: None)
        assert count_parameters(ClipHaze(guidance=guidance)) == PLAIN + more


def test_the_card_tells_the_defaults_size():
    assert ClipHaze.card.parameters == 2_880_731


def test_a_block_starts_with_both_paths_at_one_half():
    torch.manual_seed(0)
    block = TrambaBlock(16, 8, 1, 4, "density", WIDTH)
    x, density = torch.randn(1, 8, 16, 16), torch.rand(1, 1, 3, 5)
    y = block.norm1(x)
    mixed = x + 0.5 * (block.near(y) + block.far(y))
    wanted = mixed + block.feed_forward(block.norm2(mixed))
    torch.testing.assert_close(block(x, density, None), wanted)


def test_weights_are_convex_and_follow_the_map():
    block = TrambaBlock(4, 8, 1, 4, "density", WIDTH)
    near, far = torch.zeros(1, 8, 8, 4), torch.ones(1, 8, 8, 4)
    with torch.no_grad():
        block.density.project.weight[4:] = 20.0  # the far path's logits grow with density
        block.density.project.bias[4:] = -10.0
    density = torch.zeros(1, 1, 2, 2)
    density[..., 1] = 1.0
    mixed = block.mix(near, near, far, density, None)
    assert mixed.min() >= 0 and mixed.max() <= 1
    assert mixed[0, :, 0].max() < 0.01 and mixed[0, :, -1].min() > 0.99
    steps = mixed[0, 0, :, 0].diff()
    assert (steps >= 0).all()  # interpolated, no steps back


def test_density_weights_do_not_show_the_patch_grid():
    """A bilinear map has no jump; a nearest-neighbour one would jump at every patch."""
    layer = DensityWeights(1)
    nn.init.ones_(layer.project.weight)
    density = torch.linspace(0, 1, 4).expand(1, 1, 4, 4)
    logits = layer(torch.zeros(1, 64, 64, 1), density)[0, 32, :, 0]
    assert logits.diff().max() < 1 / 48 + 1e-6


def test_it_starts_from_the_hazy_picture():
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(tiny("none", awake=False).eval()(x), x)


def test_windows_of_every_other_block_are_moved_on_request():
    def shifts(**options):
        model = ClipHaze(width=8, blocks=(1, 1, 2), state=4, guidance="none", **options)
        levels = (model.encode1, model.encode2, model.latent, model.decode2, model.decode1)
        return [block.near.shift for level in levels for block in level]

    assert shifts() == [0, 0, 0, 0, 0, 0]
    assert shifts(shifted=True) == [0, 4, 0, 4, 0, 4]


@pytest.mark.parametrize("guidance", GUIDANCE)
@pytest.mark.parametrize("size", [(16, 16), (33, 70)])
def test_any_size_with_any_guidance(guidance, size, clip):
    model = tiny(guidance, clip).eval()
    x = torch.rand(2, 3, *size)
    with torch.inference_mode():
        y = model(x)
        assert y.shape == x.shape
        torch.testing.assert_close(model(x[:1]), y[:1], atol=1e-5, rtol=1e-5)


def test_a_side_reduces_larger_pictures_and_leaves_nothing_to_tile():
    whole, reduced = tiny("none").eval(), tiny("none", side=32).eval()
    assert (whole.card.tiling, reduced.card.tiling) == ("approximate", "whole")
    with torch.inference_mode():
        small, large = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 70, 111)
        assert torch.equal(reduced(small), whole(small))
        assert reduced(large).shape == large.shape
        assert not torch.allclose(reduced(large), whole(large), atol=1e-3)
        crops = torch.rand(2, 3, 40, 64)
        assert torch.equal(reduced.train().enhance(crops), whole.train().enhance(crops)), "crops are the size of use"


def test_every_parameter_learns(clip):
    model = tiny("both", clip).train()
    x = torch.rand(2, 3, 32, 64)
    (model.enhance(x) - 0.5).square().mean().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert silent == []


def test_the_density_that_is_used_is_the_guides(clip):
    model = tiny("density", clip).eval()
    x = torch.rand(1, 3, 32, 64)
    guide = load_guide(clip)
    density = guide.density(guide.tokens(x))
    assert density.shape == (1, 1, 4, 8) and density.min() >= 0 and density.max() <= 1
    with torch.no_grad():
        asked = model.enhance(x)
        torch.testing.assert_close(model.enhance(x, density), asked)
        assert not torch.allclose(model.enhance(x, 1 - density), asked, atol=1e-5)


def test_the_guide_stays_out_of_the_weight_file(clip, tmp_path):
    model = tiny("both", clip).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        y = model(x)
    model.save_pretrained(tmp_path)
    again = ClipHaze.from_pretrained(tmp_path)
    assert again.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(again(x), y)


def test_another_clip_than_the_trained_one_is_refused_where_it_matters(tmp_path):
    other = write_tiny_clip(tmp_path, width=20)
    x = torch.rand(1, 3, 32, 32)
    tiny("density", other).eval()(x)  # any CLIP has a density
    with pytest.raises(WeightsError, match=r"tokens of 12 numbers, local-dir:.* has 20"):
        tiny("semantic", other).eval()(x)


def test_a_missing_clip_is_said():
    with pytest.raises(UnveilError, match="no folder"):
        tiny("density", "local-dir:/nowhere").eval()(torch.rand(1, 3, 32, 32))


def test_unknown_guidance_is_refused():
    with pytest.raises(ValueError, match="density"):
        ClipHaze(guidance="magic")


def test_a_guide_that_was_loaded_while_restoring_serves_training_too(clip):
    load_guide.cache_clear()
    name = clip
    model = tiny("density", name)
    with torch.inference_mode():
        model(torch.rand(1, 3, 32, 32))
    pictures = torch.rand(1, 3, 32, 32, requires_grad=True)
    load_guide(name).tokens(pictures).square().mean().backward()
    assert pictures.grad is not None


def test_a_tower_without_patches_guides_by_tiles(clip, monkeypatch):
    guide = load_guide(clip)
    monkeypatch.setattr(type(guide.prior), "patch_size", None)
    tokens = guide.tokens(torch.rand(2, 3, 40, 56))
    assert tokens.shape[:2] == (2, WIDTH) and min(tokens.shape[2:]) > 1
    assert guide.density(tokens).shape == (2, 1, *tokens.shape[2:])
