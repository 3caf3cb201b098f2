"""The selective scan as machine code for CPUs: states stay in cache, channels fill vector registers.

Each task runs one sequence and one block of channels from the first step to the last (numba, without Python's lock),
so tasks spread over threads. The forward pass keeps the state every ``KEEP`` steps; the backward pass goes through
these stretches from the last to the first, computing the states in between again. Both use ``length x channels`` for
inputs and outputs and ``length / KEEP`` times the state for what is kept: linear, with a small factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

KEEP = 64
"""Steps between the states that the forward pass keeps for the backward pass."""

_BLOCK = 16
"""Smallest block of channels: a cache line of float32, one or two vector registers."""

_FAST = {"contract", "reassoc", "nsz"}


@intrinsic
def _power_of_two(context, exponent):  # noqa: ANN001, ANN202
    """``2.0 ** exponent`` for an int32 of -126 to 127, by placing it in a float32's exponent bits."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], ir.Constant(ir.IntType(32), 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(ir.IntType(32), 23)), ir.FloatType())

    return types.float32(types.int32), build


# Functions from here to the autograd part are compiled by numba, which infers types and wants no annotations.


def _fade(x):  # noqa: ANN001, ANN202
    """``exp(x)`` for x <= 0."""
    return math.exp(x)


@overload(_fade)
def _fade_overload(x):  # noqa: ANN001, ANN202
    return {types.float64: _fade_double, types.float32: _fade_single}.get(x)


def _fade_double(x):  # noqa: ANN001, ANN202
    return math.exp(x)


def _fade_single(x):  # noqa: ANN001, ANN202
    """Within 2e-7 of exp, and made of operations that vectorise: ``2^k p(f)`` with k whole and ``|f| <= 1/2``."""
    z = max(x, np.float32(-87.0)) * np.float32(1.4426950408889634)
    k = np.floor(z + np.float32(0.5))
    f = z - k
    p = np.float32(1.5403530e-4)
    p = p * f + np.float32(1.3333558e-3)
    p = p * f + np.float32(9.6181291e-3)
    p = p * f + np.float32(5.5504109e-2)
    p = p * f + np.float32(2.4022651e-1)
    p = p * f + np.float32(6.9314718e-1)
    p = p * f + np.float32(1.0)
    return p * _power_of_two(np.int32(k))


