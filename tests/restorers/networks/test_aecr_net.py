"""AECR-Net: the published size, the published start, slabs equal to the whole, released names."""

import pytest
import torch

from errors import WeightsError
from restorers.base import count_parameters
from restorers.blocks.whitening import WhiteningConv2d, inverse_square_root
from restorers.convert import convert_state_dict, unwrap
from restorers.networks import aecr_net, architecture, architectures
from restorers.networks.aecr_net import AecrNet, Mixup


def tiny(**options):
    torch.manual_seed(0)
    model = AecrNet(width=8, attention_uses=2, **options)
    with torch.no_grad():  # move the deformable convolution away from its start, where it is an ordinary one
        model.deformable.predict.weight.normal_(0, 0.05)
        model.deformable.predict.bias.normal_(0, 0.5)
    return model


def test_parameters_of_the_paper():
    assert count_parameters(AecrNet()) == AecrNet.card.parameters == 2_614_145
    assert count_parameters(AecrNet(whitening=True)) == 2_614_229


def test_mixup_starts_where_the_released_code_does():
    model = tiny()
    assert model.mix1.theta.sigmoid().item() == pytest.approx(0.268941, abs=1e-6)
    assert model.mix2.theta.sigmoid().item() == pytest.approx(0.354344, abs=1e-6)
    a, b = torch.rand(2, 1, 8, 4, 4).unbind(0)
    torch.testing.assert_close(model.mix1(a, b), 0.2689414 * a + 0.7310586 * b)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (41, 63)])
def test_any_size_and_batches_of_one(size):
    model = tiny().eval()
    x = torch.rand(2, 3, *size)
    with torch.no_grad():
        y = model(x)
        assert y.shape == x.shape
        torch.testing.assert_close(y[1:], model(x[1:]))


def test_a_side_reduces_larger_pictures_alone():
    whole, reduced = tiny().eval(), tiny(side=32).eval()
    small, large = torch.rand(1, 3, 32, 48), torch.rand(2, 3, 90, 131)
    with torch.no_grad():
        assert torch.equal(reduced(small), whole(small))
        y = reduced(large)
        assert y.shape == large.shape and not torch.allclose(y, whole(large), atol=1e-3)
        torch.testing.assert_close(y[1:], reduced(large[1:]))
        crops = torch.rand(2, 3, 40, 52)
        assert torch.equal(reduced.train().enhance(crops), whole.train().enhance(crops)), "crops are the size of use"


def test_mirroring_is_for_use_and_not_for_training():
    plain, mirrored = tiny().eval(), tiny(mirrored=True).eval()
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(mirrored(x), mirrored(x.flip(-1)).flip(-1), atol=1e-5, rtol=0)
        assert not torch.allclose(mirrored(x), plain(x), atol=1e-4)
        assert torch.equal(mirrored.train().enhance(x), plain.train().enhance(x))


@pytest.mark.parametrize("options", [{}, {"whitening": True}, {"attention_window": 32}])
def test_slabs_give_the_values_of_the_whole(monkeypatch, options):
    model = tiny(**options).eval()
    x = torch.rand(1, 3, 84, 52)
    with torch.no_grad():
        whole = model(x)
        monkeypatch.setattr(aecr_net, "SLAB_PIXELS", 52 * 16)
        calls = []
        monkeypatch.setattr(aecr_net, "slabs", lambda *a, **k: calls.append(a) or slabs_of(*a, **k))
        torch.testing.assert_close(model(x), whole, atol=1e-5, rtol=0)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(x).float(), whole, atol=0.02, rtol=0)
    assert calls, "the picture was small enough to be done at once"


slabs_of = aecr_net.slabs


def test_attention_windows_change_large_pictures_alone():
    whole, windowed = tiny().eval(), tiny(attention_window=48).eval()
    small, large = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 52)
    with torch.no_grad():
        assert torch.equal(whole(small), windowed(small))
        assert not torch.equal(whole(large), windowed(large))


def test_every_parameter_learns():
    model = tiny(whitening=True).train()
    x = torch.rand(2, 3, 32, 32)
    (model.enhance(x) - 0.5).square().mean().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert silent == []


