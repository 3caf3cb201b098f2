"""The selective scan as machine code for CPUs (numba): states stay in cache, channels fill vector registers.

Time is walked in stretches of ``KEEP`` steps. For each stretch a driver gathers what the recurrence reads into small
contiguous arrays, ``advance`` or ``retreat`` does the work on them, and the driver puts the results where they belong.
There are two drivers: for sequences that lie in memory as they are, and for pictures read in four directions, where
step sizes come from a few numbers per pixel and are never held for the whole picture.

Everything is in this one file because numba looks for changes only in the file of the function that it has cached.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from compiled import SUM, compiled

KEEP = 64
"""Steps between the states that the forward pass keeps for the backward pass."""


@intrinsic
def _power_of_two(context, exponent):  # noqa: ANN001, ANN202
    """``2.0 ** exponent`` for an int32 of -126 to 127, by placing it in a float32's exponent bits."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], ir.Constant(ir.IntType(32), 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(ir.IntType(32), 23)), ir.FloatType())

    return types.float32(types.int32), build


# Functions from here on are compiled by numba, which infers types and wants no annotations.


def _fade(x):  # noqa: ANN001, ANN202
    """``exp(x)`` for x <= 0."""
    return math.exp(x)


@overload(_fade)
def _fade_overload(x):  # noqa: ANN001, ANN202
    return {types.float64: _fade, types.float32: _fade_single}.get(x)


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


def _log_one_plus(x):  # noqa: ANN001, ANN202
    """``log(1 + x)`` for x in [0, 1]."""
    return math.log1p(x)


@overload(_log_one_plus)
def _log_one_plus_overload(x):  # noqa: ANN001, ANN202
    return {types.float64: _log_one_plus, types.float32: _log_one_plus_single}.get(x)


def _log_one_plus_single(x):  # noqa: ANN001, ANN202
    """``2 artanh(x / (x + 2))``, whose series has died away to 1e-7 after the thirteenth power."""
    r = x / (x + np.float32(2.0))
    q = r * r
    p = np.float32(2.0 / 13.0)
    p = p * q + np.float32(2.0 / 11.0)
    p = p * q + np.float32(2.0 / 9.0)
    p = p * q + np.float32(2.0 / 7.0)
    p = p * q + np.float32(2.0 / 5.0)
    p = p * q + np.float32(2.0 / 3.0)
    p = p * q + np.float32(2.0)
    return p * r


@compiled(SUM, inline=True)
def _advance(u, delta, a, b, c, s, moved, total, y, count):  # noqa: ANN001, ANN202
    """Carry the states ``s`` through one stretch and write its outputs."""
    states, width = a.shape
    for t in range(count):
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


@compiled(SUM, inline=True)
def _retreat(u, delta, a, b, c, dy, count, ds, history, fades, sum_u, sum_delta, du, ddelta, da, db, dc):  # noqa: ANN001, ANN202
    """Gradients of one stretch from those of its outputs and of the states after it.

    ``history[0]`` holds the states before the stretch. ``da`` is added to, ``ds`` moves to the start of the stretch.
    """
    states, width = a.shape
    for t in range(count):
        for n in range(states):
            into = b[t, n]
            for j in range(width):
                fade = _fade(delta[t, j] * a[n, j])
                fades[t, n, j] = fade
                history[t + 1, n, j] = fade * history[t, n, j] + into * delta[t, j] * u[t, j]
    for t in range(count - 1, -1, -1):
        for j in range(width):
            sum_u[j] = 0
            sum_delta[j] = 0
        for n in range(states):
            into, out = b[t, n], c[t, n]
            for_b = u.dtype.type(0)
            for_c = u.dtype.type(0)
            for j in range(width):
                g = ds[n, j] + out * dy[t, j]
                faded = g * fades[t, n, j]
                through = faded * history[t, n, j]
                sum_delta[j] += through * a[n, j] + g * into * u[t, j]
                sum_u[j] += g * into
                da[n, j] += through * delta[t, j]
                for_b += g * delta[t, j] * u[t, j]
                for_c += dy[t, j] * history[t + 1, n, j]
                ds[n, j] = faded
            db[t, n] = for_b
            dc[t, n] = for_c
        for j in range(width):
            du[t, j] = sum_u[j] * delta[t, j]
            ddelta[t, j] = sum_delta[j]


