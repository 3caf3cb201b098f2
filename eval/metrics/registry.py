"""Metric names to their facts. The core three are ours; any other name is looked up in pyiqa, when it is installed."""

from __future__ import annotations

import math

from errors import UnknownNameError
from eval.metrics.spec import MetricSpec

_CORE = {
    spec.name: spec
    for spec in (
        MetricSpec(
            name="psnr",
            title="PSNR",
            kind="full",
            better="higher",
            low=0.0,
            high=math.inf,
            licence="Apache-2.0",
            cost="fast",
            typical="dB; 10-20 is clearly off, 25-35 good, above 45 hardly visible, infinite when identical",
            decimals=2,
            source="10 log10(MAX^2 / MSE)",
        ),
        MetricSpec(
            name="ssim",
            title="SSIM",
            kind="full",
            better="higher",
            low=-1.0,
            high=1.0,
            licence="Apache-2.0",
            cost="fast",
            typical="below 0.6 poor, 0.8-0.95 good, 1 identical",
            decimals=4,
            source="Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13(4), 2004",
        ),
        MetricSpec(
            name="niqe",
            title="NIQE",
            kind="none",
            better="lower",
            low=0.0,
            high=math.inf,
            licence="Apache-2.0",
            cost="fast",
            typical="2.5-4 natural and clean, above 6 visibly unnatural; differences below 0.3 mean little",
            decimals=3,
            source="Mittal, Soundararajan, Bovik, IEEE SPL 20(3), 2013",
        ),
    )
}


def names(*, extra: bool = False) -> list[str]:
    """Names of the metrics.

    Args:
        extra: Also list what pyiqa offers here (reads its table of metrics, without importing it).
    """
    known = list(_CORE)
    if extra:
        from eval.metrics import pyiqa_bridge

        known += [name for name in pyiqa_bridge.names() if name not in _CORE]
    return known


def is_core(name: str) -> bool:
    """Whether a metric is one of our own, which need neither torch nor pyiqa."""
    return name in _CORE


def spec(name: str) -> MetricSpec:
    """The facts of a metric; names beyond the core are looked up in pyiqa.

    Raises:
        UnknownNameError: Neither we nor pyiqa know the name.
        MetricUnavailableError: The name is not ours and pyiqa is not installed.
    """
    if name in _CORE:
        return _CORE[name]
    from eval.metrics import pyiqa_bridge

    if pyiqa_bridge.is_installed() and name not in pyiqa_bridge.names():
        raise UnknownNameError("metric", name, names(extra=True))
    return pyiqa_bridge.spec(name)


def parse(text: str) -> tuple[str, ...]:
    """Metric names from a comma-separated list, in order, without repeats; core names in any case.

    Raises:
        UnknownNameError: One of the names is unknown.
        MetricUnavailableError: A name is not ours and pyiqa is not installed.

    Example:
        >>> parse("PSNR, ssim,psnr")
        ('psnr', 'ssim')
    """
    found: list[str] = []
    for part in text.split(","):
        name = part.strip()
        name = name.lower() if name.lower() in _CORE else name
        if name and name not in found:
            spec(name)
            found.append(name)
    return tuple(found)
