"""Start weights by data: every layer in range, and the picture itself comes out of an untrained network."""

import pytest
import torch

from errors import UsageError
from restorers.networks.aecr_net import AecrNet
from training.settle import MEAN, settle


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(4, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, (48, 48), mode="bilinear").mul(0.6).add(0.2)


@pytest.fixture(scope="module")
def settled(pictures):
    torch.manual_seed(3)
    network = AecrNet(width=16).eval()
    settle(network, pictures)
    return network


def outputs(network, layer, pictures):
    seen = []
    with torch.no_grad():
        hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        network.enhance(pictures)
        hook.remove()
    return seen[0]


def test_layers_see_something(settled, pictures):
    """All channels vary about as much as each other; where pixels pass, deeper layers were scaled a moment before."""
    for layer, pixels, most in ((settled.down1, 3, 0.01), (settled.down2, 12, 1.0), (settled.down3, 0, 1.0)):
        deviation, mean = torch.std_mean(outputs(settled, layer, pictures)[:, pixels:], (0, 2, 3))
        assert (deviation.log().abs() < most).all() and ((mean - MEAN).abs() < most).all()
    torch.manual_seed(3)
    plain = AecrNet(width=16).eval()
    assert outputs(plain, plain.down3, pictures).std((0, 2, 3)).median() < 0.1


def test_the_picture_passes_through(settled, pictures):
    """Within what the other channels add; without settling, hardly anything of the picture is left."""
    with torch.no_grad():
        through = settled.enhance(pictures)
        without = AecrNet(width=16).eval().enhance(pictures)

    def similarity(x):
        return torch.corrcoef(torch.stack([x.flatten(), pictures.flatten()]))[0, 1].abs()

    assert similarity(through) > 0.6 and similarity(without) < 0.4


def test_every_parameter_still_learns(settled, pictures):
    network = AecrNet(width=16)
    network.load_state_dict(settled.state_dict())
    (network.enhance(pictures) - pictures).square().mean().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_only_aecr_net_can_be_settled(pictures):
    with pytest.raises(UsageError, match="settle"):
        settle(torch.nn.Identity(), pictures)
