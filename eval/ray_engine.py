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
from pathlib import Path
from typing import Any

from errors import ImageError, UsageError
from eval.distributed import THREADS
from eval.sources import BrokenSource, BytesSource, Source
from eval.units import Job, Outcome, Unit, make_ahead, run_unit
from images import read_picture

_ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = dict.fromkeys(THREADS, "1") | {"RAY_USAGE_STATS_ENABLED": "0"}
_BLOCK = 32
"""Units per block: what travels and is retried together."""


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
    items = [{"unit": pickle.dumps(unit)} for unit in units]
    if not items:
        return
    _connect(ray, workers)
    restores = any(method.kind == "restorer" for method in pickle.loads(items[0]["unit"]).methods)
    gpus = 1 if restores and job.device != "cpu" and ray.cluster_resources().get("GPU") else 0
    home = ray.get_runtime_context().get_node_id()
    stream = ray.data.from_items(items, override_num_blocks=max(1, -(-len(items) // _BLOCK)))
    stream = stream.map(_read, fn_kwargs={"decode": restores}, num_cpus=0.1)
    pool = ray.data.ActorPoolStrategy(size=workers)
    if restores:
        stream = stream.map(
            _Restore, fn_constructor_args=(job, home), compute=pool, num_cpus=0.4, num_gpus=gpus or None
        )
    stream = stream.map(_Score, fn_constructor_args=(job, home), compute=pool, num_cpus=0.4)
    for row in stream.iter_rows():
        yield [pickle.loads(row["outcome"])]


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
    """First stage: the bytes of the files, and the decoded input where a restorer will want it."""
    unit: Unit = pickle.loads(row["unit"])
    pair = unit.pair
    pair = replace(pair, input=_fetched(pair.input), reference=pair.reference and _fetched(pair.reference))
    results = tuple(result and _fetched(result) for result in unit.results)
    picture = None
    if decode and isinstance(pair.input, BytesSource):
        try:
            picture = read_picture(pair.input.data, name=pair.input.name)
        except ImageError:
            picture = None  # the scorer finds the same and puts it into the row
    fetched = replace(unit, pair=pair, results=results)
    return {"unit": pickle.dumps(fetched), "picture": pickle.dumps(picture), "made": pickle.dumps(())}


def _fetched(source: Source) -> Source:
    try:
        data = source.read_bytes()
    except ImageError as error:
        return BrokenSource(source.name, source.size, str(error))
    return BytesSource(source.name, len(data), data)


class _Stage:
    """An actor; looks into the store only on the machine that has it."""

    def __init__(self, job: Job, home: str) -> None:
        import ray

        here = ray.get_runtime_context().get_node_id() == home
        self.job = job if here else replace(job, store=None)


class _Restore(_Stage):
    """Second stage: holds one model, and hands pictures on."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        made = make_ahead(pickle.loads(row["unit"]), self.job, pickle.loads(row["picture"]))
        return {"unit": row["unit"], "made": pickle.dumps(made)}


class _Score(_Stage):
    """Last stage: rows."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = run_unit(pickle.loads(row["unit"]), self.job, pickle.loads(row["made"]))
        return {"outcome": pickle.dumps(outcome)}
