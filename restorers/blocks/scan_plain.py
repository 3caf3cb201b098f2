"""The selective scan in plain PyTorch, for any device: chunks of the sequence advance side by side.

Each chunk is walked twice. First from a state of zero, which shows what it adds; then, with the states carried from
chunk to chunk, from its true start, to the outputs. A step is two operations on the states of all chunks, in place;
decays, outputs and gradients are worked out for several steps at a time. Nothing is divided by a decay, so nothing
overflows however fast states fade.

The backward pass goes through the same chunks from the end, a block of steps at a time. It keeps the states of one
step in ``STRIDE`` and computes the others again: linear memory, and no graph of thousands of small operations for
autograd to walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIDE = 16
"""Steps that the backward pass works on at a time, and between the states that the forward pass keeps."""

_NUMBERS = {"cpu": 1 << 16, "cuda": 1 << 20}
"""Numbers a thread has in the states of all chunks together: many for few operations, few enough for a core's cache."""


def plain_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`restorers.blocks.selective_scan.scan_sequences`."""
    return _PlainScan.apply(torch.is_grad_enabled(), u, delta, a, b, c)


class _PlainScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keep: bool, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        u, delta, a, b, c = (t.detach() for t in tensors)
        sequences, length, _ = u.shape
        decay = a.repeat(sequences // len(a), 1, 1)[:, None]
        ctx.chunks = chunks = _chunk_count(length, decay.numel(), u.device.type)
        d, x, b, c = (_by_time(t, chunks) for t in (delta, delta * u, b, c))
        # Shapes that broadcast to states (sequences, chunks, state, C), so that a step makes no views of its own.
        steps = [t.unbind(0) for t in (d[..., None, :], x[..., None, :], b[..., None])]
        state = u.new_zeros(sequences, chunks, *decay.shape[2:])
        fade = torch.empty_like(state)
        if chunks > 1:
            for size, move, into in zip(*steps, strict=True):
                torch.mul(size, decay, out=fade)
                state.mul_(fade.exp_()).addcmul_(move, into)
            state = _carried(state, _total_fade(d, decay))
        y = u.new_empty(len(d), sequences * chunks, 1, u.shape[2])
        weights, states, kept = c.flatten(1, 2)[:, :, None].unbind(0), state.flatten(0, 1), []
        for t, (size, move, into, out, after) in enumerate(zip(*steps, weights, y.unbind(0), strict=True)):
            if keep and t % STRIDE == 0:
                kept.append(state.clone())
            torch.mul(size, decay, out=fade)
            state.mul_(fade.exp_()).addcmul_(move, into)
            torch.bmm(out, states, out=after)
        ctx.save_for_backward(*tensors, *kept)
        last = state[:, -1]
        ctx.mark_non_differentiable(last)
        return _in_order(y.view(x.shape), length), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        u, delta, a, b, c, *kept = ctx.saved_tensors
        sequences, length, _ = u.shape
        decay = a.repeat(sequences // len(a), 1, 1)[:, None]
        d, x, b, c, dy = (_by_time(t, ctx.chunks) for t in (delta, delta * u, b, c, dy))
        after = torch.zeros_like(kept[0])  # the gradient of the states behind a step
        if ctx.chunks > 1:
            for fades, part in _blocks(d, decay, backwards=True):
                for i in range(len(fades) - 1, -1, -1):
                    t = part.start + i
                    after.addcmul_(dy[t][..., None, :], c[t][..., None]).mul_(fades[i])
            after = _carried(after.flip(1), _total_fade(d, decay).flip(1)).flip(1)
        dx, dd, db, dc = (torch.empty_like(t) for t in (x, d, b, c))
        da = torch.zeros_like(decay[:, 0])
        history = u.new_empty(STRIDE + 1, *after.shape)
        grads = u.new_empty(STRIDE, *after.shape)
        for fades, part in _blocks(d, decay, backwards=True):
            count = len(fades)
            history[0] = kept[part.start // STRIDE]
            _walk(history[0], fades, x[part], b[part], history[1 : count + 1])
            for i in range(count - 1, -1, -1):
                t = part.start + i
                torch.addcmul(after, dy[t][..., None, :], c[t][..., None], out=grads[i])
                torch.mul(grads[i], fades[i], out=after)
            g = grads[:count]
            dc[part] = _over_channels(history[1 : count + 1], dy[part])
            db[part] = _over_channels(g, x[part])
            dx[part] = _over_states(b[part], g)
            through = fades.mul_(g).mul_(history[:count])
            dd[part] = (through * decay).sum(-2)
            da += (through * d[part][..., None, :]).sum((0, 2))
        dx, dd, db, dc = (_in_order(t, length) for t in (dx, dd, db, dc))
        return None, dx * delta, dd + dx * u, da.view(-1, *a.shape).sum(0), db, dc


def _chunk_count(length: int, numbers: int, device: str) -> int:
    """As many chunks as make the states of all of them a good size, and none shorter than a stride."""
    threads = torch.get_num_threads() if device == "cpu" else 1
    return max(1, min(_NUMBERS.get(device, 1 << 20) * threads // numbers, -(-length // STRIDE)))


def _by_time(t: Tensor, chunks: int) -> Tensor:
    """(sequences, length, C) to (steps, sequences, chunks, C); added steps have size zero and change nothing."""
    missing = -t.shape[1] % chunks
    if missing:
        t = F.pad(t, (0, 0, 0, missing))
    return t.unflatten(1, (chunks, -1)).permute(2, 0, 1, 3).contiguous()


def _in_order(t: Tensor, length: int) -> Tensor:
    """The inverse of ``_by_time``."""
    return t.permute(1, 2, 0, 3).flatten(1, 2)[:, :length]


def _blocks(d: Tensor, decay: Tensor, *, backwards: bool = False) -> Iterator[tuple[Tensor, slice]]:
    """Decays (steps, sequences, chunks, state, C) of STRIDE steps at a time, in memory that the next block reuses."""
    starts = range(0, len(d), STRIDE)
    room = d.new_empty(min(STRIDE, len(d)), *d.shape[1:3], *decay.shape[2:])
    for start in reversed(starts) if backwards else starts:
        part = slice(start, min(start + STRIDE, len(d)))
        yield torch.mul(d[part][..., None, :], decay, out=room[: part.stop - start]).exp_(), part


def _walk(state: Tensor, fades: Tensor, x: Tensor, b: Tensor, history: Tensor) -> Tensor:
    """Write the states after each step into ``history``; returns the last."""
    for fade, move, into, after in zip(fades, x.unbind(0), b.unbind(0), history.unbind(0), strict=True):
        state = torch.mul(state, fade, out=after).addcmul_(move[..., None, :], into[..., None])
    return state


def _total_fade(d: Tensor, decay: Tensor) -> Tensor:
    """How far each chunk lets a state at its start fade (sequences, chunks, state, C)."""
    return torch.mul(d.sum(0)[..., None, :], decay).exp_()


def _carried(gained: Tensor, faded: Tensor) -> Tensor:
    """What each chunk starts from, given what each adds to a state of zero."""
    starts = torch.zeros_like(gained)
    for i in range(1, gained.shape[1]):
        torch.addcmul(gained[:, i - 1], faded[:, i - 1], starts[:, i - 1], out=starts[:, i])
    return starts


def _over_states(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over states of weights (..., state) times states (..., state, C)."""
    product = torch.bmm(weights.flatten(0, 2)[:, None], states.flatten(0, 2))
    return product[:, 0].unflatten(0, weights.shape[:3])


def _over_channels(states: Tensor, weights: Tensor) -> Tensor:
    """Sum over channels of states (..., state, C) times weights (..., C)."""
    product = torch.bmm(states.flatten(0, 2), weights.flatten(0, 2)[..., None])
    return product[..., 0].unflatten(0, weights.shape[:3])
