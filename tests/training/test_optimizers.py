"""Which parameter is stepped by whom, and what decays."""

import pytest
import torch
from torch import nn

from training.muon import Muon
from training.optimizers import Optimizers


@pytest.fixture
def task():
    task = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    task.marked = nn.Parameter(torch.ones(2, 2))
    task.marked._no_decay = True
    task.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
    return task


def held(optimizer):
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


@pytest.mark.parametrize("step", [4, 5])
def test_every_trained_parameter_has_one_optimizer(task, step):
    optimizers = Optimizers(task, weight_decay=0.1, muon=5)
    optimizers.begin(step, rate=1.0)
    assert isinstance(optimizers.kernels, Muon) == (step == 5)
    assert held(optimizers.kernels) == {id(task[0].weight), id(task[1].weight)}
    assert held(optimizers.others) == {id(task[0].bias), id(task[1].bias), id(task.marked)}


@pytest.mark.parametrize("muon", [None, 0])
def test_only_kernels_and_matrices_decay(task, muon):
    optimizers = Optimizers(task, weight_decay=0.5, muon=muon)
    before = {name: value.detach().clone() for name, value in task.named_parameters()}
    for parameter in task.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.begin(0, rate=0.1)
    optimizers.step()
    for name, value in task.named_parameters():
        factor = 0.95 if name.endswith("weight") else 1.0
        assert torch.allclose(value, factor * before[name]), name
        assert value.grad is None or name == "frozen"


def test_the_others_keep_their_moments_when_the_kernels_turn_to_muon(task):
    optimizers = Optimizers(task, weight_decay=0.0, muon=1)
    for step in range(2):
        for parameter in task.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizers.begin(step, rate=0.1)
        optimizers.step()
    assert {int(state["step"]) for state in optimizers.others.state.values()} == {2}


def test_a_task_of_kernels_alone():
    task = nn.Conv2d(3, 4, 3, bias=False)
    optimizers = Optimizers(task, weight_decay=0.0, muon=0)
    optimizers.begin(0, rate=0.1)
    optimizers.load_state_dict(optimizers.state_dict())
    assert optimizers.others is None
