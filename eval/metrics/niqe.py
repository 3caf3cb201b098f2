"""Naturalness image quality evaluator: how far a picture's local statistics are from those of natural photographs.

Mittal, Soundararajan, Bovik, "Making a completely blind image quality analyzer", IEEE Signal Processing Letters
20(3), 2013. Every detail follows the MATLAB release of the LIVE laboratory: MATLAB's grey rounded to integers,
replicated borders, the antialiased bicubic step to the second scale, the grid of the AGGD fit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from errors import MetricError
from eval.metrics.color import matlab_grey
from eval.metrics.psnr import frozen
from images import to_8_bit

if TYPE_CHECKING:
    from eval.metrics.niqe_model import NiqeModel

BLOCK = 96
"""Side of a block at the first scale."""

FEATURES = 36
"""18 a scale."""

_REACH = 10
"""Rows beyond its own that a row of blocks is given: three at half size, which are six here, the outermost of which are
resized from three more; even, so that half size starts where the picture's does."""


def niqe(image: np.ndarray, model: NiqeModel) -> float:
    """NIQE of one picture; lower is more natural.

    D = sqrt((μp - μd)ᵀ ((Σp + Σd) / 2)⁺ (μp - μd)), with the pristine model's mean and covariance p and those of the
    picture's blocks d (paper, equation 10).

    Args:
        image: RGB ``(H, W, 3)`` or grey ``(H, W)``; uint8, or uint16 or floats that are rounded to 8 bits
            (floats on a 0-255 scale).
        model: Pristine model.

    Returns:
        A distance, about 2 to 20.

    Raises:
        MetricError: A side is below 96, a sample is not finite, or the picture is too flat to have statistics.
    """
    return score_features(block_features(image).features, model)


def score_features(features: np.ndarray, model: NiqeModel) -> float:
    """Distance of one picture's block features ``(blocks, 36)`` from the pristine model.

    Raises:
        MetricError: No block has statistics.
    """
    usable = features[~np.isnan(features).any(axis=1)]
    if len(usable) < 1 or np.isnan(features).all(axis=0).any():
        raise MetricError("The picture is flat: none of its 96x96 blocks has statistics, so it has no NIQE.")
    mean = np.nanmean(features, axis=0)
    # One block has a mean and no spread: its covariance is taken as zero.
    covariance = np.cov(usable, rowvar=False) if len(usable) > 1 else np.zeros((FEATURES, FEATURES))
    return distance(mean, covariance, model)


def distance(mean: np.ndarray, covariance: np.ndarray, model: NiqeModel) -> float:
    """Equation 10: distance of two multivariate Gaussians, with the pseudo-inverse of the mean covariance."""
    difference = model.mean - mean
    squared = difference @ np.linalg.pinv((model.covariance + covariance) / 2.0) @ difference
    if not math.isfinite(squared):
        raise MetricError("The picture's block statistics are not finite, so it has no NIQE.")
    return math.sqrt(max(float(squared), 0.0))


def grey_plane(image: np.ndarray, top: int = 0, bottom: int | None = None) -> np.ndarray:
    """Rows of the 8-bit grey plane NIQE looks at, cut at the right to a multiple of 96.

    Args:
        image: RGB ``(H, W, 3)`` or grey ``(H, W)``; see :func:`niqe`.
        top: First row.
        bottom: Row behind the last one; default: the largest multiple of 96.

    Raises:
        MetricError: Not a picture, a side is below 96, or a sample is not finite.
    """
    down, across = _whole_blocks(image)
    width = across * BLOCK
    image = image[top : down * BLOCK if bottom is None else bottom]
    if image.dtype == np.uint16:
        image = to_8_bit(image)
    elif image.dtype != np.uint8:
        if not np.isfinite(image[:, :width]).all():
            raise MetricError("The picture holds samples that are not finite (NaN or infinite); it has no NIQE.")
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return matlab_grey(image, width) if image.ndim == 3 else np.ascontiguousarray(image[:, :width])


