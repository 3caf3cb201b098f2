"""What a metric is, apart from how it is computed: direction, range, limits, licence, cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricSpec:
    """The facts of one metric; tables, pages and the ranking are views of them.

    Attributes:
        name: Identifier in rows and on the command line.
        title: Name in tables.
        kind: ``"full"`` compares with a reference, ``"none"`` looks at the picture alone.
        better: Which direction is better.
        low: Smallest possible value.
        high: Largest possible value.
        licence: Licence of the code and the parameters that produce the value.
        cost: Order of the time one 620x460 picture takes on one CPU core: ``"fast"`` below 50 ms, ``"slow"`` below
            a second, ``"heavy"`` above or where a network is run.
        typical: One clause that tells a reader what a value means.
        decimals: Digits shown in tables.
        source: The paper.
    """

    name: str
    title: str
    kind: Literal["full", "none"]
    better: Literal["higher", "lower"]
    low: float
    high: float
    licence: str
    cost: Literal["fast", "slow", "heavy"]
    typical: str
    decimals: int
    source: str = ""

    @property
    def needs_reference(self) -> bool:
        """Whether a reference picture is required."""
        return self.kind == "full"

    @property
    def arrow(self) -> str:
        """An arrow in the better direction, for table heads."""
        return "↑" if self.better == "higher" else "↓"
