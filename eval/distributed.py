"""More than one process: shards by hand, a pool of processes on one machine; for Ray see :mod:`eval.ray_engine`.

Results never depend on how the work was split: a unit is scored alone, and rows are sorted when they are written.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice

from errors import UsageError
from eval.units import Job, Outcome, Unit, crashed, run_unit

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
_AHEAD = 3
"""Chunks in flight per worker: enough to keep it busy, few enough that memory does not grow with the set."""


def parse_shard(text: str) -> tuple[int, int]:
    """The text "2/8" as (2, 8): the third of eight shards.

    Raises:
        UsageError: It is no such thing.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 0 <= int(index) < int(count)):
        raise UsageError(f"--shard {text!r} is not i/n with 0 <= i < n; the first of four shards is 0/4.")
    return int(index), int(count)


def run_here(units: Iterable[Unit], job: Job) -> Iterator[list[Outcome]]:
    """One unit after the other in this process."""
    for unit in units:
        yield [run_unit(unit, job)]


def run_pool(units: Iterable[Unit], job: Job, workers: int, chunk: int) -> Iterator[list[Outcome]]:
    """Units on a pool of processes, in the order in which they finish.

    A picture that kills its worker (out of memory, a crash in a decoder) is found by trying the units that were in
    flight one at a time, becomes a row that says so, and the rest goes on in a new pool.

    Args:
        units: The work; drawn from as workers become free.
        job: What is the same for all.
        workers: Number of processes.
        chunk: Units per task.
    """
    waiting = iter(units)
    suspects: deque[Unit] = deque()
    while True:
        running: dict[Future[list[Outcome]], list[Unit]] = {}
        task: list[Unit] = []
        with _pool(workers) as pool:
            try:
                while True:
                    while len(running) < (1 if suspects else workers * _AHEAD):
                        task = [suspects.popleft()] if suspects else list(islice(waiting, chunk))
                        if not task:
                            break
                        running[pool.submit(run_units, task, job)] = task
                        task = []
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        outcomes = future.result()
                        del running[future]
                        yield outcomes
            except BrokenProcessPool:
                lost = [unit for part in (*running.values(), task) for unit in part]
        if len(lost) == 1:
            yield [crashed(lost[0], job)]
        else:
            suspects.extend(lost)


def run_units(units: list[Unit], job: Job) -> list[Outcome]:
    """What a worker does with one task."""
    return [run_unit(unit, job) for unit in units]


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # forking a process that runs torch or a web server is not safe
    with _one_thread_each():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
        for _ in range(workers):  # each starts a worker now, while the environment says one thread
            pool.submit(os.getpid)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """End when the parent has ended: a killed parent must not leave workers waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    from multiprocessing.connection import wait as wait_for

    wait_for([sentinel])
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Thread counts are read when the libraries load, so children have to be born with them."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
