"""Score a set: every method on every picture, rows as they come, on disk before anybody sees them.

Kill it at any moment and run it again: what was written is found by its content and not computed again, and the rows
are the same in the end, to the byte. The command line and the page both call :func:`run`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from errors import SetError, UsageError
from eval.distributed import run_here, run_pool
from eval.methods import Method, results_of
from eval.metrics.niqe_model import NiqeModel, resolve_model
from eval.metrics.registry import spec
from eval.protocol import Protocol
from eval.rows import WHOLE_PICTURE, ScoreRow, to_frame
from eval.sets import ImageSet
from eval.sources import BrokenSource, Source
from eval.store import Store
from eval.units import Job, Outcome, Unit, check_model, kept_store, variant_of
from eval.wording import listed

if TYPE_CHECKING:
    from pathlib import Path

    import pandas

ETA_AFTER = 3
"""Pictures to wait for before a remaining time is said."""

_BATCH_SECONDS = 0.5
"""How long finished rows may wait for their transaction; what a kill can cost."""


@dataclass(frozen=True)
class Plan:
    """What to score and how. Built by :func:`make_plan`, which checks it.

    Attributes:
        images: The set.
        methods: What to rank.
        job: Metrics, protocol and the rest that is the same for every picture.
    """

    images: ImageSet
    methods: tuple[Method, ...]
    job: Job

    @property
    def total(self) -> int:
        """Number of pictures times number of methods."""
        return len(self.images.pairs) * len(self.methods)

    def rows(self, store: Store, *, others: bool = False) -> Iterator[ScoreRow]:
        """The rows of this plan that are in the store, in the order of their keys.

        Args:
            store: Where the plan was run.
            others: Also the rows that are none of its business: of other pictures, sets, methods, metrics, protocols.
        """
        keys = {pair.key for pair in self.images.pairs}
        variants = {name: variant_of(name, self.job) for name in self.job.metrics} | {WHOLE_PICTURE: ""}
        scope = {
            "dataset": [self.job.dataset],
            "protocol_hash": [self.job.protocol.hash],
            "method": [method.name for method in self.methods],
            "metric": list(variants),
        }
        for row in store.rows(**({} if others else scope)):
            if row.image not in keys or any(getattr(row, name) not in known for name, known in scope.items()):
                if others:
                    yield row
            elif row.error is not None or row.variant == variants[row.metric]:
                yield row

    def frame(self, store: Store) -> pandas.DataFrame:
        """The same as a table."""
        return to_frame(self.rows(store))


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        rows: Rows that are new since the last progress.
        done: Pictures times methods finished, found ones included.
        total: Pictures times methods in all.
        found: How many of ``done`` were in the store already.
        failed: How many of ``done`` have an error.
        seconds: Time since the start.
        eta_seconds: Time that is left, by the speed so far; None before three pictures are done.
    """

    rows: tuple[ScoreRow, ...]
    done: int
    total: int
    found: int
    failed: int
    seconds: float
    eta_seconds: float | None


def make_plan(
    images: ImageSet,
    methods: Sequence[Method],
    metrics: Sequence[str],
    protocol: Protocol,
    *,
    niqe_parameters: NiqeModel | str | Path | None = None,
    dataset: str = "",
    device: str = "auto",
    has_references: bool | None = None,
) -> Plan:
    """Check a plan before anything is scored.

    Args:
        images: The set.
        methods: What to rank.
        metrics: Metric names.
        protocol: How to measure.
        niqe_parameters: A pristine model or its file; None takes what the protocol accepts and this machine has.
        dataset: Name of the set in the rows; pictures of several sets in one store need one each.
        device: Where restorers run.
        has_references: Whether the set of which ``images`` are a shard has any; None: they are all of it.

    Raises:
        UnknownNameError: There is no such metric.
        UsageError: A metric needs references and there are none, or nothing is asked for.
        MetricError: The NIQE parameters cannot be had.
    """
    names = list(dict.fromkeys(metrics))
    if not names:
        raise UsageError("No metric is named; give for example --metrics psnr,ssim,niqe.")
    lacking = [name for name in names if spec(name).needs_reference]
    if lacking and not (images.has_references if has_references is None else has_references):
        raise UsageError(
            f"This set has no references for {listed(lacking)} to compare with; give --reference, or --metrics niqe."
        )
    model = resolve_model(niqe_parameters, protocol.niqe) if "niqe" in names else None
    return Plan(images, tuple(methods), Job(tuple(names), protocol, model, dataset, device))