def test_saving_and_loading_give_the_same_bytes(tmp_path):
    model = tiny().eval()
    model.save_pretrained(tmp_path)
    again = AecrNet.from_pretrained(tmp_path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def official(model):
    """Our tensors under the released code's names."""
    inverse = {ours: theirs for theirs, ours in aecr_net._OFFICIAL_NAMES.items()}
    last = {ours: theirs for theirs, ours in aecr_net._OFFICIAL_TENSORS.items()}
    state = {}
    for key, value in model.state_dict().items():
        layer, _, name = key.rpartition(".")
        state[f"module.{inverse[layer]}.{last.get(name, name)}"] = value
    return state


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"step": 3, "model": s}, lambda s: {"model": {"net": s}}])
def test_released_names_convert(wrap):
    model = tiny(whitening=True)
    state = official(model)
    assert {"module.down1.1.weight", "module.block.conv1.weight", "module.dcn_block.dcn.weight", "module.mix1.w",
            "module.dcn_block.dcn.conv_offset_mask.weight", "module.deconv.weight"} <= state.keys()  # fmt: skip
    config, converted = convert_state_dict("aecr_net", wrap(state))
    assert config == {"whitening": True, "width": 8}
    again = AecrNet(attention_uses=2, **config)
    again.load_state_dict(converted, strict=True)
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), model.eval()(x))


def test_our_own_names_and_half_precision_convert_too():
    model = tiny()
    config, converted = convert_state_dict("aecr_net", {k: v.half() for k, v in model.state_dict().items()})
    assert config == {"whitening": False, "width": 8}
    assert all(v.dtype == torch.float32 for v in converted.values())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("module.up3.1.bias"), "up3.bias is missing"),
        (lambda s: s.update({"module.extra": torch.zeros(1)}), "extra is unknown"),
        (lambda s: s.update({"module.up3.1.bias": torch.zeros(4)}), r"up3.bias has shape \(4,\) instead of \(3,\)"),
    ],
)
def test_what_does_not_fit_is_named(change, sentence):
    state = official(tiny())
    change(state)
    with pytest.raises(WeightsError, match=sentence):
        convert_state_dict("aecr_net", state)


def test_checkpoints_without_tensors_are_refused():
    with pytest.raises(WeightsError, match="no named tensors"):
        unwrap({"epoch": 3})


def test_architectures_are_importable():
    for name in architectures():
        assert architecture(name).load().card.name == name


def test_whitening_decorrelates_patches():
    g = torch.Generator().manual_seed(0)
    layer = WhiteningConv2d(3, 27)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(27).view(27, 3, 3, 3))
        layer.bias.zero_()
    x = torch.randn(4, 3, 66, 66, generator=g) + 3.0
    y = layer.train()(x)[..., ::3, ::3].transpose(0, 1).flatten(1)
    covariance = torch.cov(y)
    assert y.mean(1).abs().max() < 1e-3
    assert (covariance - torch.diag(covariance.diagonal())).abs().max() < 0.1 * covariance.diagonal().mean()
    assert not torch.equal(layer.running_whitening, torch.eye(27))


def test_inverse_square_root_converges():
    m = torch.randn(6, 40, dtype=torch.float64)
    m = m @ m.T / 40 + 0.1 * torch.eye(6, dtype=torch.float64)
    root = inverse_square_root(m, 30)
    torch.testing.assert_close(root @ m @ root, torch.eye(6, dtype=torch.float64))


def test_half_precision_features_meet_single_precision_ones_in_the_mixup():
    """On a GPU the deformable convolution is computed in single precision inside autocast."""
    mixed = Mixup(0.0)(torch.ones(1, 2, 3, 3, dtype=torch.bfloat16), torch.zeros(1, 2, 3, 3))
    assert mixed.dtype == torch.float32 and torch.allclose(mixed, torch.tensor(0.5))


def test_the_card_counts_this_very_network():
    assert AecrNet(whitening=True).card.parameters == 2_614_229