@njit(nogil=True, fastmath=_FAST, cache=True, error_model="numpy")
def _forward(u, delta, a, b, c, y, kept, last):  # noqa: ANN001, ANN202
    """One sequence, one block of channels; arrays (length, width), (state, width), (length, state)."""
    length, width = u.shape
    states = a.shape[0]
    s = np.zeros((states, width), u.dtype)
    moved = np.empty(width, u.dtype)
    total = np.empty(width, u.dtype)
    for t in range(length):
        if t % KEEP == 0:
            kept[t // KEEP] = s
        for j in range(width):
            moved[j] = delta[t, j] * u[t, j]
            total[j] = 0
        for n in range(states):
            into, out = b[t, n], c[t, n]
            for j in range(width):
                value = _fade(delta[t, j] * a[n, j]) * s[n, j] + into * moved[j]
                s[n, j] = value
                total[j] += out * value
        for j in range(width):
            y[t, j] = total[j]
    last[:] = s


@njit(nogil=True, fastmath=_FAST, cache=True, error_model="numpy")
def _backward(u, delta, a, b, c, kept, dy, du, ddelta, da, db, dc):  # noqa: ANN001, ANN202
    """Gradients of one sequence and block; ``da``, ``db``, ``dc`` are this task's own, to be summed afterwards."""
    length, width = u.shape
    states = a.shape[0]
    history = np.empty((KEEP + 1, states, width), u.dtype)
    fades = np.empty((KEEP, states, width), u.dtype)
    ds = np.zeros((states, width), u.dtype)
    sum_u = np.empty(width, u.dtype)
    sum_delta = np.empty(width, u.dtype)
    da[:] = 0
    for stretch in range(kept.shape[0] - 1, -1, -1):
        start = stretch * KEEP
        stop = min(start + KEEP, length)
        history[0] = kept[stretch]
        for t in range(start, stop):
            i = t - start
            for n in range(states):
                into = b[t, n]
                for j in range(width):
                    fade = _fade(delta[t, j] * a[n, j])
                    fades[i, n, j] = fade
                    history[i + 1, n, j] = fade * history[i, n, j] + into * delta[t, j] * u[t, j]
        for t in range(stop - 1, start - 1, -1):
            i = t - start
            for j in range(width):
                sum_u[j] = 0
                sum_delta[j] = 0
            for n in range(states):
                into, out = b[t, n], c[t, n]
                for_b = u.dtype.type(0)
                for_c = u.dtype.type(0)
                for j in range(width):
                    g = ds[n, j] + out * dy[t, j]
                    faded = g * fades[i, n, j]
                    through = faded * history[i, n, j]
                    sum_delta[j] += through * a[n, j] + g * into * u[t, j]
                    sum_u[j] += g * into
                    da[n, j] += through * delta[t, j]
                    for_b += g * delta[t, j] * u[t, j]
                    for_c += dy[t, j] * history[i + 1, n, j]
                    ds[n, j] = faded
                db[t, n] = for_b
                dc[t, n] = for_c
            for j in range(width):
                du[t, j] = sum_u[j] * delta[t, j]
                ddelta[t, j] = sum_delta[j]


class _CompiledScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        u, delta, a, b, c = (t.detach().contiguous() for t in tensors)
        sequences, length, channels = u.shape
        y = torch.empty_like(u)
        kept = u.new_empty(sequences, -(-length // KEEP), a.shape[1], channels)
        last = u.new_empty(sequences, a.shape[1], channels)
        arrays = [t.numpy() for t in (u, delta, a, b, c, y, kept, last)]
        _run(_forward_task, arrays, sequences, channels)
        ctx.save_for_backward(u, delta, a, b, c, kept)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
        u, delta, a, b, c, kept = ctx.saved_tensors
        sequences, length, channels = u.shape
        blocks = len(list(_blocks(sequences, channels)))
        du, ddelta = torch.empty_like(u), torch.empty_like(u)
        da = u.new_empty(sequences, a.shape[1], channels)
        db, dc = u.new_empty(2, blocks, sequences, length, b.shape[2]).unbind(0)
        tensors = (u, delta, a, b, c, kept, dy.contiguous(), du, ddelta, da, db, dc)
        _run(_backward_task, [t.numpy() for t in tensors], sequences, channels)
        da = da.view(-1, *a.shape).sum(0)
        return du, ddelta, da, db.sum(0), dc.sum(0)


def _forward_task(arrays: list[np.ndarray], i: int, block: int, part: slice) -> None:
    u, delta, a, b, c, y, kept, last = arrays
    _forward(
        u[i, :, part], delta[i, :, part], a[i % len(a), :, part], b[i], c[i],
        y[i, :, part], kept[i, :, :, part], last[i, :, part],
    )  # fmt: skip


def _backward_task(arrays: list[np.ndarray], i: int, block: int, part: slice) -> None:
    u, delta, a, b, c, kept, dy, du, ddelta, da, db, dc = arrays
    _backward(
        u[i, :, part], delta[i, :, part], a[i % len(a), :, part], b[i], c[i], kept[i, :, :, part], dy[i, :, part],
        du[i, :, part], ddelta[i, :, part], da[i, :, part], db[block, i], dc[block, i],
    )  # fmt: skip


def _blocks(sequences: int, channels: int) -> Iterator[slice]:
    """Channels in as few blocks as keep every thread busy: each block reads ``b`` and ``c`` again."""
    wanted = max(1, -(-2 * torch.get_num_threads() // sequences)) if torch.get_num_threads() > 1 else 1
    size = max(_BLOCK, -(-channels // wanted // _BLOCK) * _BLOCK)
    for start in range(0, channels, size):
        yield slice(start, min(start + size, channels))


def _run(task: Callable[..., None], arrays: list[np.ndarray], sequences: int, channels: int) -> None:
    jobs = [(i, k, part) for i in range(sequences) for k, part in enumerate(_blocks(sequences, channels))]
    threads = torch.get_num_threads()
    if threads == 1 or len(jobs) == 1:
        for job in jobs:
            task(arrays, *job)
        return
    for done in [_pool(threads).submit(task, arrays, *job) for job in jobs]:
        done.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="selective-scan")


def compiled_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`restorers.blocks.selective_scan.scan_sequences`; float32 or float64 in main memory."""
    return _CompiledScan.apply(u, delta, a, b, c)
