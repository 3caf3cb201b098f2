"""Contrastive regularisation: the checks of the paper's formula, its gradients, its negatives, its feature networks."""

from pathlib import Path

import pytest
import torch
from torch import nn

from errors import UnknownNameError, WeightsError
from tests.training import toy_data
from training.losses.contrastive import GUARD, ContrastiveRegularisation
from training.losses.features import SequentialTaps, create_features, squeezenet, vgg19
from training.losses.frequency import spectrum_distance

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def small_features(weights=(0.25, 1.0)):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 5, 3)
    )
    return SequentialTaps(layers, (1, 3), weights)


@pytest.fixture
def trio():
    g = torch.Generator().manual_seed(1)
    return [torch.rand(4, 3, 20, 20, generator=g) for _ in range(3)]


def test_perfect_restoration_costs_nothing(trio):
    clear, _, hazy = trio
    assert ContrastiveRegularisation(small_features())(clear, clear, hazy) == 0


def test_doing_nothing_explodes_to_the_guard_only(trio):
    _, clear, hazy = trio
    loss = ContrastiveRegularisation(small_features((0.0, 1.0)))(hazy, clear, hazy)
    maps = small_features()(torch.cat([hazy, clear]))[1].chunk(2)
    assert loss.item() == pytest.approx((maps[0] - maps[1]).abs().mean().item() / GUARD, rel=1e-4)


def test_equals_the_formula_written_out(trio):
    restored, clear, hazy = trio
    features = small_features()
    v = [features(x) for x in trio]
    wanted = sum(
        w * (v[0][i] - v[1][i]).abs().mean() / ((v[0][i] - v[2][i]).abs().mean() + 1e-7)
        for i, w in enumerate((0.25, 1.0))
    )
    torch.testing.assert_close(ContrastiveRegularisation(features)(restored, clear, hazy), wanted)


def test_the_ratio_does_not_depend_on_the_features_scale(trio):
    one, ten = small_features(), small_features()
    with torch.no_grad():
        ten.layers[0].weight.mul_(10), ten.layers[0].bias.mul_(10)
        ten.layers[2].bias.mul_(10)
    a, b = ContrastiveRegularisation(one)(*trio), ContrastiveRegularisation(ten)(*trio)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=0)


def test_gradient_pulls_to_the_clear_and_pushes_from_the_hazy(trio):
    _, clear, hazy = trio
    loss = ContrastiveRegularisation(SequentialTaps(nn.Sequential(nn.Identity()), (0,), (1.0,)))
    restored = (0.5 * (clear + hazy)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(restored, clear, hazy), restored)
    assert ((restored - 1e-3 * gradient.sign() - clear).abs().mean() < (restored - clear).abs().mean()).item()
    assert ((restored - 1e-3 * gradient.sign() - hazy).abs().mean() > (restored - hazy).abs().mean()).item()


def test_only_the_restored_picture_gets_a_gradient(trio):
    restored, clear, hazy = (t.requires_grad_() for t in trio)
    features = small_features()
    ContrastiveRegularisation(features)(restored, clear, hazy).backward()
    assert restored.grad.abs().sum() > 0
    assert clear.grad is None and hazy.grad is None
    assert all(p.grad is None for p in features.parameters())


def test_more_negatives_are_averaged(trio):
    restored, clear, hazy = trio
    features = small_features((0.0, 1.0))
    a, n, p = (features(x)[1] for x in (restored, hazy, clear))
    far = torch.stack([(a - n.roll(-k, 0)).abs().mean() for k in range(3)]).mean()
    wanted = (a - p).abs().mean() / (far + GUARD)
    torch.testing.assert_close(ContrastiveRegularisation(features, negatives=3)(restored, clear, hazy), wanted)
    many = ContrastiveRegularisation(features, negatives=10)(restored, clear, hazy)
    torch.testing.assert_close(many, ContrastiveRegularisation(features, negatives=4)(restored, clear, hazy))
    with pytest.raises(ValueError, match="at least one"):
        ContrastiveRegularisation(features, negatives=0)


def test_positives_only_is_the_perceptual_loss(trio):
    restored, clear, hazy = trio
    loss = ContrastiveRegularisation(small_features(), positives_only=True)
    torch.testing.assert_close(loss(restored, clear, hazy), loss(restored, clear, torch.rand_like(hazy)))


def test_the_floor_tames_thin_haze(trio):
    _, clear, _ = trio
    hazy = clear + 1e-4
    restored = clear + 1e-2 * torch.rand_like(clear)
    free = ContrastiveRegularisation(small_features())(hazy + 1e-6, clear, hazy)
    bound = ContrastiveRegularisation(small_features(), floor=0.1)(hazy + 1e-6, clear, hazy)
    assert bound < 0.1 < free
    assert torch.isfinite(ContrastiveRegularisation(small_features(), floor=0.1)(restored, clear, hazy))


def test_taps_are_not_overwritten_by_inplace_layers():
    features = small_features()
    first = features(torch.rand(1, 3, 12, 12))[0]
    assert first.min() >= 0 and len(features.layers) == 4


def test_squeezenet_from_its_file(tmp_path):
    with pytest.raises(WeightsError, match="are missing"):
        squeezenet(tmp_path)
    toy_data.write_squeezenet(tmp_path)
    maps = create_features("squeezenet", tmp_path)(torch.rand(2, 3, 64, 64))
    assert [m.shape[1] for m in maps] == [96, 128, 256, 384, 512]
    with pytest.raises(UnknownNameError, match="did you mean squeezenet"):
        create_features("squeezenett", tmp_path)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the SqueezeNet weights lie beside the project")
def test_real_squeezenet_tells_haze_from_noise_of_equal_size():
    """Haze changes what a picture looks like to a recogniser less than noise of the same mean error."""
    features = squeezenet(SHARED)
    ramp = torch.linspace(0, 1, 96)
    clear = torch.stack([ramp.expand(96, 96), ramp.expand(96, 96).T, (ramp * 9).sin().abs().expand(96, 96)])[None]
    hazy = 0.8 * clear + 0.2
    noise = clear + (hazy - clear).abs().mean() * 2.5 * torch.randn(clear.shape, generator=torch.Generator()).sign()
    near, far = (sum((a - b).abs().mean() for a, b in zip(features(clear), features(x), strict=True))
                 for x in (hazy, noise))  # fmt: skip
    assert near < far


def test_vgg_taps_are_the_papers_layers(tmp_path):
    """Random weights from a local file: where the taps are is what counts."""
    from torchvision.models.vgg import cfgs, make_layers

    state = {f"features.{key}": value for key, value in make_layers(cfgs["E"]).state_dict().items()}
    torch.save(state, tmp_path / "vgg19-test.pth")
    features = vgg19(tmp_path)
    maps = features(torch.rand(1, 3, 32, 32))
    assert [m.shape[1] for m in maps] == [64, 128, 256, 512, 512]
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4, 2]
    assert sum(features.weights) == pytest.approx(1.46875)
    assert not any(p.requires_grad for p in features.parameters())


def test_spectrum_distance_of_a_single_wave():
    x = torch.zeros(1, 1, 8, 8)
    assert spectrum_distance(x, x) == 0
    constant = spectrum_distance(x + 1, x)  # all energy in one of 8 x 5 complex bins: 8 / (8 * 5 * 2)
    assert constant.item() == pytest.approx(0.1)
