"""Growth: the network of a step is a function of the step."""

import pytest
import torch

from errors import UnknownNameError, UsageError
from restorers.networks.aecr_net import AecrNet
from training.growth import Growth

STAGES = ({"until": 2, "attention_uses": 0, "deformable_uses": 0}, {"until": 5, "attention_uses": 3})


def numbers(step: int) -> tuple[int, int]:
    network = AecrNet(width=8)
    Growth(network, STAGES).at(step)
    return network.attention_uses, network.deformable_uses


def test_stages_follow_the_step_and_end_with_the_whole_network():
    assert [numbers(step) for step in (0, 1, 2, 4, 5, 99)] == [(0, 0), (0, 0), (3, 2), (3, 2), (6, 2), (6, 2)]


def test_a_stage_sets_everything_again_whatever_came_before():
    network = AecrNet(width=8)
    growth = Growth(network, STAGES)
    for step in (9, 0):  # as after a resume, or a validation in between
        growth.at(step)
    assert (network.attention_uses, network.deformable_uses) == (0, 0)


def test_the_whole_network_starts_as_about_the_one_without_its_shared_blocks():
    torch.manual_seed(0)
    network, x = AecrNet(width=8).eval(), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        whole = network.enhance(x)
        Growth(network, STAGES).at(0)
        small = network.enhance(x)
    assert 0 < (whole - small).abs().mean() < 0.1 * small.std()


@pytest.mark.parametrize(
    "stages",
    [({"attention_uses": 1},), ({"until": 5, "attention_uses": 1}, {"until": 5, "attention_uses": 2})],
)
def test_stages_without_an_end_or_out_of_order_are_refused(stages):
    with pytest.raises(UsageError, match="until"):
        Growth(AecrNet(width=8), stages)


def test_a_number_the_network_lacks_is_refused():
    with pytest.raises(UnknownNameError, match="attention_uses"):
        Growth(AecrNet(width=8), [{"until": 1, "attention_use": 1}])
