"""The denoiser: any size, bounded memory without a trace, gradients everywhere, little change before it has learned."""

import pytest
import torch

from restorers.base import count_parameters
from restorers.blocks import denoiser
from restorers.blocks.denoiser import Denoiser


def made(**options):
    torch.manual_seed(0)
    return Denoiser(**options)


def test_parameters_are_those_of_its_layers():
    kernels = 12 * 32 + 32 * 32 + 32 * 64 + 4 * 64 * 64 + 64 * 128 + 32 * 32 + 32 * 12
    biases = 32 + 32 + 64 + 4 * 64 + 128 + 32 + 12
    assert count_parameters(Denoiser(32, 4)) == 9 * kernels + biases == 265_516


@pytest.mark.parametrize("size", [(2, 7), (5, 4), (33, 50), (64, 64)])
def test_any_size_comes_back(size):
    picture = torch.rand(2, 3, *size)
    net = made(width=4, depth=2)
    assert net(picture).shape == net.eval()(picture).shape == picture.shape


def test_slabs_leave_no_trace(monkeypatch):
    net, picture = made(width=4).eval(), torch.rand(1, 3, 203, 30)
    with torch.no_grad():
        whole = net(picture)
        monkeypatch.setattr(denoiser, "_ROWS", 22)
        torch.testing.assert_close(net(picture), whole, rtol=0, atol=1e-6)
        monkeypatch.setattr(denoiser, "_REACH", 8)
        assert float((net(picture) - whole).abs().max()) > 1e-5, "fewer rows would show"


def test_gradients_reach_every_parameter():
    net = made(width=4)
    (net(torch.rand(1, 3, 16, 16)) ** 2).sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.parameters())


def test_it_starts_near_the_picture_itself():
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert float((made()(picture) - picture).abs().mean()) < 0.05
