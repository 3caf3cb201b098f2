"""The selective scan on CPUs as PyTorch operations with gradients, spread over threads.

Each task runs one sequence (or picture) and one block of channels from the first step to the last, without Python's
lock. The forward pass keeps the state every ``KEEP`` steps; the backward pass goes through these stretches from the
last to the first, computing the states in between again (``scan_kernels.py``). Both use ``length x channels`` for
inputs and outputs and ``length / KEEP`` times the state for what is kept: linear, with a small factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from restorers.blocks import scan_kernels as kernels

_BLOCK = 16
"""Smallest block of channels: a cache line of float32, one or two vector registers."""

_LARGEST_BLOCK = 64
"""Largest one: what the backward pass computes again for a stretch then fits a core's own cache."""


class _CompiledScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, keep: bool, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        u, delta, a, b, c = (t.detach().contiguous() for t in tensors)
        sequences, length, channels = u.shape
        y = torch.empty_like(u)
        kept = u.new_empty(sequences, _stretches(length, keep), a.shape[1], channels)
        last = u.new_empty(sequences, a.shape[1], channels)
        arrays = [t.numpy() for t in (u, delta, a, b, c, y, kept, last)]
        _run(_forward_task, arrays, sequences, channels)
        ctx.save_for_backward(u, delta, a, b, c, kept)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        u, delta, a, b, c, kept = ctx.saved_tensors
        sequences, length, channels = u.shape
        blocks = len(list(_blocks(sequences, channels)))
        du, ddelta = torch.empty_like(u), torch.empty_like(u)
        da = u.new_empty(sequences, a.shape[1], channels)
        db, dc = u.new_empty(2, blocks, sequences, length, b.shape[2]).unbind(0)
        tensors = (u, delta, a, b, c, kept, dy.contiguous(), du, ddelta, da, db, dc)
        _run(_backward_task, [t.numpy() for t in tensors], sequences, channels)
        da = da.view(-1, *a.shape).sum(0)
        return None, du, ddelta, da, _summed(db), _summed(dc)


def _forward_task(arrays: list[np.ndarray], i: int, block: int, part: slice) -> None:
    u, delta, a, b, c, y, kept, last = arrays
    kernels.forward(
        u[i, :, part], delta[i, :, part], a[i % len(a), :, part], b[i], c[i],
        y[i, :, part], kept[i, :, :, part], last[i, :, part],
    )  # fmt: skip


def _backward_task(arrays: list[np.ndarray], i: int, block: int, part: slice) -> None:
    u, delta, a, b, c, kept, dy, du, ddelta, da, db, dc = arrays
    kernels.backward(
        u[i, :, part], delta[i, :, part], a[i % len(a), :, part], b[i], c[i], kept[i, :, :, part], dy[i, :, part],
        du[i, :, part], ddelta[i, :, part], da[i, :, part], db[block, i], dc[block, i],
    )  # fmt: skip


class _CompiledPictureScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keep: bool, x: Tensor, *tensors: Tensor) -> Tensor:
        count, height, width, channels = x.shape
        pixels = x.detach().contiguous().view(count, height * width, channels)
        parameters, to_steps, bias, a = (t.detach().contiguous() for t in tensors)
        parameters = parameters.flatten(1, 2)
        y = torch.empty_like(pixels)
        kept = x.new_empty(count, len(a), _stretches(height * width, keep), a.shape[1], channels)
        arrays = [t.numpy() for t in (pixels, parameters, to_steps, bias, a, y, kept)]
        _run(_forward_picture_task(height), arrays, count, channels)
        ctx.height = height
        ctx.save_for_backward(pixels, parameters, to_steps, bias, a, kept)
        return y.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        pixels, parameters, to_steps, bias, a, kept = ctx.saved_tensors
        count, _, channels = pixels.shape
        blocks = len(list(_blocks(count, channels)))
        dx = torch.empty_like(pixels)
        dparameters = parameters.new_empty(blocks, *parameters.shape)
        per_picture = [t.new_empty(count, *t.shape) for t in (to_steps, bias, a)]
        tensors = (pixels, parameters, to_steps, bias, a, kept, dy.contiguous().view(dx.shape), dx, dparameters)
        _run(_backward_picture_task(ctx.height), [t.numpy() for t in (*tensors, *per_picture)], count, channels)
        dparameters = _summed(dparameters).unflatten(1, dy.shape[1:3])
        return None, dx.view(dy.shape), dparameters, *(t.sum(0) for t in per_picture)


def _forward_picture_task(height: int) -> Callable[..., None]:
    """The task for pictures of this height."""

    def task(arrays: list[np.ndarray], i: int, block: int, part: slice) -> None:
        x, parameters, to_steps, bias, a, y, kept = arrays
        kernels.forward_picture(
            x[i, :, part], parameters[i], to_steps[..., part], bias[..., part], a[..., part], height,
            y[i, :, part], kept[i, ..., part],
        )  # fmt: skip

    return task


def _backward_picture_task(height: int) -> Callable[..., None]:
    """The task for pictures of this height."""

    def task(arrays: list[np.ndarray], i: int, block: int, part: slice) -> None:
        x, parameters, to_steps, bias, a, kept, dy, dx, dparameters, dto_steps, dbias, da = arrays
        kernels.backward_picture(
            x[i, :, part], parameters[i], to_steps[..., part], bias[..., part], a[..., part], height,
            kept[i, ..., part], dy[i, :, part], dx[i, :, part], dparameters[block, i],
            dto_steps[i, ..., part], dbias[i, ..., part], da[i, ..., part],
        )  # fmt: skip

    return task


def _stretches(length: int, keep: bool) -> int:
    """How many states to keep: none where no gradient will be asked for."""
    return -(-length // kernels.KEEP) if keep else 0


def _summed(parts: Tensor) -> Tensor:
    """What the blocks of channels found, together."""
    return parts[0] if len(parts) == 1 else parts.sum(0)


def _blocks(sequences: int, channels: int) -> Iterator[slice]:
    """Channels in as few blocks as keep every thread busy: each block reads ``b`` and ``c`` again."""
    wanted = max(1, -(-2 * torch.get_num_threads() // sequences)) if torch.get_num_threads() > 1 else 1
    size = min(max(_BLOCK, -(-channels // wanted // _BLOCK) * _BLOCK), _LARGEST_BLOCK)
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
    return _CompiledScan.apply(torch.is_grad_enabled(), u, delta, a, b, c)


def compiled_picture_scan(x: Tensor, parameters: Tensor, to_steps: Tensor, bias: Tensor, a: Tensor) -> Tensor:
    """The four-direction scan of pictures, without the skip, its outputs summed; float32 or float64 in main memory.

    Args:
        x: (N, H, W, channels).
        parameters: (N, H, W, directions, rank + 2 state): step sizes before their projection, b and c.
        to_steps: (directions, rank, channels).
        bias: (directions, channels).
        a: (directions, state, channels), negative.

    Returns:
        (N, H, W, channels).
    """
    return _CompiledPictureScan.apply(torch.is_grad_enabled(), x, parameters, to_steps, bias, a)
