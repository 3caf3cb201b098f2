"""Structural similarity.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
IEEE Transactions on Image Processing 13(4), 2004.

One paper, many numbers: the window, its border, the normalisation of the variance and a shrinking beforehand all
change the value, so they are data (:class:`SsimWindow`) and travel with the protocol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from errors import MetricError
from eval.metrics.psnr import check_pair, rows


@dataclass(frozen=True)
class SsimWindow:
    """How SSIM looks at a neighbourhood.

    Attributes:
        shape: ``"gaussian"`` weights or ``"uniform"``.
        size: Side of the window, odd.
        sigma: Standard deviation of the Gaussian, in pixels.
        border: ``"valid"`` averages over windows that lie inside the picture; ``"zero"`` over one window a pixel, with
            zeros outside, as the small PyTorch file does that many dehazing codes share.
        pooling: ``"none"``, or ``"adaptive"``: average pooling by max(1, round(min(H, W) / 256)) beforehand.
        sample_covariance: Divide variances by n - 1 in place of n (scikit-image's default).
        k1: Constant of the luminance term.
        k2: Constant of the contrast term.
    """

    shape: Literal["gaussian", "uniform"] = "gaussian"
    size: int = 11
    sigma: float = 1.5
    border: Literal["valid", "zero"] = "valid"
    pooling: Literal["none", "adaptive"] = "none"
    sample_covariance: bool = False
    k1: float = 0.01
    k2: float = 0.03

    def __post_init__(self) -> None:
        numbers = isinstance(self.size, int) and all(isinstance(n, int | float) for n in (self.sigma, self.k1, self.k2))
        if not (numbers and isinstance(self.sample_covariance, bool)):
            raise MetricError(f"An SSIM window is a whole size, three numbers and a choice; got {self}.")
        if self.shape not in ("gaussian", "uniform") or self.size < 1 or self.size % 2 == 0 or not self.sigma > 0:
            raise MetricError(f"An SSIM window has an odd size and a positive sigma; got {self}.")
        if self.border not in ("valid", "zero") or self.pooling not in ("none", "adaptive"):
            raise MetricError(f"SSIM border is 'valid' or 'zero', pooling 'none' or 'adaptive'; got {self}.")

    @property
    def weights(self) -> np.ndarray:
        """The window's profile along one axis, float64 ``(size,)``, sum one; the window is its outer square."""
        if self.shape == "uniform":
            return np.full(self.size, 1.0 / self.size)
        distance = np.arange(self.size) - self.size // 2
        profile = np.exp(-(distance**2) / (2.0 * self.sigma**2))
        return profile / profile.sum()


def ssim(output: np.ndarray, reference: np.ndarray, window: SsimWindow | None = None, peak: float = 255.0) -> float:
    """Mean structural similarity over all windows and channels.

    SSIM = (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)), with C1 = (k1 peak)², C2 = (k2 peak)² and
    means, variances and the covariance weighted by the window.

    Args:
        output: ``(H, W)`` or ``(H, W, C)``, any real dtype.
        reference: Same shape.
        window: Neighbourhood and border; default: 11x11 Gaussian, sigma 1.5, windows inside the picture only.
        peak: Largest possible value of a sample: 255 for 8 bits, 1 for floats in [0, 1].

    Returns:
        At most 1, which means identical.

    Raises:
        MetricError: The shapes differ, the picture is smaller than the window, or a sample is not finite.

    Example:
        >>> ramp = np.add.outer(np.arange(32.0), np.arange(40.0))
        >>> ssim(ramp, ramp)
        1.0
    """
    total, count = ssim_sums(output, reference, window, peak)
    return total / count


def ssim_sums(
    output: np.ndarray, reference: np.ndarray, window: SsimWindow | None = None, peak: float = 255.0
) -> tuple[float, int]:
    """Sum of SSIM over the windows and their number: what tiles or shards add up before the division.

    Raises:
        MetricError: See :func:`ssim`.
    """
    window = window or SsimWindow()
    check_pair(output, reference)
    if window.pooling == "adaptive":
        factor = pooling_factor(*output.shape[:2])
        output, reference = adaptive_pool(output, factor), adaptive_pool(reference, factor)
    height, width = output.shape[:2]
    channels = output.shape[2] if output.ndim == 3 else 1
    radius = window.size // 2
    padding = radius if window.border == "zero" else 0
    down, across = height + 2 * (padding - radius), width + 2 * (padding - radius)
    if min(down, across) < 1:
        raise MetricError(f"SSIM looks through {window.size}x{window.size} windows; {width}x{height} is too small.")
    from eval.metrics.kernels import ssim_sum, ssim_sum_wide

    total = (ssim_sum if window.size <= 11 else ssim_sum_wide)(
        rows(output),
        rows(reference),
        channels,
        _kernel_weights(window),
        padding,
        (window.k1 * peak) ** 2,
        (window.k2 * peak) ** 2,
        window.size**2 / (window.size**2 - 1) if window.sample_covariance else 1.0,
    )
    if not math.isfinite(total):
        raise MetricError("The picture holds samples that are not finite (NaN or infinite); it has no SSIM.")
    return float(total), down * across * channels


@lru_cache(maxsize=32)
def _kernel_weights(window: SsimWindow) -> np.ndarray:
    weights = window.weights
    weights.flags.writeable = False
    return weights


def pooling_factor(height: int, width: int) -> int:
    """The factor DehazeFormer shrinks by: max(1, round(min(H, W) / 256)), halves to even as Python rounds."""
    return max(1, round(min(height, width) / 256))


def adaptive_pool(image: np.ndarray, factor: int) -> np.ndarray:
    """Average pooling to ``(H // factor, W // factor)`` cells that cover the whole picture.

    Cell i of n spans the samples from floor(i L / n) to ceil((i + 1) L / n), as PyTorch's adaptive pooling does.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``.
        factor: 1 returns the picture itself.

    Returns:
        float64, unless ``factor`` is 1.
    """
    if factor == 1:
        return image
    for axis in (0, 1):
        length = image.shape[axis]
        cells = length // factor
        pooled = [
            image[(slice(None),) * axis + (slice(i * length // cells, -(-(i + 1) * length // cells)),)].mean(
                axis=axis, dtype=np.float64
            )
            for i in range(cells)
        ]
        image = np.stack(pooled, axis=axis)
    return image
