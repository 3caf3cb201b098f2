"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

import numpy as np

from errors import MetricError


def psnr(output: np.ndarray, reference: np.ndarray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in decibels, over all pixels and channels jointly.

    PSNR = 10 log10(peak² / MSE)

    Args:
        output: ``(H, W)`` or ``(H, W, C)``, any real dtype.
        reference: Same shape.
        peak: Largest possible value of a sample: 255 for 8 bits, 1 for floats in [0, 1].

    Returns:
        Decibels; infinity when the two are identical.

    Raises:
        MetricError: The shapes differ, nothing is there, or a sample is not finite.

    Example:
        >>> round(psnr(np.full((4, 4), 10, np.uint8), np.full((4, 4), 20, np.uint8)), 4)
        28.1308
    """
    total, count = squared_error(output, reference)
    return psnr_from_sums(total, count, peak)


def squared_error(output: np.ndarray, reference: np.ndarray) -> tuple[float, int]:
    """Sum of squared differences and number of samples: what tiles or shards add up before the logarithm.

    Integer samples are summed exactly, floats in float64.

    Raises:
        MetricError: The shapes differ, nothing is there, or a sample is not finite.
    """
    check_pair(output, reference)
    from eval.metrics import kernels

    x, y = rows(output), rows(reference)
    sums = {np.uint8: kernels.squared_error_bytes, np.uint16: kernels.squared_error_integers}
    alike = sums.get(x.dtype.type) if x.dtype == y.dtype else None
    total = float((alike or kernels.squared_error_floats)(x, y))
    if not math.isfinite(total):
        raise MetricError("The picture holds samples that are not finite (NaN or infinite); it has no PSNR.")
    return total, output.size


def psnr_from_sums(total: float, count: int, peak: float = 255.0) -> float:
    """Decibels from a sum of squared differences over ``count`` samples."""
    return math.inf if total == 0.0 else 10.0 * math.log10(peak * peak * count / total)


def rows(image: np.ndarray) -> np.ndarray:
    """A picture as the compiled loops take it: ``(H, W * C)``, contiguous, read-only, unsigned integers or float64.

    One layout and few types, because every combination is compiled separately.
    """
    if image.dtype not in (np.uint8, np.uint16):
        image = image.astype(np.float64, copy=False)
    return frozen(np.ascontiguousarray(image).reshape(len(image), -1))


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_pair(output: np.ndarray, reference: np.ndarray) -> None:
    """Guard of every two-picture metric.

    Raises:
        MetricError: With the sentence "expected ..., got ...".
    """
    if output.ndim not in (2, 3) or output.size == 0:
        raise MetricError(f"expected a picture (H, W) or (H, W, C), got shape {output.shape}.")
    if output.shape != reference.shape:
        raise MetricError(f"expected two pictures of one shape, got {output.shape} and {reference.shape}.")
