"""Selective scan: the recurrence at the heart of Mamba, without CUDA.

Gu, Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, section 3. For every channel d and
state n, with step size ``delta``, decay ``a < 0`` and input-dependent ``b`` and ``c``:

``s_t = exp(delta_t a) s_(t-1) + delta_t b_t u_t``,  ``y_t = sum_n c_t s_t + skip u_t``,  gated by ``SiLU(gate)``.

Four ways to the same values, all with memory linear in the length:

- ``loop``: one step after the other; the definition, and what tests compare with;
- ``chunked``: plain PyTorch on any device (``scan_plain.py``). The sequence is cut into chunks that advance side by
  side, first from zero states to learn what each chunk adds, then, with the states carried from chunk to chunk, to the
  outputs;
- ``compiled``: the loop itself as machine code on the CPU (``scan_cpu.py``, ``scan_kernels.py``), states in cache,
  channels in vector registers and on all cores;
- ``triton``: kernels for GPUs (``scan_triton.py``), where Triton is installed; only on request, as long as they have
  been compiled for GPUs and run in Triton's interpreter, but not been measured on one.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from restorers.blocks.scan_plain import plain_scan

IMPLEMENTATIONS = ("auto", "compiled", "triton", "chunked", "loop")


def selective_scan(
    u: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    gate: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    delta_softplus: bool = False,
    implementation: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Run the recurrence; float32 inside whatever autocast says, since products of decays need it.

    Args:
        u: Inputs (batch, dim, length).
        delta: Step sizes, same shape.
        a: Decay (dim, state), negative.
        b: Input weights (batch, state, length), or (batch, groups, state, length) for ``groups`` runs of channels
            with weights of their own.
        c: Output weights, same shape.
        skip: (dim,), D in the paper.
        gate: (batch, dim, length), z in the paper.
        delta_bias: (dim,), added to ``delta``.
        delta_softplus: Apply softplus to ``delta`` after its bias.
        implementation: One of IMPLEMENTATIONS; ``auto`` is ``compiled`` on a CPU with numba, ``chunked``
            elsewhere.

    Returns:
        Outputs (batch, dim, length) in the dtype of ``u``, and the last state (batch, dim, state), which carries no
        gradient.

    Example:
        >>> import math
        >>> one = torch.ones(1, 1, 3)
        >>> y, last = selective_scan(one, one * math.log(2), -torch.ones(1, 1), one, one)
        >>> [round(v, 4) for v in (y / math.log(2)).flatten().tolist()]
        [1.0, 1.5, 1.75]
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation is one of {', '.join(IMPLEMENTATIONS)}; got {implementation!r}")
    batch, dim, length = u.shape
    if b.ndim == 3:
        b, c = b[:, None], c[:, None]
    groups, state = b.shape[1], b.shape[2]
    with torch.autocast(u.device.type, enabled=False):
        exact = torch.promote_types(u.dtype, torch.float32)
        steps = delta.to(exact)
        if delta_bias is not None:
            steps = steps + delta_bias.to(exact)[:, None]
        if delta_softplus:
            steps = F.softplus(steps)
        # From here on: (sequences, length, channels), a sequence for every picture and group.
        rows = (batch * groups, dim // groups, length)
        y, last = scan_sequences(
            u.to(exact).reshape(rows).transpose(1, 2),
            steps.reshape(rows).transpose(1, 2),
            a.to(exact).view(groups, dim // groups, state).transpose(1, 2),
            b.to(exact).reshape(-1, state, length).transpose(1, 2),
            c.to(exact).reshape(-1, state, length).transpose(1, 2),
            implementation,
        )
        y = y.transpose(1, 2).reshape(batch, dim, length)
        if skip is not None:
            y = y + skip.to(exact)[:, None] * u.to(exact)
        if gate is not None:
            y = y * F.silu(gate.to(exact))
    return y.to(u.dtype), last.transpose(1, 2).reshape(batch, dim, state)


def scan_sequences(
    u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, implementation: str = "auto"
) -> tuple[Tensor, Tensor]:
    """The bare recurrence on independent sequences.

    Args:
        u: (sequences, length, channels).
        delta: Same shape; positive.
        a: (groups, state, channels), negative; sequence i belongs to group ``i % groups``.
        b: (sequences, length, state).
        c: Same shape.
        implementation: See :func:`selective_scan`.

    Returns:
        Outputs (sequences, length, channels) and last states (sequences, state, channels) without gradient.
    """
    if implementation == "auto":
        implementation = "compiled" if u.device.type == "cpu" and has_numba() else "chunked"
    if implementation == "triton":
        from restorers.blocks.scan_triton import triton_scan

        return triton_scan(u, delta, a, b, c)
    if implementation == "compiled":
        from restorers.blocks.scan_cpu import compiled_scan

        return compiled_scan(u, delta, a, b, c)
    if implementation == "chunked":
        return plain_scan(u, delta, a, b, c)
    decay = a.repeat(u.shape[0] // a.shape[0], 1, 1)
    y, last = _loop(u, delta, decay, b, c, torch.zeros_like(decay))
    return y, last.detach()


@lru_cache(maxsize=1)
def has_numba() -> bool:
    """Whether there is something to make machine code with; without it the scan is plain PyTorch."""
    return find_spec("numba") is not None


def _loop(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Step by step; the definition."""
    outputs = []
    for x, d, weights_in, weights_out in zip(*(t.unbind(1) for t in (u, delta, b, c)), strict=True):
        state = torch.exp(d[:, None] * a) * state + (d * x)[:, None] * weights_in[..., None]
        outputs.append((state * weights_out[..., None]).sum(1))
    return torch.stack(outputs, 1), state
