"""How good is a prompt set: a leaderboard of prompts on labelled pictures.

Hazy and clear folders give AUROC (does the score rank), accuracy (does one half separate), and calibration (does 0.8
mean eight in ten). Where the true transmission is known, Spearman's rank correlation says whether the map is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from errors import PromptError, UnveilError
from images import Picture, read_picture
from priors.inputs import find_inputs

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from priors.clip import ClipPrior
    from priors.prompts import PromptSet

CALIBRATION_BINS = 10
BATCH = 32


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


def balanced_accuracy(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Mean of the shares of positives at or above and of negatives below the threshold; blind to class sizes."""
    labels = np.asarray(labels, dtype=bool)
    above = np.asarray(scores) >= threshold
    if not labels.any() or labels.all():
        return float("nan")
    return float((above[labels].mean() + (~above[~labels]).mean()) / 2)


def calibration_error(scores: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: mean distance of score and share of positives over equal bins, weighted by count.

    Example:
        >>> calibration_error(np.array([1.0, 1.0, 0.0]), np.array([True, True, False]))
        0.0
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    index = np.clip((scores * bins).astype(int), 0, bins - 1)
    total = 0.0
    for i in np.unique(index):
        inside = index == i
        total += inside.mean() * abs(scores[inside].mean() - labels[inside].mean())
    return float(total)


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Encoded pictures with labels; encoded once, judged under any number of prompt sets.

    Attributes:
        features: (N,D).
        labels: (N,) true for the positive end.
        names: of the pictures.
        skipped: one sentence for each picture that could not be read.
    """

    features: Tensor
    labels: np.ndarray
    names: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def encode_folders(
    prior: ClipPrior,
    positive_dir: str | Path,
    negative_dir: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> LabelledFeatures:
    """Encode every picture of two folders.

    Args:
        prior: the model.
        positive_dir: pictures that have the degradation.
        negative_dir: pictures that have not.
        progress: called with (pictures done, pictures in all).

    Raises:
        UsageError: a folder is missing or holds no pictures.
        PromptError: none of them can be read; a single bad picture is skipped and reported.
    """
    ends = ((True, positive_dir), (False, negative_dir))
    readers = [(partial(read_picture, path), end) for end, folder in ends for path in find_inputs([folder])[0]]
    return encode_labelled(prior, readers, progress=progress)


def encode_labelled(
    prior: ClipPrior,
    readers: Sequence[tuple[Callable[[], Picture], bool]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> LabelledFeatures:
    """Encode labelled pictures from anywhere; a batch of them at a time is in memory.

    Args:
        prior: the model.
        readers: pairs of a function that reads a picture, and whether that has the degradation.
        progress: called with (pictures done, pictures in all).

    Raises:
        PromptError: one end has no readable pictures; a single bad picture is skipped and reported.
    """
    from torch import cat

    from priors.density import encode_many

    features, labels, names, skipped = [], [], [], []
    for start in range(0, len(readers), BATCH):
        pictures: list[Picture] = []
        for read, label in readers[start : start + BATCH]:
            try:
                pictures.append(read())
            except UnveilError as error:
                skipped.append(str(error))
                continue
            labels.append(label)
            names.append(pictures[-1].name)
        if pictures:
            features.append(encode_many(prior, pictures))
        if progress:
            progress(min(start + BATCH, len(readers)), len(readers))
    for end, words in ((True, "with the degradation"), (False, "without it")):
        if end not in labels:
            raise PromptError(f"Not one picture {words} can be read. {' '.join(skipped[:2])}".rstrip())
    return LabelledFeatures(cat(features), np.array(labels), tuple(names), tuple(skipped))


def rank(prior: ClipPrior, labelled: LabelledFeatures, sets: Iterable[PromptSet]) -> pd.DataFrame:
    """Judge prompt sets on encoded pictures, best AUROC first.

    Returns:
        One row per set: prompts, auroc, accuracy (balanced, at 0.5), calibration_error, mean_positive, mean_negative,
        positives, negatives.
    """
    import pandas as pd

    from priors.density import scores_of

    rows = []
    for prompts in sets:
        scores = scores_of(prior, labelled.features, prompts)
        rows.append(
            {
                "prompts": prompts.name,
                "auroc": auroc(scores, labelled.labels),
                "accuracy": balanced_accuracy(scores, labelled.labels),
                "calibration_error": calibration_error(scores, labelled.labels),
                "mean_positive": float(scores[labelled.labels].mean()),
                "mean_negative": float(scores[~labelled.labels].mean()),
                "positives": int(labelled.labels.sum()),
                "negatives": int((~labelled.labels).sum()),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.sort_values(["auroc", "calibration_error"], ascending=[False, True], ignore_index=True)