@compiled(SUM)
def forward(u, delta, a, b, c, y, kept, last):  # noqa: ANN001, ANN201
    """One sequence, one block of channels; arrays (length, width), (state, width), (length, state).

    ``kept`` (stretches, state, width) receives the states before every stretch; with no stretches, nothing.
    """
    length, width = u.shape
    s = np.zeros(a.shape, u.dtype)
    moved = np.empty(width, u.dtype)
    total = np.empty(width, u.dtype)
    for start in range(0, length, KEEP):
        if kept.shape[0]:
            kept[start // KEEP] = s
        part = slice(start, min(start + KEEP, length))
        _advance(u[part], delta[part], a, b[part], c[part], s, moved, total, y[part], part.stop - start)
    last[:] = s


@compiled(SUM)
def backward(u, delta, a, b, c, kept, dy, du, ddelta, da, db, dc):  # noqa: ANN001, ANN201
    """Gradients of one sequence and block; ``da``, ``db``, ``dc`` are this task's own, to be summed afterwards."""
    length, width = u.shape
    history = np.empty((KEEP + 1, *a.shape), u.dtype)
    fades = np.empty((KEEP, *a.shape), u.dtype)
    ds = np.zeros(a.shape, u.dtype)
    sum_u = np.empty(width, u.dtype)
    sum_delta = np.empty(width, u.dtype)
    da[:] = 0
    for stretch in range(kept.shape[0] - 1, -1, -1):
        start = stretch * KEEP
        part = slice(start, min(start + KEEP, length))
        history[0] = kept[stretch]
        _retreat(
            u[part], delta[part], a, b[part], c[part], dy[part], part.stop - start,
            ds, history, fades, sum_u, sum_delta, du[part], ddelta[part], da, db[part], dc[part],
        )  # fmt: skip


@compiled(SUM, inline=True)
def _place(direction, t, height, length):  # noqa: ANN001, ANN202
    """Number of the pixel at step t: rows forward, columns forward, rows backward, columns backward."""
    if direction >= 2:
        t = length - 1 - t
    if direction % 2:
        return (t % height) * (length // height) + t // height
    return t


@compiled(SUM, inline=True)
def _gather(x, parameters, to_steps, bias, places, count, u, delta, slope, b, c):  # noqa: ANN001, ANN202
    """Inputs, step sizes ``softplus(to_steps . steps + bias)`` with their slope, and weights of one stretch."""
    rank, width = to_steps.shape
    states = b.shape[1]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for t in range(count):
        p = places[t]
        for n in range(states):
            b[t, n] = parameters[p, rank + n]
            c[t, n] = parameters[p, rank + states + n]
        for j in range(width):
            u[t, j] = x[p, j]
            delta[t, j] = bias[j]
        for r in range(rank):
            step = parameters[p, r]
            for j in range(width):
                delta[t, j] += step * to_steps[r, j]
        for j in range(width):
            z = delta[t, j]
            e = _fade(-abs(z))
            slope[t, j] = (one if z >= zero else e) / (one + e)
            delta[t, j] = max(z, zero) + _log_one_plus(e)


@compiled(SUM)
def forward_picture(x, parameters, to_steps, bias, a, height, y, kept):  # noqa: ANN001, ANN201
    """One picture, one block of channels, all directions, whose outputs add up.

    Arrays: x and y (pixels, width); parameters (pixels, directions, rank + 2 state); to_steps (directions, rank,
    width); bias (directions, width); a (directions, state, width); kept (directions, stretches, state, width).
    """
    length, width = x.shape
    states = a.shape[1]
    places = np.empty(KEEP, np.int64)
    u = np.empty((KEEP, width), x.dtype)
    delta = np.empty((KEEP, width), x.dtype)
    slope = np.empty((KEEP, width), x.dtype)
    outputs = np.empty((KEEP, width), x.dtype)
    b = np.empty((KEEP, states), x.dtype)
    c = np.empty((KEEP, states), x.dtype)
    s = np.empty((states, width), x.dtype)
    moved = np.empty(width, x.dtype)
    total = np.empty(width, x.dtype)
    y[:] = 0
    for k in range(a.shape[0]):
        s[:] = 0
        decay = a[k].copy()
        for start in range(0, length, KEEP):
            if kept.shape[1]:
                kept[k, start // KEEP] = s
            count = min(KEEP, length - start)
            for t in range(count):
                places[t] = _place(k, start + t, height, length)
            _gather(x, parameters[:, k], to_steps[k], bias[k], places, count, u, delta, slope, b, c)
            _advance(u, delta, decay, b, c, s, moved, total, outputs, count)
            for t in range(count):
                p = places[t]
                for j in range(width):
                    y[p, j] += outputs[t, j]


@compiled(SUM)
def backward_picture(  # noqa: ANN201
    x, parameters, to_steps, bias, a, height, kept, dy, dx, dparameters, dto_steps, dbias, da  # noqa: ANN001
):  # fmt: skip
    """Gradients of one picture and block; all but ``dx`` are this task's own, to be summed afterwards."""
    length, width = x.shape
    states, rank = a.shape[1], to_steps.shape[1]
    places = np.empty(KEEP, np.int64)
    u = np.empty((KEEP, width), x.dtype)
    delta = np.empty((KEEP, width), x.dtype)
    slope = np.empty((KEEP, width), x.dtype)
    outputs = np.empty((KEEP, width), x.dtype)
    du = np.empty((KEEP, width), x.dtype)
    ddelta = np.empty((KEEP, width), x.dtype)
    b = np.empty((KEEP, states), x.dtype)
    c = np.empty((KEEP, states), x.dtype)
    db = np.empty((KEEP, states), x.dtype)
    dc = np.empty((KEEP, states), x.dtype)
    sum_u = np.empty(width, x.dtype)
    sum_delta = np.empty(width, x.dtype)
    history = np.empty((KEEP + 1, states, width), x.dtype)
    fades = np.empty((KEEP, states, width), x.dtype)
    ds = np.empty((states, width), x.dtype)
    ddecay = np.empty((states, width), x.dtype)
    dx[:] = 0
    dto_steps[:] = 0
    dbias[:] = 0
    for k in range(a.shape[0]):
        ds[:] = 0
        ddecay[:] = 0
        decay = a[k].copy()
        for stretch in range(kept.shape[1] - 1, -1, -1):
            start = stretch * KEEP
            count = min(KEEP, length - start)
            for t in range(count):
                places[t] = _place(k, start + t, height, length)
            _gather(x, parameters[:, k], to_steps[k], bias[k], places, count, u, delta, slope, b, c)
            for t in range(count):
                p = places[t]
                for j in range(width):
                    outputs[t, j] = dy[p, j]
            history[0] = kept[k, stretch]
            _retreat(
                u, delta, decay, b, c, outputs, count, ds, history, fades, sum_u, sum_delta, du, ddelta, ddecay, db, dc
            )
            for t in range(count):
                p = places[t]
                for n in range(states):
                    dparameters[p, k, rank + n] = db[t, n]
                    dparameters[p, k, rank + states + n] = dc[t, n]
                for j in range(width):
                    dx[p, j] += du[t, j]
                    ddelta[t, j] *= slope[t, j]
                    dbias[k, j] += ddelta[t, j]
                for r in range(rank):
                    step = parameters[p, k, r]
                    share = x.dtype.type(0)
                    for j in range(width):
                        dto_steps[k, r, j] += step * ddelta[t, j]
                        share += ddelta[t, j] * to_steps[k, r, j]
                    dparameters[p, k, r] = share
        da[k] = ddecay
