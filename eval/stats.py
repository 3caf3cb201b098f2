"""Uncertainty of a leaderboard: intervals, paired tests, ranks. Arrays in, arrays out.

Everything here is a pure function of its arguments: same numbers in, same bytes out, whatever the order of the
images, the number of other methods on the board or the threads of the linear algebra library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from string import ascii_letters

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import rankdata, wilcoxon

SEED = 0
LEVEL = 0.95
ALPHA = 0.05
MINIMUM_FOR_INTERVAL = 5  # "95%" intervals of two, three, four images hold the mean in about 48%, 74%, 86% of sets
MINIMUM_IMAGES = 6  # with five pairs the smallest two-sided Wilcoxon p-value is 2 / 2**5 = 0.0625 > 0.05
_TIE = 9  # values that agree to this many decimals are the same number: float noise must not decide a rank


def mean(values: np.ndarray) -> float:
    """Arithmetic mean, correctly rounded and therefore independent of the order of `values` (n,)."""
    return math.fsum(values) / len(values) if len(values) else math.nan


@dataclass(frozen=True)
class Summary:
    """One metric's scores in a few numbers.

    An infinite score (an output identical to its reference) is left out of all of them; where all are infinite, mean
    and median are so, too.

    Attributes:
        mean: NaN without any score.
        median: NaN without any score.
        std: Sample standard deviation; NaN below two finite scores.
        n: Scores behind mean and median.
        infinite: Scores that are infinite.
    """

    mean: float
    median: float
    std: float
    n: int
    infinite: int


def summary(scores: np.ndarray) -> Summary:
    """Mean, median and spread of `scores` (n,), none of them NaN.

    Example:
        >>> summary(np.array([28.0, 30.0, math.inf]))
        Summary(mean=29.0, median=29.0, std=1.4142135623730951, n=2, infinite=1)
    """
    finite = scores[np.isfinite(scores)]
    averaged = finite if len(finite) else scores
    if not len(averaged):
        return Summary(math.nan, math.nan, math.nan, 0, 0)
    return Summary(
        mean=mean(finite) if len(finite) else float(scores[0]),
        median=float(np.median(averaged)),
        std=float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan,
        n=len(averaged),
        infinite=len(scores) - len(finite),
    )


def resamples_for(images: int) -> int:
    """How many bootstrap sets to draw: 10,000, or what ten million drawn images allow, but never below 2,000."""
    return min(10_000, max(2_000, 10_000_000 // images))


def bootstrap_intervals(
    values: np.ndarray,
    *,
    level: float = LEVEL,
    resamples: int | None = None,
    seed: int = SEED,
    method: str = "bca",
    expand: bool = True,
) -> np.ndarray:
    """Bootstrap confidence intervals for the mean of each column.

    Images (rows) are drawn with replacement; all columns see the same draws, so the intervals of two methods, or of
    their difference, rest on the same resampled sets. `"bca"` is the bias-corrected and accelerated interval of
    Efron (1987), `"percentile"` the plain one. For a mean the jackknife behind the acceleration has a closed form,
    a = sum(d^3) / (6 sum(d^2)^1.5) with d the deviations, which keeps the cost linear in the number of images
    (a generic jackknife is quadratic). The sums are taken over integers that float64 holds exactly, so no
    summation order can change a bit of the result.

    Both intervals are too narrow for small sets: a bootstrap world of n images has a spread sqrt((n - 1) / n) too small
    and does not know that it was estimated. `expand` moves the tail probabilities outwards by exactly these two
    amounts, alpha/2 -> Phi(-sqrt(n / (n - 1)) t_(alpha/2, n-1)) (Hesterberg 2015, section 5.1); at n = 5 that raises
    the coverage of a 95% interval from 81-84% to 89-92%, at n = 500 it changes nothing that can be seen
    (docs/leaderboard.md).

    Args:
        values: (n, k) finite numbers, one row an image, one column a method.
        level: Coverage asked for, in (0, 1).
        resamples: Number of bootstrap sets; `resamples_for(n)` where None.
        seed: Seed of the draws; they depend on `seed`, `resamples` and n only.
        method: `"bca"` or `"percentile"`.
        expand: Widen for small n, see above.

    Returns:
        (k, 2) lower and upper ends; NaN where n < `MINIMUM_FOR_INTERVAL`.

    Example:
        >>> bootstrap_intervals(np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])).round(2).tolist()
        [[1.2, 4.8]]
    """
    values = np.asarray(values, dtype=np.float64)
    n, k = values.shape
    if n < MINIMUM_FOR_INTERVAL or k == 0:
        return np.full((k, 2), np.nan)
    resamples = resamples or resamples_for(n)
    centre = np.array([mean(column) for column in values.T])
    deviations = values - centre
    units, step = _exact_units(deviations)
    sums = np.empty((resamples, k))
    for start, counts in _draws(n, resamples, seed):
        sums[start : start + len(counts)] = counts @ units
    reach = math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + level) / 2) if expand else ndtri((1 + level) / 2)
    scores = np.tile([-reach, reach], (k, 1))
    if method == "bca":
        scores = _bca_scores(scores, sums, deviations, units)
    elif method != "percentile":
        raise ValueError(f"expected method 'bca' or 'percentile', got {method!r}")
    ends = np.array([np.quantile(sums[:, j], ndtr(scores[j])) for j in range(k)])
    return centre[:, None] + ends * step[:, None] / n


def _exact_units(deviations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations as integers (in float64) small enough that any sum of n of them is exact, and the unit's size."""
    largest = np.abs(deviations).max(axis=0) * len(deviations)
    exponent = np.ceil(np.log2(np.where(largest > 0, largest, 1.0))) - 52
    step = np.exp2(exponent)
    return np.rint(deviations / step), step


