"""The selective scan: official values, the loop, gradients, overflow, memory, speed of the compiled path."""

from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from restorers.blocks import scan_plain
from restorers.blocks.selective_scan import IMPLEMENTATIONS, scan_sequences, selective_scan

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden" / "selective_scan.safetensors"
FAST = ("compiled", "chunked")


def draw(batch=2, dim=6, state=4, length=37, groups=1, dtype=torch.float64, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype)

    return {
        "u": normal(batch, dim, length),
        "delta": normal(batch, dim, length),
        "a": -scale * torch.rand(dim, state, generator=g, dtype=dtype) * state,
        "b": normal(batch, groups, state, length),
        "c": normal(batch, groups, state, length),
        "skip": normal(dim),
        "gate": normal(batch, dim, length),
        "delta_bias": normal(dim),
        "delta_softplus": True,
    }


@pytest.mark.shared
@pytest.mark.skipif(not GOLDEN.exists(), reason="the official values lie beside the project")
@pytest.mark.parametrize("implementation", [name for name in IMPLEMENTATIONS if name != "triton"])
def test_official_values(implementation):
    from safetensors.torch import load_file

    t = load_file(GOLDEN)
    common = (t["u"], t["delta"], t["A"], t["B"], t["C"], t["D"])
    options = {"delta_bias": t["delta_bias"], "delta_softplus": True, "implementation": implementation}
    gated, last = selective_scan(*common, t["z"], **options)
    plain, _ = selective_scan(*common, **options)
    assert (gated - t["out"]).abs().max() < 1e-5
    assert (plain - t["out_without_gate"]).abs().max() < 1e-5
    assert (last - t["last_state"]).abs().max() < 1e-5


@pytest.mark.parametrize("implementation", FAST)
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("groups", [1, 2])
def test_equals_the_loop_at_any_length(implementation, length, groups):
    arguments = draw(length=length, groups=groups, dim=34)
    wanted = selective_scan(**arguments, implementation="loop")
    for ours, theirs in zip(selective_scan(**arguments, implementation=implementation), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("implementation", FAST)
def test_single_precision_stays_within_1e_4_over_a_long_sequence(implementation):
    arguments = draw(length=3000, dim=40, state=16, dtype=torch.float32)
    exact = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
    ours, wanted = selective_scan(**arguments, implementation=implementation)[0], selective_scan(**exact)[0]
    assert ours.dtype == torch.float32
    assert (ours - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("implementation", FAST)
def test_fast_fading_neither_overflows_nor_divides_by_zero(implementation):
    """Sums of delta * a reach -1e5 here: forms that divide by a product of decays give infinities."""
    arguments = draw(length=500, state=16, dtype=torch.float32, scale=40.0)
    y, last = selective_scan(**arguments, implementation=implementation)
    wanted, _ = selective_scan(**arguments, implementation="loop")
    assert torch.isfinite(y).all() and torch.isfinite(last).all()
    torch.testing.assert_close(y, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("implementation", FAST)
def test_gradients_by_finite_differences(implementation):
    arguments = draw(batch=2, dim=4, state=3, length=9, groups=2)
    names = ("u", "delta", "a", "b", "c", "skip", "gate", "delta_bias")
    tensors = [arguments[name].requires_grad_() for name in names]

    def run(*values):
        values = dict(zip(names, values, strict=True))
        return selective_scan(**values, delta_softplus=True, implementation=implementation)[0]

    assert gradcheck(run, tensors, nondet_tol=1e-12)


@pytest.mark.parametrize("implementation", FAST)
@pytest.mark.parametrize("numbers", [1, 1 << 11, 1 << 15])
def test_gradients_equal_the_loops_across_kept_states_and_chunks(implementation, numbers, monkeypatch):
    monkeypatch.setitem(scan_plain._NUMBERS, "cpu", numbers)
    arguments = draw(length=170, dim=20, groups=2)
    tensors = [v.requires_grad_() for v in arguments.values() if isinstance(v, torch.Tensor)]
    grads = [
        torch.autograd.grad(selective_scan(**arguments, implementation=name)[0].square().sum(), tensors)
        for name in (implementation, "loop")
    ]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_threads_and_blocks_change_nothing():
    arguments = draw(length=100, dim=70, dtype=torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(selective_scan(**arguments)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_half_precision_is_scanned_in_single():
    arguments = draw(dtype=torch.float32)
    half = {k: v.bfloat16() if k in ("u", "delta", "b", "c", "gate") else v for k, v in arguments.items()}
    rounded = {k: v.float() if isinstance(v, torch.Tensor) else v for k, v in half.items()}
    y, _ = selective_scan(**half)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, selective_scan(**rounded)[0].bfloat16())


@pytest.mark.parametrize(("implementation", "bound"), [("compiled", 1.5), ("chunked", 3.0)])
def test_kept_memory_is_linear_in_the_length(implementation, bound):
    """What autograd holds between the passes: inputs, and states of one step in 64 or 16."""

    def held(length):
        x = [torch.rand(1, length, 32).requires_grad_() for _ in range(2)]
        weights = [torch.rand(1, length, 16) for _ in range(2)]
        sizes = []
        hook = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t)
        with hook:
            scan_sequences(*x, -torch.rand(1, 16, 32), *weights, implementation)
        return sum(sizes)

    assert held(4096) < 2.01 * held(2048)
    assert held(4096) < bound * 4096 * (2 * 32 + 2 * 16)


def test_unknown_implementations_are_refused():
    with pytest.raises(ValueError, match="loop"):
        selective_scan(**draw(), implementation="cuda")
