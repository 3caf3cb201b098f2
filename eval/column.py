"""One metric's column of a leaderboard: the scores, and every number that comes from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eval import stats
from eval.wording import counted, some

if TYPE_CHECKING:
    import pandas

    from eval.metrics.spec import MetricSpec

DETAILS = ("low", "high", "median", "std", "n", "infinite", "rank", "average_rank", "group")
"""What a leaderboard's table holds for each metric beside its mean, as columns `<metric>_<detail>`."""


@dataclass(frozen=True)
class PairedTest:
    """How method `a` compares with method `b` on the images both have.

    `difference` is the mean of a - b where both are finite, `p` Wilcoxon's two-sided p-value after Holm's correction
    over all pairs of the metric (NaN where no test is possible), and `wins`, `ties`, `losses` count images from the
    side of `a`.
    """

    metric: str
    a: str
    b: str
    images: int
    difference: float
    p: float
    wins: int
    ties: int
    losses: int


def show(value: float, decimals: int) -> str:
    """A score as printed: fixed decimals, "∞" for infinity, an en dash where there is none.

    Example:
        >>> show(27.3149, 2), show(float("inf"), 2), show(float("nan"), 2)
        ('27.31', '∞', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.{decimals}f}"
    return text[1:] if text.startswith("-") and not float(text) else text


def sort_value(value: float, better: str) -> float:
    """A number to sort by: smaller is better, and a missing value is worst."""
    if math.isnan(value):
        return math.inf
    return -value if better == "higher" else value


@dataclass(eq=False)
class Column:
    """Scores of the methods on one metric, with their intervals, tests and letters.

    Attributes:
        metric: Metric name.
        spec: Its facts.
        used: The scores behind the means: a table (image x method), methods by name.
        common: The scores on the images that all of these methods have.
        means: Per method, the mean of its finite scores; infinite if none is finite.
        average_ranks: Per method, its mean rank over the common images; empty without any.
        fair: Whether all means are over the same images; a method that is infinite on all of them has one, too.
        intervals: Per method, the ends of the interval of its mean; NaN where its images are too few for one.
        p: Holm-adjusted p-values between the methods, in the order of `common`'s columns.
        groups: Per method, its letters; "" where no test can succeed.
    """

    metric: str
    spec: MetricSpec
    used: pandas.DataFrame
    common: pandas.DataFrame
    means: dict[str, float]
    average_ranks: dict[str, float]
    fair: bool
    intervals: dict[str, tuple[float, float]]
    p: np.ndarray
    groups: dict[str, str]

    @classmethod
    def of(
        cls,
        metric: str,
        spec: MetricSpec,
        values: pandas.DataFrame,
        names: Sequence[str],
        images: str,
        level: float,
        notes: list[tuple[str, str]],
    ) -> Column:
        """Work out the column of `metric`; what the reader must know is added to `notes` as (title, sentence)."""
        own = values[[name for name in names if name in values and values[name].notna().any()]].dropna(how="all")
        common = own.dropna()
        title = spec.title
        absent = [name for name in names if name not in own]
        if absent:
            notes.append((title, f"no value for {', '.join(absent) if own.shape[1] else 'any method'}."))
        together = images == "common" and len(common) > 0
        used = common if together else own
        _note_coverage(title, own, common, images, notes)
        _note_infinite(title, used, notes)
        _note_intervals(title, used, notes)
        means = {name: stats.summary(used[name].dropna().to_numpy()).mean for name in used}
        ranks = stats.image_ranks(common.to_numpy(), spec.better)
        average_ranks = {name: stats.mean(ranks[:, j]) for j, name in enumerate(common) if len(ranks)}
        p = stats.pairwise_p(common.to_numpy())
        order = sorted(range(own.shape[1]), key=lambda j: sort_value(means[used.columns[j]], spec.better))
        if np.isinf(used.to_numpy(dtype=np.float64)).any() and average_ranks:  # means leave the infinite scores out
            order.sort(key=lambda j: average_ranks[own.columns[j]])
        groups = dict.fromkeys(own, "")
        if own.shape[1] > 1 and len(common):
            _note_power(title, len(common), own.shape[1], notes)
            if stats.smallest_adjusted_p(len(common), own.shape[1]) < stats.ALPHA:
                found = stats.letters(p[np.ix_(order, order)] < stats.ALPHA)
                groups = {own.columns[j]: text for j, text in zip(order, found, strict=True)}
        fair = all(_same_images(used[name]) for name in used)
        return cls(metric, spec, used, common, means, average_ranks, fair, _intervals(used, level), p, groups)

    def mean(self, name: str) -> float:
        """Mean score of a method; NaN without any score."""
        return self.means.get(name, math.nan)

    def images(self, name: str) -> int:
        """How many images of a method have a score, infinite ones included."""
        return int(self.used[name].count()) if name in self.used else 0

    def shown(self, name: str) -> str:
        """The mean as printed."""
        return show(self.mean(name), self.spec.decimals)

    def _place(self, name: str) -> float:
        return sort_value(round(self.mean(name), self.spec.decimals), self.spec.better)

    def marks(self) -> dict[str, str]:
        """Best and second best by the metric's direction, at the precision that is shown."""
        if self.used.shape[1] < 2 or not self.fair:
            return {}
        shown = {name: self._place(name) for name in self.used}
        places = sorted(set(shown.values()))[:2]
        words = dict(zip(places, ("best", "second"), strict=False)) if len(places) > 1 else {}
        return {name: words[value] for name, value in shown.items() if value in words}

    def cells(self, name: str) -> dict[str, Any]:
        """The detail columns of one method."""
        m = self.metric
        if name not in self.used:
            empty = dict.fromkeys(DETAILS, math.nan) | {"n": 0, "infinite": 0, "group": ""}
            return {f"{m}_{key}": empty[key] for key in DETAILS}
        summary = stats.summary(self.used[name].dropna().to_numpy())
        low, high = self.intervals[name]
        places = [self._place(other) for other in self.means]
        comparable = self.fair and len(self.common)
        found = {
            "low": low,
            "high": high,
            "median": summary.median,
            "std": summary.std,
            "n": summary.n,
            "infinite": summary.infinite,
            "rank": 1 + sum(place < self._place(name) for place in places) if comparable else math.nan,
            "average_rank": self.average_ranks.get(name, math.nan),
            "group": self.groups[name],
        }
        return {f"{m}_{key}": found[key] for key in DETAILS}

    def tests(self, order: Sequence[str]) -> list[PairedTest]:
        """Every pair, the better-placed method of the board first."""
        names = [name for name in order if name in self.common]
        position = {name: list(self.common.columns).index(name) for name in names}
        scores = self.common.to_numpy()
        won, tied = stats.wins(scores, self.spec.better)
        found = []
        for index, a in enumerate(names):
            for b in names[index + 1 :]:
                i, j = position[a], position[b]
                finite = np.isfinite(scores[:, [i, j]]).all(axis=1)
                gap = stats.mean(scores[finite, i] - scores[finite, j])
                counts = int(won[i, j]), int(tied[i, j]), int(won[j, i])
                p = float(self.p[i, j]) if len(scores) >= stats.MINIMUM_IMAGES else math.nan
                found.append(PairedTest(self.metric, a, b, len(scores), gap, p, *counts))
        return found