def _whole_blocks(image: np.ndarray) -> tuple[int, int]:
    """How many blocks fit, down and across; at least one each."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise MetricError(f"NIQE expected a picture (H, W, 3) or (H, W), got shape {image.shape}.")
    height, width = image.shape[:2]
    if min(height, width) < BLOCK:
        raise MetricError(f"NIQE needs both sides to be at least {BLOCK} pixels; the picture is {width}x{height}.")
    return height // BLOCK, width // BLOCK


class Blocks(NamedTuple):
    """What the picture's blocks look like.

    Attributes:
        features: float64 ``(blocks, 36)``; NaN where a block is flat.
        sharpness: float64 ``(blocks,)``: mean local deviation at the first scale.
    """

    features: np.ndarray
    sharpness: np.ndarray


def block_features(image: np.ndarray) -> Blocks:
    """The 36 features of every 96x96 block: 18 at full size, 18 of the same block at half size.

    One row of blocks is looked at after the other, with as many grey rows above and below as its second scale's borders
    reach for, so nothing of the picture's size is ever made.

    Args:
        image: RGB ``(H, W, 3)`` or grey ``(H, W)``; see :func:`niqe`. What is beyond whole blocks is not looked at.

    Raises:
        MetricError: See :func:`grey_plane`.
    """
    from eval.metrics.niqe_kernels import HALVES, block_statistics, halve

    down, across = _whole_blocks(image)
    sums, deviations = np.empty((2, down, across, 5, 5)), np.empty((2, down, across))
    profile, half = gaussian_profile(), BLOCK // 2
    for row in range(down):
        top = max(row * BLOCK - _REACH, 0)
        plane = frozen(grey_plane(image, top, min((row + 1) * BLOCK + _REACH, down * BLOCK)))
        first = row * BLOCK - top
        block_statistics(plane, first, BLOCK, 1.0, profile, sums[0, row], deviations[0, row])
        block_statistics(halve(plane), first // 2, half, 1.0 / HALVES, profile, sums[1, row], deviations[1, row])
    features = [aggd_features(s.reshape(-1, 5, 5), side * side) for s, side in zip(sums, (BLOCK, half), strict=True)]
    return Blocks(np.concatenate(features, axis=1), deviations[0].ravel())


def aggd_features(sums: np.ndarray, count: int) -> np.ndarray:
    """Fit asymmetric generalised Gaussians by moment matching.

    With σl² and σr² the mean squares of the negative and the positive samples, γ = σl / σr and r = (mean |x|)² /
    mean(x²), the shape α is the grid point whose ρ(α) = Γ(2/α)² / (Γ(1/α) Γ(3/α)) is nearest to
    r (γ³ + 1)(γ + 1) / (γ² + 1)²; the scales are β = σ sqrt(Γ(1/α) / Γ(3/α)) and the mean is
    η = (βr - βl) Γ(2/α) / Γ(1/α).

    Args:
        sums: ``(blocks, 5, 5)`` from :func:`eval.metrics.niqe_kernels.block_statistics`.
        count: Samples a block.

    Returns:
        ``(blocks, 18)``: α and (βl + βr) / 2 of the coefficients; α, η, βl, βr of the four products. NaN where one
        side has no samples, as in MATLAB, whose minimum over NaN is the first grid point.
    """
    grid = aggd_grid()
    negatives, positives, negative_squares, positive_squares, absolute = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt(negative_squares / negatives)
        right = np.sqrt(positive_squares / positives)
        skew = left / right
        ratio = (absolute / count) ** 2 / ((negative_squares + positive_squares) / count)
        wanted = ratio * (skew**3 + 1.0) * (skew + 1.0) / (skew**2 + 1.0) ** 2
    # ρ grows with α: the nearest grid point is one of the two around the place where `wanted` would be inserted.
    above = np.clip(np.searchsorted(grid.ratio, wanted), 1, len(grid.ratio) - 1)
    nearer_below = (grid.ratio[above - 1] - wanted) ** 2 <= (grid.ratio[above] - wanted) ** 2
    index = np.where(np.isnan(wanted), 0, above - nearer_below)
    alpha, scale = grid.alpha[index], grid.scale[index]
    left, right = left * scale, right * scale
    eta = (right - left) * grid.mean[index]
    products = np.stack((alpha, eta, left, right), axis=-1)[:, 1:].reshape(len(sums), 16)
    return np.concatenate((alpha[:, :1], (left[:, :1] + right[:, :1]) / 2.0, products), axis=1)


class AggdGrid(NamedTuple):
    """Functions of the shape α on the grid 0.2, 0.201, ... 10.

    Attributes:
        alpha: The grid.
        ratio: ρ(α) = Γ(2/α)² / (Γ(1/α) Γ(3/α)), increasing.
        scale: sqrt(Γ(1/α) / Γ(3/α)).
        mean: Γ(2/α) / Γ(1/α).
    """

    alpha: np.ndarray
    ratio: np.ndarray
    scale: np.ndarray
    mean: np.ndarray


@lru_cache(maxsize=1)
def aggd_grid() -> AggdGrid:
    """The tables of the AGGD fit; logarithms of Γ keep small α from overflowing."""
    alpha = np.arange(200, 10001) / 1000.0
    one, two, three = (np.array([math.lgamma(k / a) for a in alpha.tolist()]) for k in (1.0, 2.0, 3.0))
    return AggdGrid(alpha, np.exp(2.0 * two - one - three), np.exp((one - three) / 2.0), np.exp(two - one))


@lru_cache(maxsize=1)
def gaussian_profile() -> np.ndarray:
    """Profile of the 7x7 Gaussian of deviation 7/6 along one axis."""
    profile = np.exp(-(np.arange(-3, 4) ** 2) / (2.0 * (7.0 / 6.0) ** 2))
    return profile / profile.sum()
