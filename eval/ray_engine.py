"""The same work as a stream through Ray Data, on this machine or on a cluster (``RAY_ADDRESS``).

Three stages with back-pressure between them: tasks that read and decode; where something has to be restored, actors
that hold one model each (on a GPU where there is one); actors that score. Only rows come back. Needs
``pip install -r requirements-cluster.txt``.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from errors import ImageError, UsageError
from eval.distributed import THREADS
from eval.sources import BrokenSource, BytesSource, Source
from eval.units import Job, Made, Outcome, Unit, make_ahead, run_unit
from images import Picture, read_picture

_ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = dict.fromkeys(THREADS, "1") | {"RAY_USAGE_STATS_ENABLED": "0"}
_GROUP = 32
"""Units in one row of the stream at most: handling a row takes Ray as long as scoring a small picture takes us."""

_ROWS = 4
"""Rows in a block: what Ray schedules."""

_GROUP_BYTES = 32 * 2**20
"""Bytes of files in one row at most: what a worker holds, and what is tried again when it dies."""


def run_ray(units: Iterable[Unit], job: Job, workers: int) -> Iterator[list[Outcome]]:
    """Outcomes in the order in which Ray finishes them.

    Args:
        units: The work; a few hundred bytes each.
        job: What is the same for all.
        workers: Actors per stage.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            "--engine ray needs Ray, which is optional: pip install -r requirements-cluster.txt"
        ) from error
    waiting = iter(units)
    first = next(waiting, None)
    if first is None:
        return
    _connect(ray, workers)
    restores = any(method.kind == "restorer" for method in first.methods)
    # Restoring takes longer than passing on, and its pictures travel decoded: those go one by one.
    items = [{"units": pickle.dumps(group)} for group in _groups(chain((first,), waiting), 1 if restores else _GROUP)]
    gpus = 1 if restores and job.device != "cpu" and ray.cluster_resources().get("GPU") else 0
    home = ray.get_runtime_context().get_node_id()
    stream = ray.data.from_items(items, override_num_blocks=-(-len(items) // _ROWS))
    stream = stream.map(_read, fn_kwargs={"decode": restores}, num_cpus=0.1)
    pool = ray.data.ActorPoolStrategy(size=workers)
    if restores:
        stream = stream.map(
            _Restore, fn_constructor_args=(job, home), compute=pool, num_cpus=0.4, num_gpus=gpus or None
        )
    stream = stream.map(_Score, fn_constructor_args=(job, home), compute=pool, num_cpus=0.4)
    for row in stream.iter_rows():
        yield pickle.loads(row["outcomes"])


def _groups(units: Iterable[Unit], count: int) -> Iterator[list[Unit]]:
    """Neighbouring units together, as many as the limits allow."""
    group: list[Unit] = []
    size = 0
    for unit in units:
        files = (unit.pair.input, unit.pair.reference, *unit.results)
        more = sum(source.size for source in files if source is not None)
        if group and (len(group) == count or size + more > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(unit)
        size += more
    if group:
        yield group


def _connect(ray: Any, workers: int) -> None:
    """Join the cluster that RAY_ADDRESS names, or start a small one here; once."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    environment: dict[str, Any] = {"env_vars": _SETTINGS}
    if address:
        environment |= {"working_dir": str(_ROOT), "excludes": [".git", ".venv", "runs", "tests", "docs"]}
        ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
    else:
        environment["env_vars"] = _SETTINGS | {"PYTHONPATH": str(_ROOT)}
        ray.init(
            num_cpus=workers + 1,
            include_dashboard=False,
            runtime_env=environment,
            log_to_driver=False,
            logging_level="ERROR",
        )


def _read(row: dict[str, Any], decode: bool) -> dict[str, Any]:
    """First stage: the bytes of the files, and the decoded inputs where a restorer will want them."""
    units = [_fetched(unit) for unit in pickle.loads(row["units"])]
    pictures = [_decoded(unit.pair.input) if decode else None for unit in units]
    made: list[tuple[Made, ...]] = [()] * len(units)
    return {"units": pickle.dumps(units), "pictures": pickle.dumps(pictures), "made": pickle.dumps(made)}


def _fetched(unit: Unit) -> Unit:
    """The same unit with its files in memory."""
    pair = unit.pair
    pair = replace(pair, input=_held(pair.input), reference=pair.reference and _held(pair.reference))
    return replace(unit, pair=pair, results=tuple(result and _held(result) for result in unit.results))


def _held(source: Source) -> Source:
    try:
        data = source.read_bytes()
    except ImageError as error:
        return BrokenSource(source.name, source.size, str(error))
    return BytesSource(source.name, len(data), data)


def _decoded(source: Source) -> Picture | None:
    if isinstance(source, BytesSource):
        try:
            return read_picture(source.data, name=source.name)
        except ImageError:
            pass  # the scorer finds the same and puts it into the row
    return None


class _Stage:
    """An actor; looks into the store only on the machine that has it."""

    def __init__(self, job: Job, home: str) -> None:
        import ray

        here = ray.get_runtime_context().get_node_id() == home
        self.job = job if here else replace(job, store=None)


class _Restore(_Stage):
    """Second stage: holds one model, and hands pictures on."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(pickle.loads(row["units"]), pickle.loads(row["pictures"]), strict=True)
        made = [make_ahead(unit, self.job, picture) for unit, picture in pairs]
        return {"units": row["units"], "made": pickle.dumps(made)}


class _Score(_Stage):
    """Last stage: rows."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(pickle.loads(row["units"]), pickle.loads(row["made"]), strict=True)
        return {"outcomes": pickle.dumps([run_unit(unit, self.job, made) for unit, made in pairs])}
