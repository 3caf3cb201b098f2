"""The inner loops of PSNR, SSIM and colour; those of NIQE are in :mod:`eval.metrics.niqe_kernels`.

All of them are sequential, work in float64 (integers where samples are integers), hold no global state and release
the interpreter lock, so a value does not depend on how many pictures, threads or workers are in flight. Nothing larger
than a few rows or one block is buffered: the working set stays in the processor's cache at any picture size.

Only ``contract`` (fused multiply-add) and, inside one sum, reassociation are allowed to the compiler.
"""

from __future__ import annotations

import numpy as np

from compiled import FUSED, SUM, compiled

_CHUNK = 2048  # samples of a row that are taken down the picture together: twelve such rows of four maps fit in L2
_PIECE = 16384  # samples of 8 bits whose squared differences fit into 31 bits
_RADIUS = 5
_RING = 2 * _RADIUS + 2  # rows a pair of output rows looks at


@compiled()
def squared_error_bytes(x: np.ndarray, y: np.ndarray) -> int:
    """Exact sum of squared differences of two 2-D uint8 arrays: 32-bit sums of pieces that cannot overflow them."""
    total = np.int64(0)
    for i in range(x.shape[0]):
        for start in range(0, x.shape[1], _PIECE):
            a, b = x[i, start : start + _PIECE], y[i, start : start + _PIECE]
            part = np.int32(0)
            for j in range(a.shape[0]):
                # The casts are for the compiler, which would count in 64 bits: a quarter of the lanes.
                difference = np.int16(np.int16(a[j]) - np.int16(b[j]))
                part = np.int32(part + np.int32(np.int32(difference) * np.int32(difference)))
            total += part
    return total


@compiled()
def squared_error_integers(x: np.ndarray, y: np.ndarray) -> int:
    """Exact sum of squared differences of two 2-D integer arrays."""
    total = np.int64(0)
    for i in range(x.shape[0]):
        row = np.int64(0)
        for j in range(x.shape[1]):
            difference = np.int64(x[i, j]) - np.int64(y[i, j])
            row += difference * difference
        total += row
    return total