def _same_images(scores: pandas.Series) -> bool:
    """Whether a mean is over all images: all are finite, or all infinite."""
    values = scores.to_numpy(dtype=np.float64)
    return bool(np.isfinite(values).all() or np.isinf(values).all())


def _intervals(used: pandas.DataFrame, level: float) -> dict[str, tuple[float, float]]:
    """Intervals of all methods at once where they have the same images, one by one where not."""
    columns = {name: used[name][np.isfinite(used[name])].to_numpy() for name in used}
    whole = [name for name, values in columns.items() if len(values) == len(used)]
    found = {}
    if whole:
        ends = stats.bootstrap_intervals(np.stack([columns[name] for name in whole], axis=1), level=level)
        found = {name: (float(low), float(high)) for name, (low, high) in zip(whole, ends, strict=True)}
    for name in columns.keys() - found.keys():
        low, high = stats.bootstrap_intervals(columns[name][:, None], level=level)[0]
        found[name] = (float(low), float(high))
    return found


def _note_coverage(
    title: str, own: pandas.DataFrame, common: pandas.DataFrame, images: str, notes: list[tuple[str, str]]
) -> None:
    if len(common) == len(own):
        return
    if common.empty:
        text = "the methods have no image in common, so they are not ranked; each mean is over the method's own images."
    elif images == "common":
        lacking = ", ".join(f"{name} lacks {count}" for name, count in own.isna().sum().items() if count)
        left = some(sorted(set(own.index) - set(common.index)))
        text = f"ranked on the {len(common)} of {len(own)} images that every method has ({lacking}); left out: {left}."
    else:
        text = (
            "each mean is over the method's own images and means over different images do not compare, so no best is "
            f"marked; ranks and tests use the {len(common)} images that every method has."
        )
    notes.append((title, text))


def _note_infinite(title: str, used: pandas.DataFrame, notes: list[tuple[str, str]]) -> None:
    for name in used:
        count = int(np.isinf(used[name]).sum())
        if count:
            text = (
                f"infinite for {name} on {counted(count, 'image')} (output identical to the reference); left out of "
                "its mean, median and interval, ranked best there."
            )
            if count < len(used):
                text += " Its mean is over other images than those of the rest, so no best is marked."
            notes.append((title, text))


def _note_intervals(title: str, used: pandas.DataFrame, notes: list[tuple[str, str]]) -> None:
    finite = {name: int(np.isfinite(used[name]).sum()) for name in used}
    few = [name for name, count in finite.items() if 0 < count < stats.MINIMUM_FOR_INTERVAL]
    if few:
        whose = f" of {some(few)}" if max(finite.values()) >= stats.MINIMUM_FOR_INTERVAL else ""
        text = f"fewer than {stats.MINIMUM_FOR_INTERVAL} images cannot support an interval, so none{whose} is shown."
        notes.append((title, text))


def _note_power(title: str, images: int, methods: int, notes: list[tuple[str, str]]) -> None:
    if images < stats.MINIMUM_IMAGES:
        text = (
            f"{counted(images, 'image')} cannot support a test (at least {stats.MINIMUM_IMAGES} are "
            "needed), so no letters are shown and no difference is claimed."
        )
        notes.append((title, text))
    elif stats.smallest_adjusted_p(images, methods) >= stats.ALPHA:
        text = (
            f"{images} images are too few to tell any two of {methods} methods apart, however large the difference; "
            "add images or compare fewer methods. No letters are shown."
        )
        notes.append((title, text))
