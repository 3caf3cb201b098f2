"""Guided filter: smooth one map along the edges of another picture.

He, Sun, Tang, "Guided Image Filtering", TPAMI 2013. In every window the output is a linear function of the guide,
``q = a . I + b`` with ``(a, b)`` from ridge regression of the input ``p`` on ``I`` (eqs. 5-8; eqs. 19-21 for a colour
guide), and overlapping windows are averaged. Cost is independent of the radius: everything is a box mean.

Used to bring a coarse map (a transmission, a haze density on a patch grid) to the size and edges of a picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from errors import UsageError


def guided_filter(
    guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float, *, subsample: int = 1
) -> np.ndarray:
    """Filter ``source`` so that its edges follow those of ``guide``.

    Args:
        guide: (H,W) grey or (H,W,3) colour, float in [0,1].
        source: (H,W) map to filter, any range.
        radius: window radius in pixels (window side ``2 * radius + 1``), at least 1.
        epsilon: ridge weight in squared guide units; edges of contrast well above ``sqrt(epsilon)`` are kept.
        subsample: solve the regression on pictures reduced by this factor and enlarge ``(a, b)``
            (He and Sun, "Fast Guided Filter", 2015): about ``subsample**2`` times faster, slightly softer.

    Returns:
        float32 (H,W).

    Raises:
        UsageError: sizes differ, or radius or epsilon is not positive.

    Example:
        >>> flat = np.full((8, 8), 0.25, np.float32)
        >>> bool(np.allclose(guided_filter(np.random.rand(8, 8), flat, 2, 1e-3), 0.25, atol=1e-6))
        True
    """
    if guide.shape[:2] != source.shape or source.ndim != 2:
        raise UsageError(
            f"guided_filter expected a (H,W) source of the guide's size, got {source.shape}, {guide.shape}"
        )
    if radius < 1 or epsilon <= 0 or subsample < 1:
        raise UsageError(
            f"guided_filter needs radius >= 1, epsilon > 0 and subsample >= 1, got {radius}, {epsilon}, {subsample}"
        )
    guide = np.ascontiguousarray(guide, dtype=np.float32)
    source = np.ascontiguousarray(source, dtype=np.float32)
    if guide.ndim == 3 and guide.shape[2] == 1:
        guide = guide[..., 0]

    height, width = source.shape
    small_guide, small_source = guide, source
    if subsample > 1:
        size = (max(1, width // subsample), max(1, height // subsample))
        small_guide = cv2.resize(guide, size, interpolation=cv2.INTER_AREA)
        small_source = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
        radius = max(1, radius // subsample)

    solve = _grey_coefficients if guide.ndim == 2 else _colour_coefficients
    slope, offset = (_mean(c, radius) for c in solve(small_guide, small_source, radius, epsilon))
    if subsample > 1:
        slope = cv2.resize(slope, (width, height), interpolation=cv2.INTER_LINEAR)
        offset = cv2.resize(offset, (width, height), interpolation=cv2.INTER_LINEAR)
    product = slope * guide if guide.ndim == 2 else np.einsum("hwc,hwc->hw", slope, guide)
    return product + offset


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Box mean of a (H,W) or (H,W,C) array; borders mirror, so constants stay constant."""
    side = 2 * radius + 1
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)


def _grey_coefficients(
    guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset of every window for a grey guide (eqs. 5 and 6)."""
    mean_guide, mean_source = _mean(guide, radius), _mean(source, radius)
    variance = _mean(guide * guide, radius) - mean_guide * mean_guide
    covariance = _mean(guide * source, radius) - mean_guide * mean_source
    slope = covariance / (variance + epsilon)
    return slope, mean_source - slope * mean_guide


def _colour_coefficients(
    guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Slope (H,W,3) and offset (H,W) of every window for a colour guide (eqs. 19 and 20).

    The 3x3 systems are symmetric, so they are solved in closed form by cofactors: faster than a batched solver.
    """
    mean_guide, mean_source = _mean(guide, radius), _mean(source, radius)
    covariance = _mean(guide * source[..., None], radius) - mean_guide * mean_source[..., None]
    red, green, blue = np.moveaxis(guide, -1, 0)
    mean_red, mean_green, mean_blue = np.moveaxis(mean_guide, -1, 0)
    rr = _mean(red * red, radius) - mean_red * mean_red + epsilon
    gg = _mean(green * green, radius) - mean_green * mean_green + epsilon
    bb = _mean(blue * blue, radius) - mean_blue * mean_blue + epsilon
    rg = _mean(red * green, radius) - mean_red * mean_green
    rb = _mean(red * blue, radius) - mean_red * mean_blue
    gb = _mean(green * blue, radius) - mean_green * mean_blue

    inverse_rr, inverse_rg, inverse_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    inverse_gg, inverse_gb, inverse_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * inverse_rr + rg * inverse_rg + rb * inverse_rb
    cov_red, cov_green, cov_blue = np.moveaxis(covariance, -1, 0)
    slope = np.stack(
        [
            inverse_rr * cov_red + inverse_rg * cov_green + inverse_rb * cov_blue,
            inverse_rg * cov_red + inverse_gg * cov_green + inverse_gb * cov_blue,
            inverse_rb * cov_red + inverse_gb * cov_green + inverse_bb * cov_blue,
        ],
        axis=-1,
    )
    slope /= determinant[..., None]
    return slope, mean_source - np.einsum("hwc,hwc->hw", slope, mean_guide)