@compiled(SUM)
def squared_error_floats(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of squared differences of two 2-D arrays, row sums first."""
    total = 0.0
    for i in range(x.shape[0]):
        row = 0.0
        for j in range(x.shape[1]):
            difference = np.float64(x[i, j]) - np.float64(y[i, j])
            row += difference * difference
        total += row
    return total


@compiled()
def weighted_sum(rgb: np.ndarray, red: float, green: float, blue: float, offset: float) -> np.ndarray:
    """``offset + red R + green G + blue B`` of an (H, W, 3) array, float64 (H, W)."""
    height, width = rgb.shape[0], rgb.shape[1]
    plane = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            plane[i, j] = offset + (red * rgb[i, j, 0] + green * rgb[i, j, 1] + blue * rgb[i, j, 2])
    return plane


@compiled(FUSED, within=True)
def _moments(
    x: np.ndarray, y: np.ndarray, i: int, start: int, stop: int, ring: np.ndarray, slot: int, offset: int
) -> None:
    """Samples ``start:stop`` of row ``i`` to the four maps SSIM filters: x, y, x² + y², x y. Zeros outside."""
    if i < 0 or i >= x.shape[0]:
        ring[slot] = 0.0
        return
    if start < 0 or stop > x.shape[1]:
        ring[slot] = 0.0
        offset -= min(start, 0)
        start, stop = max(start, 0), min(stop, x.shape[1])
    row_x, row_y = x[i, start:stop], y[i, start:stop]
    first, second = ring[slot, 0, offset:], ring[slot, 1, offset:]
    squares, product = ring[slot, 2, offset:], ring[slot, 3, offset:]
    for j in range(stop - start):
        a, b = np.float64(row_x[j]), np.float64(row_y[j])
        first[j] = a
        second[j] = b
        squares[j] = a * a + b * b
        product[j] = a * b


@compiled(FUSED, within=True)
def _down(ring: np.ndarray, q: int, oldest: int, w: np.ndarray, upper: np.ndarray, lower: np.ndarray, n: int) -> None:
    """Eleven taps down map ``q``, for two output rows at once: they share ten of their twelve input rows."""
    a0, a1, a2 = ring[oldest % _RING, q], ring[(oldest + 1) % _RING, q], ring[(oldest + 2) % _RING, q]
    a3, a4, a5 = ring[(oldest + 3) % _RING, q], ring[(oldest + 4) % _RING, q], ring[(oldest + 5) % _RING, q]
    a6, a7, a8 = ring[(oldest + 6) % _RING, q], ring[(oldest + 7) % _RING, q], ring[(oldest + 8) % _RING, q]
    a9, a10, a11 = ring[(oldest + 9) % _RING, q], ring[(oldest + 10) % _RING, q], ring[(oldest + 11) % _RING, q]
    w0, w1, w2, w3, w4, w5 = w[5], w[6], w[7], w[8], w[9], w[10]
    for j in range(n):
        b1, b2, b3, b4, b5 = a1[j], a2[j], a3[j], a4[j], a5[j]
        b6, b7, b8, b9, b10 = a6[j], a7[j], a8[j], a9[j], a10[j]
        upper[j] = w0 * b5 + w1 * (b4 + b6) + w2 * (b3 + b7) + w3 * (b2 + b8) + w4 * (b1 + b9) + w5 * (a0[j] + b10)
        lower[j] = w0 * b6 + w1 * (b5 + b7) + w2 * (b4 + b8) + w3 * (b3 + b9) + w4 * (b2 + b10) + w5 * (b1 + a11[j])


@compiled(FUSED, within=True)
def _across(row: np.ndarray, step: int, w: np.ndarray, out: np.ndarray, n: int) -> None:
    """Eleven taps along a row, ``step`` samples apart."""
    a0, a1, a2, a3 = row, row[step:], row[2 * step :], row[3 * step :]
    a4, a5, a6, a7 = row[4 * step :], row[5 * step :], row[6 * step :], row[7 * step :]
    a8, a9, a10 = row[8 * step :], row[9 * step :], row[10 * step :]
    w0, w1, w2, w3, w4, w5 = w[5], w[6], w[7], w[8], w[9], w[10]
    for j in range(n):
        out[j] = (
            w0 * a5[j]
            + w1 * (a4[j] + a6[j])
            + w2 * (a3[j] + a7[j])
            + w3 * (a2[j] + a8[j])
            + w4 * (a1[j] + a9[j])
            + w5 * (a0[j] + a10[j])
        )


@compiled(SUM, within=True)
def _similarity(maps: np.ndarray, n: int, c1: float, c2: float, normalisation: float) -> float:
    """Sum of SSIM along one row of filtered maps (μx, μy, E[x² + y²], E[xy])."""
    total = 0.0
    for j in range(n):
        a, b = maps[0, j], maps[1, j]
        product, squares = a * b, a * a + b * b
        covariance = normalisation * (maps[3, j] - product)
        variances = normalisation * (maps[2, j] - squares)
        total += ((2.0 * product + c1) * (2.0 * covariance + c2)) / ((squares + c1) * (variances + c2))
    return total


@compiled()
def ssim_sum(
    x: np.ndarray,
    y: np.ndarray,
    channels: int,
    weights: np.ndarray,
    padding: int,
    c1: float,
    c2: float,
    normalisation: float,
) -> float:
    """Sum of SSIM over all windows of two pictures, for windows of at most eleven pixels.

    A column of the picture, ``_CHUNK`` samples wide, is walked down with a ring of twelve rows; every two rows the
    four maps are filtered down, then across, and the index is summed.

    Args:
        x: ``(H, W * channels)``, channels interleaved: neighbours in a row are ``channels`` samples apart.
        y: Same.
        channels: Samples a pixel.
        weights: Window profile along one axis, odd length, symmetric, sum one.
        padding: Zeros assumed beyond each border: 0, or the radius of the window.
        c1: Stabiliser of the means.
        c2: Stabiliser of the variances.
        normalisation: Factor on variances and covariance.
    """
    # A shorter window is an eleven-tap one with zero weights outside, which are given zeros to multiply.
    radius = weights.shape[0] // 2
    w = np.zeros(2 * _RADIUS + 1)
    w[_RADIUS - radius : _RADIUS + radius + 1] = weights
    padding += _RADIUS - radius
    height, samples = x.shape
    rows = height + 2 * (padding - _RADIUS)
    halo = 2 * _RADIUS * channels
    width = samples + 2 * padding * channels - halo
    ring = np.empty((_RING, 4, _CHUNK + halo))
    down = np.empty((2, _CHUNK + halo))
    maps = np.empty((2, 4, _CHUNK))
    total = 0.0
    for left in range(0, width, _CHUNK):
        n = min(_CHUNK, width - left)
        start = left - padding * channels
        stop = start + n + halo
        for i in range(2 * _RADIUS):
            _moments(x, y, i - padding, start, stop, ring, i, 0)
        for top in range(0, rows, 2):
            for i in range(top + 2 * _RADIUS, top + _RING):
                _moments(x, y, i - padding, start, stop, ring, i % _RING, 0)
            for q in range(4):
                _down(ring, q, top, w, down[0], down[1], n + halo)
                _across(down[0], channels, w, maps[0, q], n)
                _across(down[1], channels, w, maps[1, q], n)
            total += _similarity(maps[0], n, c1, c2, normalisation)
            if top + 1 < rows:
                total += _similarity(maps[1], n, c1, c2, normalisation)
    return total


@compiled(FUSED)
def ssim_sum_wide(
    x: np.ndarray,
    y: np.ndarray,
    channels: int,
    weights: np.ndarray,
    padding: int,
    c1: float,
    c2: float,
    normalisation: float,
) -> float:
    """As :func:`ssim_sum` for windows of any size: plain loops over the taps, several times slower."""
    taps = weights.shape[0]
    height, samples = x.shape
    rows = height + 2 * padding - taps + 1
    halo = (taps - 1) * channels
    n = samples + 2 * padding * channels - halo
    ring = np.empty((taps, 4, n + halo))
    down = np.empty(n + halo)
    maps = np.empty((4, n))
    total = 0.0
    for i in range(rows + taps - 1):
        _moments(x, y, i - padding, -padding * channels, samples + padding * channels, ring, i % taps, 0)
        if i < taps - 1:
            continue
        for q in range(4):
            down[:] = 0.0
            for k in range(taps):
                weight, row = weights[k], ring[(i + 1 + k) % taps, q]
                for j in range(n + halo):
                    down[j] += weight * row[j]
            out = maps[q]
            out[:] = 0.0
            for k in range(taps):
                weight, row = weights[k], down[k * channels :]
                for j in range(n):
                    out[j] += weight * row[j]
        total += _similarity(maps, n, c1, c2, normalisation)
    return total