def _draws(n: int, resamples: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, counts (rows, n)): how often each image is drawn in each bootstrap set."""
    rng = np.random.default_rng([seed, n])
    rows = max(1, (1 << 22) // n)  # at most 32 MiB of counts at a time
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield start, np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _bca_scores(scores: np.ndarray, sums: np.ndarray, deviations: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Move the normal scores of the tails by the bias z0 and the acceleration a (Efron 1987, equation 2.3)."""
    observed = units.sum(axis=0)
    slack = len(units)  # sums that differ by rounding only are equal
    below = ((sums < observed - slack).mean(axis=0) + (sums <= observed + slack).mean(axis=0)) / 2
    bias = ndtri(np.clip(below, 1 / (len(sums) + 1), len(sums) / (len(sums) + 1)))[:, None]
    spread = (deviations**2).sum(axis=0) ** 1.5
    acceleration = (deviations**3).sum(axis=0) / (6 * np.where(spread > 0, spread, 1.0))
    shifted = bias + scores
    return bias + shifted / (1 - acceleration[:, None] * shifted)


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Paired differences a - b (n,) where infinite scores count as larger than any finite difference.

    PSNR of identical pictures is infinite. Two infinite scores are a tie; one is a win by more than any other. Only
    signs and ranks of the result are meaningful in that case, which is all that a rank test uses.
    """
    with np.errstate(invalid="ignore"):
        raw = np.where(a == b, 0.0, np.asarray(a, dtype=np.float64) - b)
    finite = np.abs(raw[np.isfinite(raw)])
    beyond = 2 * finite.max(initial=0.0) + 1.0
    return np.round(np.clip(raw, -beyond, beyond), _TIE)


def wilcoxon_p(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on paired scores (n,); NaN below `MINIMUM_IMAGES` pairs.

    Pairs without a difference are dropped, as Wilcoxon did; when none is left the methods cannot be told apart: 1.
    Up to 50 differences the p-value is exact, ties or not; beyond, it is SciPy's normal approximation. (SciPy
    enumerates all sign patterns of tied differences, which takes seconds a pair; counting rank sums takes none.)
    """
    if len(a) < MINIMUM_IMAGES:
        return math.nan
    difference = differences(a, b)
    difference = difference[difference != 0]
    if len(difference) > 50:
        return float(wilcoxon(difference).pvalue)
    ranks = np.rint(2 * rankdata(np.abs(difference))).astype(int)  # halves become whole
    ways = np.ones(1)  # ways[s]: how many of the 2^n sign patterns have rank sum s / 2; exact in float64 to n = 52
    for rank in ranks:
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    observed = ranks[difference > 0].sum()
    tail = min(ways[: observed + 1].sum(), ways[observed:].sum())
    return float(min(1.0, 2 * tail / ways.sum()))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment (1979): p-values (m,) that may be compared with alpha as they are.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(6).tolist()
        [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def smallest_adjusted_p(images: int, methods: int) -> float:
    """The smallest Holm-adjusted Wilcoxon p-value that this many images and methods could give at all."""
    return min(1.0, 2.0 ** (1 - images) * math.comb(methods, 2))


def pairwise_p(scores: np.ndarray) -> np.ndarray:
    """Holm-adjusted Wilcoxon p-values between all columns of `scores` (n, k): (k, k), 1 on the diagonal."""
    k = scores.shape[1]
    pairs = list(combinations(range(k), 2))
    matrix = np.eye(k)
    if pairs:
        adjusted = holm(np.array([wilcoxon_p(scores[:, i], scores[:, j]) for i, j in pairs]))
        for (i, j), p in zip(pairs, adjusted, strict=True):
            matrix[i, j] = matrix[j, i] = p
    return matrix


def letters(different: np.ndarray) -> list[str]:
    """Compact letter display: two methods share a letter exactly when they cannot be told apart.

    Insert-and-absorb of Piepho (2004): start with one group of all; each significant pair splits every group that
    holds both; groups inside another are absorbed. Groups whose pairs are all covered elsewhere are then dropped.

    Args:
        different: (k, k) symmetric booleans, methods in the order of the board (best first).

    Returns:
        One string of letters a method; "a" is the group of the best.

    Example:
        >>> letters(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool))
        ['a', 'ab', 'b']
    """
    k = len(different)
    groups = [frozenset(range(k))]
    for i, j in combinations(range(k), 2):
        if different[i, j]:
            split = [part for g in groups for part in ([g - {i}, g - {j}] if {i, j} <= g else [g])]
            unique = sorted(set(split), key=sorted)
            groups = [g for g in unique if not any(g < other for other in unique)]
    for group in sorted(groups, key=lambda g: (len(g), sorted(g))):
        rest = [g for g in groups if g != group]
        if all(any({i, j} <= g for g in rest) for i in group for j in group):
            groups = rest
    named = [(_letter(index), group) for index, group in enumerate(sorted(groups, key=sorted))]
    return ["".join(name for name, group in named if member in group) for member in range(k)]


def _letter(index: int) -> str:
    turn, position = divmod(index, len(ascii_letters))
    return ascii_letters[position] + (str(turn + 1) if turn else "")


def image_ranks(scores: np.ndarray, better: str) -> np.ndarray:
    """Rank of each method on each image: (n, k) from `scores` (n, k); 1 is best, ties share their average rank."""
    signed = -scores if better == "higher" else scores
    return rankdata(np.round(signed, _TIE), method="average", axis=1) if scores.size else np.empty(scores.shape)


def wins(scores: np.ndarray, better: str) -> tuple[np.ndarray, np.ndarray]:
    """Win and tie counts (k, k) over the images of `scores` (n, k): wins[i, j] images where i beats j."""
    signed = np.round(scores if better == "higher" else -scores, _TIE)
    won = (signed[:, :, None] > signed[:, None, :]).sum(axis=0)
    tied = (signed[:, :, None] == signed[:, None, :]).sum(axis=0)
    return won, tied
