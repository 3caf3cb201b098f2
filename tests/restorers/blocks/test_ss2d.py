"""The four-direction scan: orders, symmetries, and agreement with the plain recurrence."""

import sys

import pytest
import torch
import torch.nn.functional as F

from restorers.blocks import selective_scan as selective_scan_module
from restorers.blocks import ss2d
from restorers.blocks.selective_scan import selective_scan
from restorers.blocks.ss2d import DIRECTIONS, SelectiveScan2d, from_sequence, to_sequence

DIRECTIONAL = ("to_parameters", "to_steps", "step_bias", "log_decay", "skip")


def layer():
    torch.manual_seed(0)
    model = SelectiveScan2d(8, state=4).double()
    with torch.no_grad():
        model.log_decay.add_(0.3 * torch.randn_like(model.log_decay))
        model.skip.add_(0.3 * torch.randn_like(model.skip))
    return model


def reordered(model, order, flip=(), transpose=False):
    """The layer with its directions permuted and its local filter turned the same way."""
    other = layer()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for name in DIRECTIONAL:
            getattr(other, name).copy_(getattr(model, name)[list(order)])
        kernel = model.local.weight
        kernel = kernel.transpose(-1, -2) if transpose else kernel
        other.local.weight.copy_(kernel.flip(flip) if flip else kernel)
    return other


def test_orders_are_rows_columns_and_both_backwards():
    x = torch.arange(6).view(1, 2, 3, 1)
    assert [to_sequence(x, k).flatten().tolist() for k in range(DIRECTIONS)] == [
        [0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]
    ]  # fmt: skip
    for k in range(DIRECTIONS):
        assert torch.equal(from_sequence(to_sequence(x, k), k, 2, 3), x)


def test_half_a_turn_with_forward_and_backward_swapped_is_half_a_turn_of_the_result():
    model = layer()
    x = torch.randn(2, 5, 7, 8, dtype=torch.float64)
    turned = reordered(model, (2, 3, 0, 1), flip=(-1, -2))
    torch.testing.assert_close(turned(x.flip(1, 2)), model(x).flip(1, 2))


def test_transposition_with_rows_and_columns_swapped_transposes_the_result():
    model = layer()
    x = torch.randn(2, 5, 7, 8, dtype=torch.float64)
    other = reordered(model, (1, 0, 3, 2), transpose=True)
    torch.testing.assert_close(other(x.transpose(1, 2)), model(x).transpose(1, 2))


def test_a_single_row_flips_left_to_right():
    model = layer()
    with torch.no_grad():
        model.local.weight.copy_(0.5 * (model.local.weight + model.local.weight.flip(-1)))
    x = torch.randn(1, 1, 9, 8, dtype=torch.float64)
    other = reordered(model, (2, 3, 0, 1))
    torch.testing.assert_close(other(x.flip(2)), model(x).flip(2))


def test_equals_the_recurrence_written_out():
    model = layer()
    x = torch.randn(1, 3, 4, 8, dtype=torch.float64)
    inner, gate = model.project_in(x).chunk(2, -1)
    inner = F.silu(model.local(inner.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    total = 0
    for k in range(DIRECTIONS):
        u = to_sequence(inner, k)
        steps, b, c = (u @ model.to_parameters[k]).split((model.rank, 4, 4), -1)
        y, _ = selective_scan(
            u.transpose(1, 2),
            (steps @ model.to_steps[k]).transpose(1, 2),
            -model.log_decay[k].exp().T,
            b.transpose(1, 2),
            c.transpose(1, 2),
            model.skip[k],
            delta_bias=model.step_bias[k],
            delta_softplus=True,
            implementation="loop",
        )
        total = total + from_sequence(y.transpose(1, 2), k, 3, 4)
    wanted = model.project_out(model.norm(total) * F.silu(gate))
    torch.testing.assert_close(model(x), wanted)


def both_ways(monkeypatch, model, x):
    """Output and all gradients by machine code, and by the sequences that the plain path makes."""
    results = []
    for compiled in (True, False):
        monkeypatch.setattr(ss2d, "has_numba", lambda compiled=compiled: compiled)
        y = model(x)
        results.append((y, *torch.autograd.grad((y * y.detach().cos()).sum(), [x, *model.parameters()])))
    return results


@pytest.mark.parametrize("size", [(9, 23), (8, 8), (1, 70)])
def test_machine_code_equals_the_plain_path(monkeypatch, size):
    """Sizes that end within, at, and after a stretch of kept states; steps of every size."""
    torch.manual_seed(1)
    model = SelectiveScan2d(10, state=3).double()
    with torch.no_grad():
        model.step_bias.add_(4 * torch.randn_like(model.step_bias))
        model.skip.add_(torch.randn_like(model.skip))
    x = torch.randn(2, *size, 10, dtype=torch.float64, requires_grad=True)
    for ours, plain in zip(*both_ways(monkeypatch, model, x), strict=True):
        torch.testing.assert_close(ours, plain)


def test_machine_code_in_single_precision(monkeypatch):
    model = SelectiveScan2d(8)
    x = torch.randn(1, 24, 16, 8, requires_grad=True)
    for ours, plain in zip(*both_ways(monkeypatch, model, x), strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4 * float(plain.detach().abs().max()), rtol=1e-4)


def test_threads_and_blocks_of_channels_change_nothing():
    model = SelectiveScan2d(40, state=2)  # 80 inner channels are more than a block
    x = torch.randn(1, 6, 5, 40)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            parameters = tuple(model.parameters())
            results.append(torch.autograd.grad(model(x).square().sum(), parameters))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for ours, wanted in zip(other, results[0], strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_without_numba_the_plain_path_is_taken(monkeypatch):
    model = layer()
    x = torch.randn(1, 3, 4, 8, dtype=torch.float64)
    wanted = model(x)
    monkeypatch.setitem(sys.modules, "restorers.blocks.scan_cpu", None)  # what a failed import leaves behind
    for module in (ss2d, selective_scan_module):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    torch.testing.assert_close(model(x), wanted)


def test_directions_together_or_one_by_one(monkeypatch):
    monkeypatch.setattr(ss2d, "has_numba", lambda: False)
    model = layer()
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    with torch.no_grad():
        alone = model(x)
    torch.testing.assert_close(model(x), alone)


def test_it_starts_where_mamba_starts():
    model = SelectiveScan2d(16, state=5)
    torch.testing.assert_close(model.log_decay.exp()[2, :, 3], torch.arange(1.0, 6.0))
    steps = F.softplus(model.step_bias)
    assert steps.min() >= 1e-3 * 0.99 and steps.max() <= 0.1 * 1.01
    assert (model.skip == 1).all()


@pytest.mark.parametrize("name", ["log_decay", "skip", "step_bias"])
def test_what_must_not_decay_says_so(name):
    assert getattr(SelectiveScan2d(8), name)._no_decay
