"""The selective scan as Triton kernels for GPUs: a chunk of steps at a time by an associative scan, states in between.

Each program runs one sequence and one block of channels. A chunk's steps are combined in parallel, for one number of
the state after the other: two steps ``s -> f1 s + m1`` and ``s -> f2 s + m2`` are one step ``s -> f1 f2 s + (f2 m1 +
m2)``, so nothing is divided by a decay. The state before every chunk is kept; the backward pass goes through the
chunks from the last to the first and computes the states inside them again.

Imported only where Triton is installed; its interpreter (``TRITON_INTERPRET=1``) runs the same kernels on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 128
"""Steps that are combined in parallel, and between the states that are kept."""

CHANNELS = 16
"""Channels of a program."""

# Kernels: Triton reads their source, infers types and wants no annotations; block sizes are capitals by its custom.


@triton.jit
def _combine(fade1, move1, fade2, move2):  # noqa: ANN001, ANN202
    """Two steps, one after the other, as one."""
    return fade1 * fade2, move1 * fade2 + move2


@triton.jit
def _forward(  # noqa: ANN202
    u, delta, a, b, c, y, kept, groups, length, channels, chunks,  # noqa: ANN001
    STATES: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """u, delta, y (sequences, length, channels); b, c (sequences, length, STATES); kept (sequences, chunks + 1, ..)."""
    sequence = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < channels
    a += (sequence % groups) * STATES * channels + j
    kept += sequence * (chunks + 1) * STATES * channels + j
    steps = tl.arange(0, CHUNK)
    for n in range(STATES):
        tl.store(kept + n * channels, tl.zeros((BLOCK,), y.dtype.element_ty), mask=inside)
    tl.debug_barrier()
    for chunk in range(chunks):
        t = chunk * CHUNK + steps
        real = t < length
        here = (sequence * length + t[:, None]) * channels + j[None, :]
        both = real[:, None] & inside[None, :]
        size = tl.load(delta + here, mask=both, other=0.0)
        moved = size * tl.load(u + here, mask=both, other=0.0)
        total = tl.zeros((CHUNK, BLOCK), y.dtype.element_ty)
        for n in range(STATES):
            weight = (sequence * length + t) * STATES + n
            into = tl.load(b + weight, mask=real, other=0.0)
            out = tl.load(c + weight, mask=real, other=0.0)
            decay = tl.load(a + n * channels, mask=inside, other=0.0)
            before = tl.load(kept + (chunk * STATES + n) * channels, mask=inside, other=0.0)
            fade = tl.exp(size * decay[None, :])  # of steps past the end: one, and they move nothing
            faded, gained = tl.associative_scan((fade, into[:, None] * moved), 0, _combine)
            states = faded * before[None, :] + gained
            total += out[:, None] * states
            last = tl.sum(tl.where(steps[:, None] == CHUNK - 1, states, 0.0), 0)
            tl.store(kept + ((chunk + 1) * STATES + n) * channels, last, mask=inside)
        tl.store(y + here, total, mask=both)
        tl.debug_barrier()  # the next chunk reads what other threads may have stored


@triton.jit
def _backward(  # noqa: ANN202
    u, delta, a, b, c, kept, dy, du, ddelta, da, db, dc, after, groups, sequences, length, channels, chunks,  # noqa: ANN001
    STATES: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """``da`` (sequences, ..), ``db`` and ``dc`` (blocks, sequences, ..) are to be summed; ``after`` starts at zero."""
    sequence = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < channels
    a += (sequence % groups) * STATES * channels + j
    kept += sequence * (chunks + 1) * STATES * channels + j
    da += sequence * STATES * channels + j
    after += sequence * STATES * channels + j
    part = (tl.program_id(1) * sequences + sequence) * length
    steps = tl.arange(0, CHUNK)
    for back in range(chunks):
        chunk = chunks - 1 - back
        t = chunk * CHUNK + steps
        real = t < length
        here = (sequence * length + t[:, None]) * channels + j[None, :]
        both = real[:, None] & inside[None, :]
        size = tl.load(delta + here, mask=both, other=0.0)
        x = tl.load(u + here, mask=both, other=0.0)
        grad = tl.load(dy + here, mask=both, other=0.0)
        # A gradient reaches a step through the decay of the step behind it; behind the chunk's last, ``after`` has it.
        behind = real[:, None] & (t[:, None] + 1 < length) & (steps[:, None] < CHUNK - 1) & inside[None, :]
        next_size = tl.load(delta + here + channels, mask=behind, other=0.0)
        for_moved = tl.zeros((CHUNK, BLOCK), du.dtype.element_ty)
        for_size = tl.zeros((CHUNK, BLOCK), du.dtype.element_ty)
        for n in range(STATES):
            weight = (sequence * length + t) * STATES + n
            into = tl.load(b + weight, mask=real, other=0.0)
            out = tl.load(c + weight, mask=real, other=0.0)
            decay = tl.load(a + n * channels, mask=inside, other=0.0)
            before = tl.load(kept + (chunk * STATES + n) * channels, mask=inside, other=0.0)
            arriving = tl.load(after + n * channels, mask=inside, other=0.0)
            fade = tl.exp(size * decay[None, :])
            moved = into[:, None] * (size * x)
            faded, gained = tl.associative_scan((fade, moved), 0, _combine)
            states = faded * before[None, :] + gained
            next_fade = tl.exp(next_size * decay[None, :])
            reach, own = tl.associative_scan((next_fade, out[:, None] * grad), 0, _combine, reverse=True)
            g = own + reach * arriving[None, :]
            through = g * (states - moved)  # of the decay: g fade s_(t-1)
            for_moved += g * into[:, None]
            for_size += through * decay[None, :]
            so_far = tl.load(da + n * channels, mask=inside, other=0.0)
            tl.store(da + n * channels, so_far + tl.sum(through * size, 0), mask=inside)
            tl.store(db + (part + t) * STATES + n, tl.sum(g * (size * x), 1), mask=real)
            tl.store(dc + (part + t) * STATES + n, tl.sum(grad * states, 1), mask=real)
            leaving = tl.sum(tl.where(steps[:, None] == 0, g * fade, 0.0), 0)
            tl.store(after + n * channels, leaving, mask=inside)
        tl.store(du + here, for_moved * size, mask=both)
        tl.store(ddelta + here, for_moved * x + for_size, mask=both)
        tl.debug_barrier()


class _TritonScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        u, delta, a, b, c = (t.detach().contiguous() for t in tensors)
        sequences, length, channels = u.shape
        chunks = triton.cdiv(length, CHUNK)
        y = torch.empty_like(u)
        kept = u.new_empty(sequences, chunks + 1, a.shape[1], channels)
        grid = (sequences, triton.cdiv(channels, CHANNELS))
        _forward[grid](u, delta, a, b, c, y, kept, len(a), length, channels, chunks, a.shape[1], CHUNK, CHANNELS)
        ctx.save_for_backward(u, delta, a, b, c, kept)
        last = kept[:, -1].clone()
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
        u, delta, a, b, c, kept = ctx.saved_tensors
        sequences, length, channels = u.shape
        blocks, chunks = triton.cdiv(channels, CHANNELS), kept.shape[1] - 1
        du, ddelta = torch.empty_like(u), torch.empty_like(u)
        da, after = u.new_zeros(2, sequences, a.shape[1], channels).unbind(0)
        db, dc = u.new_empty(2, blocks, sequences, length, a.shape[1]).unbind(0)
        _backward[sequences, blocks](
            u, delta, a, b, c, kept, dy.contiguous(), du, ddelta, da, db, dc, after,
            len(a), sequences, length, channels, chunks, a.shape[1], CHUNK, CHANNELS,
        )  # fmt: skip
        return du, ddelta, da.view(-1, *a.shape).sum(0), db.sum(0), dc.sum(0)


def triton_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`restorers.blocks.selective_scan.scan_sequences`; float32 or float64 on a GPU."""
    return _TritonScan.apply(u, delta, a, b, c)
