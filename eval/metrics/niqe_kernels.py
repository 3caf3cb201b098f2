"""The inner loops of NIQE: from one row of blocks to the sums its features are made of.

A picture is walked a row of blocks at a time, and a block a row of pixels at a time: seven rows and the block's own
coefficients are all that is buffered, so the working set stays in the processor's second cache at any picture size.
Where NIQE decides on the sign of a rounding residue the order of additions is fixed: columns, then rows, nearest pairs
first, nothing fused.
"""

from __future__ import annotations

import numpy as np

from compiled import SUM, compiled

_RADIUS = 3
_TAPS = 2 * _RADIUS + 1
HALVES = 65536.0
"""What the sums of :func:`halve` are to be divided by."""


@compiled()
def rounded_weighted_sum(rgb: np.ndarray, width: int, red: float, green: float, blue: float) -> np.ndarray:
    """``red R + green G + blue B`` of the first ``width`` pixels of each row, halves rounded up; uint8."""
    height = rgb.shape[0]
    plane = np.empty((height, width), np.uint8)
    for i in range(height):
        source, row = rgb[i], plane[i]
        for j in range(width):
            row[j] = np.uint8(red * source[j, 0] + green * source[j, 1] + blue * source[j, 2] + 0.5)
    return plane


@compiled()
def halve(plane: np.ndarray) -> np.ndarray:
    """65536 times MATLAB's ``imresize(plane, 0.5)`` of an even-sided uint8 plane, as int32 and so without rounding.

    Bicubic with antialiasing at half size has eight taps, all multiples of 1/256; borders are mirrored.
    """
    height, width = plane.shape
    out = np.empty((height // 2, width // 2), np.int32)
    down = np.empty(width + 6, np.int32)
    rows = np.empty(8, np.int64)
    for i in range(height // 2):
        for t in range(8):
            r = 2 * i - 3 + t
            rows[t] = -1 - r if r < 0 else (2 * height - 1 - r if r >= height else r)
        r0, r1, r2, r3 = plane[rows[0]], plane[rows[1]], plane[rows[2]], plane[rows[3]]
        r4, r5, r6, r7 = plane[rows[4]], plane[rows[5]], plane[rows[6]], plane[rows[7]]
        inner, row = down[3:], out[i]
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
            row[j] = (
                111 * (down[c + 3] + down[c + 4])
                + 29 * (down[c + 2] + down[c + 5])
                - 9 * (down[c + 1] + down[c + 6])
                - 3 * (down[c] + down[c + 7])
            )
    return out


@compiled(within=True)
def _take_row(plane: np.ndarray, i: int, left: int, scale: float, values: np.ndarray, squares: np.ndarray) -> None:
    """A piece of a row and its squares; pixels beyond the plane repeat its edge."""
    height, width = plane.shape
    count = values.shape[0]
    source = plane[min(max(i, 0), height - 1)]
    if left >= 0 and left + count <= width:
        inside = source[left : left + count]
        for j in range(count):
            values[j] = inside[j] * scale
    else:
        for j in range(count):
            values[j] = source[min(max(left + j, 0), width - 1)] * scale
    for j in range(count):
        squares[j] = values[j] * values[j]


@compiled(within=True)
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


@compiled(within=True)
def _normalise(centre: np.ndarray, mean: np.ndarray, deviation: np.ndarray, out: np.ndarray, count: int) -> None:
    """(x - μ) / (σ + 1); ``deviation`` comes as E[x²] and is left as σ."""
    for j in range(count):
        deviation[j] = np.sqrt(np.abs(deviation[j] - mean[j] * mean[j]))
    for j in range(count):
        out[j] = (centre[j] - mean[j]) / (deviation[j] + 1.0)


@compiled(SUM, within=True)
def _sum(values: np.ndarray, count: int) -> float:
    total = 0.0
    for j in range(count):
        total += values[j]
    return total


@compiled(SUM, within=True)
def _signed_sums(a: np.ndarray, b: np.ndarray, count: int, sums: np.ndarray) -> None:
    """The sums the AGGD fit needs of the products a b: negatives, positives, their squares, absolute values."""
    negatives = positives = negative_squares = positive_squares = absolute = 0.0
    for j in range(count):
        v = a[j] * b[j]
        square = v * v
        negatives += 1.0 if v < 0.0 else 0.0
        positives += 1.0 if v > 0.0 else 0.0
        negative_squares += square if v < 0.0 else 0.0
        positive_squares += square if v > 0.0 else 0.0
        absolute += abs(v)
    sums[0] = negatives
    sums[1] = positives
    sums[2] = negative_squares
    sums[3] = positive_squares
    sums[4] = absolute


@compiled()
def block_statistics(
    plane: np.ndarray, top: int, side: int, scale: float, w: np.ndarray, sums: np.ndarray, sharpness: np.ndarray
) -> None:
    """Sums of the MSCN coefficients, and of their products with four neighbours, of each block of one row of blocks.

    Args:
        plane: Grey rows, at least the blocks' own and what of the three above and below exists in the picture.
        top: First row of the blocks in ``plane``.
        side: Side of a block; the width of ``plane`` is a multiple of it.
        scale: What a sample is multiplied by: 1, or 1/65536 for :func:`halve`'s integers (a power of two: exact).
        w: Profile of the 7x7 Gaussian along one axis.
        sums: Out, ``(blocks, 5, 5)``: coefficients, then products with the neighbours at (0,1), (1,0), (1,1), (1,-1),
            neighbours wrapping around inside the block; for each the count below zero, the count above, both sums of
            squares, the sum of absolute values.
        sharpness: Out, ``(blocks,)``: mean local deviation.
    """
    wide, stride, count = side + 16, side + 2, side * (side + 2)  # sixteen, not six: only whole vectors
    ring = np.empty((2, _TAPS, wide))  # the rows a Gaussian looks at, and their squares
    down = np.empty(wide)
    mean, deviation = np.empty(side), np.empty(side)
    # The block's coefficients twice, a row being `stride` samples long: between zeros, so that what they are multiplied
    # with there does not count, and as neighbours, each row between its own last and first, the last row on top as
    # well. So each product is one long loop over both, shifted.
    here, ones = np.zeros(count), np.ones(count)
    around = np.zeros(count + stride + 2)
    for block in range(plane.shape[1] // side):
        left = block * side - _RADIUS
        deviations = 0.0
        for i in range(_TAPS - 1):
            _take_row(plane, top + i - _RADIUS, left, scale, ring[0, i], ring[1, i])
        for i in range(side):
            newest = (i + _TAPS - 1) % _TAPS
            _take_row(plane, top + i + _RADIUS, left, scale, ring[0, newest], ring[1, newest])
            for q in range(2):
                r = ring[q]
                r0, r1, r2, r3 = r[i % _TAPS], r[(i + 1) % _TAPS], r[(i + 2) % _TAPS], r[(i + 3) % _TAPS]
                r4, r5, r6 = r[(i + 4) % _TAPS], r[(i + 5) % _TAPS], r[newest]
                _seven(r0, r1, r2, r3, r4, r5, r6, w, down, wide)
                out = mean if q == 0 else deviation
                _seven(down, down[1:], down[2:], down[3:], down[4:], down[5:], down[6:], w, out, side)
            row, copy = here[i * stride + 1 :], around[(i + 1) * stride + 1 :]
            _normalise(ring[0, (i + _RADIUS) % _TAPS, _RADIUS:], mean, deviation, row, side)
            deviations += _sum(deviation, side)
            copy[0], copy[side + 1] = row[side - 1], row[0]
            for j in range(side):
                copy[j + 1] = row[j]
        for j in range(1, stride + 1):
            around[j] = around[side * stride + j]
        sharpness[block] = deviations / (side * side)
        _signed_sums(here, ones, count, sums[block, 0])
        _signed_sums(here, around[stride:], count, sums[block, 1])
        _signed_sums(here, around[1:], count, sums[block, 2])
        _signed_sums(here, around, count, sums[block, 3])
        _signed_sums(here, around[2:], count, sums[block, 4])
