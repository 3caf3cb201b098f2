"""Selective scan: the recurrence at the heart of Mamba, without CUDA.

Gu, Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, section 3. For every channel d and
state n, with step size ``delta``, decay ``a < 0`` and input-dependent ``b`` and ``c``:

``s_t = exp(delta_t a) s_(t-1) + delta_t b_t u_t``,  ``y_t = sum_n c_t s_t + skip u_t``,  gated by ``SiLU(gate)``.

Three ways to the same values, all with memory linear in the length:

- ``loop``: one step after the other; the definition, and what tests compare with;
- ``chunked``: plain PyTorch on any device. The sequence is cut into chunks that advance side by side, first from
  zero states to learn what each chunk adds, then, with the states carried from chunk to chunk, to the outputs;
- ``compiled``: the loop itself as machine code on the CPU (``scan_cpu.py``), states in cache, channels in vector
  registers and on all cores.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

IMPLEMENTATIONS = ("auto", "compiled", "chunked", "loop")

SEGMENT = 8192
"""Steps whose intermediate values are held at a time while a gradient is needed; the rest is computed again."""


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
        implementation: One of IMPLEMENTATIONS; ``auto`` is ``compiled`` on a CPU, ``chunked`` elsewhere.

    Returns:
        Outputs (batch, dim, length) in the dtype of ``u``, and the last state (batch, dim, state), which carries no
        gradient.

    Example:
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
        implementation = "compiled" if u.device.type == "cpu" else "chunked"
    if implementation == "compiled":
        from restorers.blocks.scan_cpu import compiled_scan

        return compiled_scan(u, delta, a, b, c)
    decay = a.repeat(u.shape[0] // a.shape[0], 1, 1)
    start = torch.zeros_like(decay)
    if implementation == "loop":
        y, last = _loop(u, delta, decay, b, c, start)
        return y, last.detach()
    if not torch.is_grad_enabled() or u.shape[1] <= SEGMENT:
        y, last = _chunked(u, delta, decay, b, c, start)
        return y, last.detach()
    outputs, last = [], start
    for parts in zip(*(t.split(SEGMENT, 1) for t in (u, delta, b, c)), strict=True):
        x, d, weights_in, weights_out = parts
        y, last = checkpoint(_chunked, x, d, decay, weights_in, weights_out, last, use_reentrant=False)
        outputs.append(y)
    return torch.cat(outputs, 1), last.detach()


def _loop(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Step by step; the definition."""
    outputs = []
    for x, d, weights_in, weights_out in zip(*(t.unbind(1) for t in (u, delta, b, c)), strict=True):
        state = torch.exp(d[:, None] * a) * state + (d * x)[:, None] * weights_in[..., None]
        outputs.append((state * weights_out[..., None]).sum(1))
    return torch.stack(outputs, 1), state


def _chunked(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Chunks of about sqrt(length) steps side by side: as few Python steps as there are chunks.

    Nothing is divided by a decay, so nothing overflows however fast states fade.
    """
    length = u.shape[1]
    size = max(1, math.isqrt(length))
    missing = -length % size
    if missing:  # a step of size zero keeps the state as it is
        u, delta, b, c = (F.pad(t, (0, 0, 0, missing)) for t in (u, delta, b, c))

    def by_time(t: Tensor) -> tuple[Tensor, ...]:
        return t.unflatten(1, (-1, size)).transpose(1, 2).contiguous().unbind(1)

    moves = tuple(zip(by_time(delta), by_time(delta * u), by_time(b), strict=True))
    decay = a[:, None]

    # Fresh memory for every step costs more than the arithmetic: without a gradient, states advance in place.
    scratch = None if torch.is_grad_enabled() else u.new_empty(len(u), u.shape[1] // size, *a.shape[1:])

    def advance(s: Tensor, d: Tensor, x: Tensor, weights: Tensor) -> Tensor:
        if scratch is not None:
            s.mul_(torch.mul(d[:, :, None], decay, out=scratch).exp_())
            return s.addcmul_(x[:, :, None], weights[..., None])
        return torch.addcmul(x[:, :, None] * weights[..., None], torch.exp(d[:, :, None] * decay), s)

    # What each chunk adds to a state of zero, and how far it lets an earlier state fade.
    gained = u.new_zeros(len(u), u.shape[1] // size, *a.shape[1:])
    for d, x, weights in moves:
        gained = advance(gained, d, x, weights)
    faded = torch.exp(delta.unflatten(1, (-1, size)).sum(2)[:, :, None] * decay)
    starts = []
    for factor, gain in zip(faded.unbind(1), gained.unbind(1), strict=True):
        starts.append(state)
        state = factor * state + gain
    s, outputs = torch.stack(starts, 1), []
    for (d, x, weights), weights_out in zip(moves, by_time(c), strict=True):
        s = advance(s, d, x, weights)
        outputs.append((weights_out[:, :, None] @ s)[:, :, 0])
    y = torch.stack(outputs, 2).flatten(1, 2)
    return y[:, :length], state
