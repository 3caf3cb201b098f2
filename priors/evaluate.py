"""How good is a prompt set: ranking statistics on labelled pictures."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counting half (Mann-Whitney U).

    Args:
        scores: (N,) any real numbers.
        labels: (N,) true for positives.

    Returns:
        In [0,1]; NaN when one of the classes is empty.

    Example:
        >>> auroc(np.array([0.9, 0.8, 0.1]), np.array([True, False, False]))
        1.0
    """
    labels = np.asarray(labels, dtype=bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two maps or lists, ties averaged; NaN when either is constant."""
    ranks = [rankdata(np.asarray(v, dtype=np.float64).ravel()) for v in (a, b)]
    deviations = [r - r.mean() for r in ranks]
    norm = np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum())
    return float((deviations[0] * deviations[1]).sum() / norm) if norm > 0 else float("nan")