def run(
    plan: Plan,
    store: Store,
    *,
    workers: int = 1,
    engine: str = "local",
    stop: threading.Event | None = None,
) -> Iterator[Progress]:
    """Score what is not in the store yet.

    Args:
        plan: What to score.
        store: Where rows go and where known ones are looked for.
        workers: Processes; 1 works in this one.
        engine: "local", or "ray" for Ray Data on this machine or a cluster.
        stop: When set, the run ends after the pictures that are being scored; what was done is kept.

    Yields:
        Progress, at least once a second while rows come, and once at the end.

    Raises:
        SetError: There are uploaded results only, and not one of their files belongs to any picture.
        ModelError: A restorer cannot be loaded. Rows of methods before it are kept.
        StoreError: The store cannot be written.
    """
    kept_store.cache_clear()  # another file may stand at that path since the last run
    job = replace(plan.job, store=str(store.path))
    stop = stop or threading.Event()
    for method in plan.methods:
        if method.kind == "restorer":
            check_model(method.model, job.device)
    results = _results(plan)
    pace = _Pace(plan.total)
    yield pace.progress(())
    for methods in _passes(plan.methods):
        pace.next_pass()
        units = _until(stop, _units(plan.images, methods, results))
        for outcomes in _engine(engine, workers, len(plan.images.pairs))(units, job):
            pace.add(outcomes, len(methods))
            if pace.due():
                yield _write(store, pace)
            if stop.is_set():
                break
        yield _write(store, pace)
        if stop.is_set():
            return


def _write(store: Store, pace: _Pace) -> Progress:
    rows = pace.take()
    store.replace(rows)
    return pace.progress(rows)


def _passes(methods: Sequence[Method]) -> list[tuple[Method, ...]]:
    """Methods that go together.

    Files are scored side by side, so that a reference is decoded once; restorers one after the other, so that one
    model at a time is in memory.
    """
    files = tuple(method for method in methods if method.kind != "restorer")
    passes = [files] if files else []
    return passes + [(method,) for method in methods if method.kind == "restorer"]


def _results(plan: Plan) -> dict[str, Mapping[str, Source]]:
    """Per method, the file of each picture; where not one file belongs to any, each picture gets the reason.

    Raises:
        SetError: That is so for every method: there is nothing to score.
    """
    pairs, found, errors = plan.images.pairs, {}, []
    for method in plan.methods:
        try:
            found[method.name] = results_of(method, pairs)
        except SetError as error:
            errors.append(error)
            found[method.name] = dict.fromkeys((p.key for p in pairs), BrokenSource(method.name, 0, str(error)))
    if errors and len(errors) == len(plan.methods):
        raise errors[0]
    return found


def _units(images: ImageSet, methods: Sequence[Method], results: Mapping[str, Mapping[str, Source]]) -> Iterator[Unit]:
    bare = tuple(replace(method, listing=None) for method in methods)  # a listing is the whole set, a unit is not
    for pair in images.pairs:
        yield Unit(pair, bare, tuple(results[method.name].get(pair.key) for method in methods))


def _engine(engine: str, workers: int, pictures: int) -> Callable[[Iterable[Unit], Job], Iterator[list[Outcome]]]:
    if engine == "ray":
        from eval.ray_engine import run_ray

        return lambda units, job: run_ray(units, job, workers)
    if engine != "local":
        raise UsageError(f"There is no engine called {engine!r}; use local or ray.")
    if workers < 1:
        raise UsageError(f"--workers {workers} is no number of processes; use 1 or more.")
    workers = min(workers, pictures)
    if workers <= 1:
        return run_here
    chunk = max(1, min(16, math.ceil(pictures / (workers * 8))))
    return lambda units, job: run_pool(units, job, workers, chunk)


def _until(stop: threading.Event, units: Iterable[Unit]) -> Iterator[Unit]:
    for unit in units:
        if stop.is_set():
            return
        yield unit


class _Pace:
    """Counts, and what the clock says about them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.found = self.failed = 0
        self._start = self._last = time.monotonic()
        self._pending: list[ScoreRow] = []
        self.next_pass()

    def next_pass(self) -> None:
        """Another pass has another speed."""
        self._pass_start, self._pass_done, self._pass_images = time.monotonic(), 0, 0

    def add(self, outcomes: Sequence[Outcome], methods: int) -> None:
        for outcome in outcomes:
            self._pending += outcome.rows
            self.done += methods
            self.found += outcome.found
            self.failed += outcome.failed
            self._pass_done += methods - outcome.found
            self._pass_images += outcome.found < methods

    def due(self) -> bool:
        return time.monotonic() - self._last >= _BATCH_SECONDS

    def take(self) -> tuple[ScoreRow, ...]:
        rows, self._pending = tuple(self._pending), []
        self._last = time.monotonic()
        return rows

    def progress(self, rows: tuple[ScoreRow, ...]) -> Progress:
        now = time.monotonic()
        eta = None
        if self.done == self.total:
            eta = 0.0
        elif self._pass_images >= ETA_AFTER:
            eta = (now - self._pass_start) / self._pass_done * (self.total - self.done)
        return Progress(rows, self.done, self.total, self.found, self.failed, now - self._start, eta)
