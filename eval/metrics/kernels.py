"""The inner loops, compiled by numba and kept on disk after the first use.

All of them are sequential, work in float64 (integers where samples are integers), hold no global state and release
the interpreter lock, so a value does not depend on how many pictures, threads or workers are in flight. Nothing larger
than a few rows or one block is buffered: the working set stays in the processor's cache at any picture size.

Only ``contract`` (fused multiply-add) and, inside one sum, reassociation are allowed to the compiler, and neither where
NIQE decides on the sign of a rounding residue.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

_FUSED = {"contract"}
_SUM = {"contract", "reassoc", "nsz"}
_CHUNK = 2048  # samples of a row that are taken down the picture together: twelve such rows of four maps fit in L2
_RADIUS = 5
_RING = 2 * _RADIUS + 2  # rows a pair of output rows looks at


def _compiled(fastmath: bool | set[str] = False) -> Callable[[Callable], Callable]:
    # error_model="numpy": Python's check for division by zero would keep loops from being vectorised.
    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}

    def decorate(function: Callable) -> Callable:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # a read-only installation without a home: there is no folder to keep machine code in
            return njit(**options)(function)

    return decorate


@_compiled()
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


@_compiled(_SUM)
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


@_compiled()
def weighted_sum(rgb: np.ndarray, red: float, green: float, blue: float, offset: float) -> np.ndarray:
    """``offset + red R + green G + blue B`` of an (H, W, 3) array, float64 (H, W)."""
    height, width = rgb.shape[0], rgb.shape[1]
    plane = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            plane[i, j] = offset + (red * rgb[i, j, 0] + green * rgb[i, j, 1] + blue * rgb[i, j, 2])
    return plane


@_compiled()
def rounded_weighted_sum(rgb: np.ndarray, red: float, green: float, blue: float) -> np.ndarray:
    """``red R + green G + blue B`` of an (H, W, 3) uint8 array, halves rounded up, uint8 (H, W)."""
    height, width = rgb.shape[0], rgb.shape[1]
    plane = np.empty((height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            plane[i, j] = np.uint8(red * rgb[i, j, 0] + green * rgb[i, j, 1] + blue * rgb[i, j, 2] + 0.5)
    return plane


@_compiled(_FUSED)
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


@_compiled(_FUSED)
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


@_compiled(_FUSED)
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


@_compiled(_SUM)
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


@_compiled()
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


@_compiled(_FUSED)
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


@_compiled()
def halve(plane: np.ndarray) -> np.ndarray:
    """MATLAB's ``imresize(plane, 0.5)`` of an even-sided uint8 plane, without rounding error.

    Bicubic with antialiasing at half size has eight taps, all multiples of 1/256, so 32-bit integers hold the sums.
    """
    height, width = plane.shape
    out = np.empty((height // 2, width // 2))
    down = np.empty(width + 6, np.int32)
    rows = np.empty(8, np.int64)
    for i in range(height // 2):
        for t in range(8):
            r = 2 * i - 3 + t
            rows[t] = -1 - r if r < 0 else (2 * height - 1 - r if r >= height else r)
        r0, r1, r2, r3 = plane[rows[0]], plane[rows[1]], plane[rows[2]], plane[rows[3]]
        r4, r5, r6, r7 = plane[rows[4]], plane[rows[5]], plane[rows[6]], plane[rows[7]]
        inner = down[3:]
        for j in range(width):
            inner[j] = (
                111 * (np.int32(r3[j]) + np.int32(r4[j]))
                + 29 * (np.int32(r2[j]) + np.int32(r5[j]))
                - 9 * (np.int32(r1[j]) + np.int32(r6[j]))
                - 3 * (np.int32(r0[j]) + np.int32(r7[j]))
            )
        for k in range(3):
            down[2 - k] = down[3 + k]
            down[width + 3 + k] = down[width + 2 - k]
        for j in range(width // 2):
            c = 2 * j
            total = (
                111 * (down[c + 3] + down[c + 4])
                + 29 * (down[c + 2] + down[c + 5])
                - 9 * (down[c + 1] + down[c + 6])
                - 3 * (down[c] + down[c + 7])
            )
            out[i, j] = total / 65536.0
    return out


@_compiled()
def _seven(
    r0: np.ndarray,
    r1: np.ndarray,
    r2: np.ndarray,
    r3: np.ndarray,
    r4: np.ndarray,
    r5: np.ndarray,
    r6: np.ndarray,
    w: np.ndarray,
    out: np.ndarray,
    count: int,
) -> None:
    """Symmetric weighted sum of seven rows (or of one row at seven offsets)."""
    w0, w1, w2, w3 = w[3], w[4], w[5], w[6]
    for j in range(count):
        out[j] = w0 * r3[j] + w1 * (r2[j] + r4[j]) + w2 * (r1[j] + r5[j]) + w3 * (r0[j] + r6[j])


@_compiled()
def _normalise_block(
    plane: np.ndarray, top: int, left: int, w: np.ndarray, values: np.ndarray, lines: np.ndarray, out: np.ndarray
) -> float:
    """MSCN coefficients of one square block into ``out``; returns the mean local deviation (its sharpness).

    ``values`` (2, n+6, n+6) and ``lines`` (4, n+6) are scratch. Pixels beyond the plane repeat its edge; pixels beyond
    the block but inside the plane are the real ones.
    """
    height, width = plane.shape
    n = out.shape[0]
    wide = n + 6
    raw, squares = values[0], values[1]
    for i in range(wide):
        source = plane[min(max(top + i - 3, 0), height - 1)]
        if left >= 3 and left + n + 3 <= width:
            for j in range(wide):
                raw[i, j] = source[left - 3 + j]
        else:
            for j in range(wide):
                raw[i, j] = source[min(max(left - 3 + j, 0), width - 1)]
        for j in range(wide):
            squares[i, j] = raw[i, j] * raw[i, j]
    sharpness = 0.0
    for i in range(n):
        for q in range(2):
            v = values[q]
            down = lines[q]
            _seven(v[i], v[i + 1], v[i + 2], v[i + 3], v[i + 4], v[i + 5], v[i + 6], w, down, wide)
            _seven(down, down[1:], down[2:], down[3:], down[4:], down[5:], down[6:], w, lines[2 + q], n)
        mean, deviation, centre = lines[2], lines[3], raw[i + 3]
        for j in range(n):
            deviation[j] = np.sqrt(np.abs(deviation[j] - mean[j] * mean[j]))
            out[i, j] = (centre[j + 3] - mean[j]) / (deviation[j] + 1.0)
        for j in range(n):
            sharpness += deviation[j]
    return sharpness / (n * n)


@_compiled(_SUM)
def _add_signed_sums(a: np.ndarray, b: np.ndarray, count: int, sums: np.ndarray) -> None:
    """Add the sums the AGGD fit needs of the products a b: negatives, positives, their squares, absolute values."""
    negatives = positives = negative_squares = positive_squares = absolute = 0.0
    for j in range(count):
        v = a[j] * b[j]
        square = v * v
        negatives += 1.0 if v < 0.0 else 0.0
        positives += 1.0 if v > 0.0 else 0.0
        negative_squares += square if v < 0.0 else 0.0
        positive_squares += square if v > 0.0 else 0.0
        absolute += abs(v)
    sums[0] += negatives
    sums[1] += positives
    sums[2] += negative_squares
    sums[3] += positive_squares
    sums[4] += absolute


@_compiled()
def block_statistics(plane: np.ndarray, side: int, w: np.ndarray, sums: np.ndarray, sharpness: np.ndarray) -> None:
    """Sums of the MSCN coefficients and of their four neighbour products, block by block.

    Args:
        plane: Grey plane; sides are multiples of ``side``.
        side: Side of a block.
        w: Profile of the 7x7 Gaussian along one axis.
        sums: Out, ``(blocks, 5, 5)``: coefficients, then products with the neighbours at (0,1), (1,0), (1,1), (1,-1);
            for each the count below zero, the count above, both sums of squares, the sum of absolute values.
        sharpness: Out, ``(blocks,)``: mean local deviation.
    """
    values = np.empty((2, side + 6, side + 6))
    lines = np.empty((4, side + 6))
    wrapped = np.empty((side, side + 2))  # the block with its last column before it and its first behind it
    ones = np.ones(side)
    block = 0
    for top in range(0, plane.shape[0] - side + 1, side):
        for left in range(0, plane.shape[1] - side + 1, side):
            inner = wrapped[:, 1 : side + 1]
            sharpness[block] = _normalise_block(plane, top, left, w, values, lines, inner)
            for i in range(side):
                wrapped[i, 0] = wrapped[i, side]
                wrapped[i, side + 1] = wrapped[i, 1]
            s = sums[block]
            s[:] = 0.0
            for i in range(side):
                here, above = wrapped[i, 1:], wrapped[(i - 1) % side]
                _add_signed_sums(here, ones, side, s[0])
                _add_signed_sums(here, wrapped[i], side, s[1])
                _add_signed_sums(here, above[1:], side, s[2])
                _add_signed_sums(here, above, side, s[3])
                _add_signed_sums(here, above[2:], side, s[4])
            block += 1
