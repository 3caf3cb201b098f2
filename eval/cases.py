"""From a ranking back to the pictures: a method's worst cases, and two methods image by image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from errors import UnknownNameError
from eval import stats
from eval.selection import chosen, select

if TYPE_CHECKING:
    import pandas

    from eval.metrics.spec import MetricSpec


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two methods on the images both have.

    Attributes:
        metric, a, b: What is compared.
        images: A table with the columns image, `a`'s score, `b`'s score, difference, advantage; `difference` is a - b,
            `advantage` the same with the sign of the metric's direction (positive where `a` is better). Sorted by
            advantage, so both ends are the pictures to look at.
        difference: Mean of the finite differences; NaN without any.
        interval: Its 95% bootstrap interval; NaN below five images.
        p: Wilcoxon's two-sided p-value of this one comparison (no correction); NaN below six images.
        wins, ties, losses: Images where `a` is better, equal, worse.
    """

    metric: str
    a: str
    b: str
    images: pandas.DataFrame
    difference: float
    interval: tuple[float, float]
    p: float
    wins: int
    ties: int
    losses: int

    @property
    def sentence(self) -> str:
        """The comparison in words.

        "dark_channel is better than retinex on 14 of 20 images (2 equal, 4 worse); mean difference +1.2 [+0.4, +2.1];
        Wilcoxon p = 0.003."
        """
        total = self.wins + self.ties + self.losses
        if not total:
            return f"{self.a} and {self.b} have no image in common."
        low, high = self.interval
        interval = "" if math.isnan(low) else f" [{low:+.4g}, {high:+.4g}]"
        verdict = "too few images for a test" if math.isnan(self.p) else f"Wilcoxon p = {self.p:.2g}"
        return (
            f"{self.a} is better than {self.b} on {self.wins} of {total} images "
            f"({self.ties} equal, {self.losses} worse); "
            f"mean difference {self.difference:+.4g}{interval}; {verdict}."
        )


def worst_cases(
    frame: pandas.DataFrame,
    metric: str,
    method: str,
    k: int = 6,
    *,
    protocol: str | None = None,
    dataset: str | None = None,
    specs: Mapping[str, MetricSpec] | None = None,
) -> pandas.DataFrame:
    """The `k` score rows where `method` does worst on `metric`, worst first, with all their columns.

    Pictures without a score are no cases of this list: they are the leaderboard's failures.

    Raises:
        UsageError: There are no rows of this protocol or set.
        UnknownNameError: There are no scores of this metric or method.
    """
    rows = chosen(frame, protocol, None if dataset is None else [dataset])
    rows = rows[rows["value"].notna()]
    for kind, name in (("metric", metric), ("method", method)):
        if name not in set(rows[kind]):
            raise UnknownNameError(f"{kind} in these rows", name, sorted(rows[kind].unique()))
    rows = rows[(rows["metric"] == metric) & (rows["method"] == method)]
    ascending = _better(metric, specs) == "higher"
    ordered = rows.sort_values("image").sort_values("value", ascending=ascending, kind="stable")
    return ordered.head(k).reset_index(drop=True)


def compare(
    frame: pandas.DataFrame,
    method_a: str,
    method_b: str,
    metric: str,
    *,
    protocol: str | None = None,
    dataset: str | None = None,
    specs: Mapping[str, MetricSpec] | None = None,
) -> Comparison:
    """Compare two methods on one metric, image by image.

    Raises:
        ProtocolError: The rows mix protocols or metric variants.
        UnknownNameError: There are no scores of this metric or method.
    """
    import pandas

    values = select(frame, protocol=protocol, dataset=dataset).values
    if metric not in values:
        raise UnknownNameError("metric in these rows", metric, list(values))
    for name in (method_a, method_b):
        if name not in values[metric]:
            raise UnknownNameError("method in these rows", name, list(values[metric]))
    both = (
        values[metric][[method_a, method_b]].dropna() if method_a != method_b else values[metric][[method_a]].dropna()
    )
    a, b = both[method_a].to_numpy(), both[method_b].to_numpy()
    better = _better(metric, specs)
    with np.errstate(invalid="ignore"):
        difference = np.where(a == b, 0.0, a - b)
    advantage = difference if better == "higher" else -difference
    table = pandas.DataFrame(
        {"image": both.index, method_a: a, method_b: b, "difference": difference, "advantage": advantage}
    )
    finite = difference[np.isfinite(difference)]
    low, high = stats.bootstrap_intervals(finite[:, None])[0]
    won, tied = stats.wins(np.stack([a, b], axis=1), better)
    return Comparison(
        metric=metric,
        a=method_a,
        b=method_b,
        images=table.sort_values("advantage", kind="stable").reset_index(drop=True),
        difference=stats.mean(finite),
        interval=(float(low), float(high)),
        p=stats.wilcoxon_p(a, b),
        wins=int(won[0, 1]),
        ties=int(tied[0, 1]),
        losses=int(won[1, 0]),
    )


def _better(metric: str, specs: Mapping[str, MetricSpec] | None) -> str:
    if specs:
        return specs[metric].better
    from eval.metrics import registry

    return registry.spec(metric).better
