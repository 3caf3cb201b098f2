"""However the work is split, the bytes are the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from errors import UsageError
from eval.distributed import parse_shard, run_pool, run_units
from eval.merging import merge_files
from eval.metrics.niqe_model import embedded_model
from eval.pairing import Pair
from eval.protocol import get
from eval.rowfiles import write_rows
from eval.runner import make_plan, run
from eval.sets import open_set
from eval.sources import Source
from eval.store import Store
from eval.units import Job, Unit, make_ahead, run_unit
from tests.eval.pictures import write_folders
from tests.eval.test_runner import bytes_of, finish, plan_of

ROOT = Path(__file__).parents[2]
METRICS = ("psnr", "ssim", "niqe")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    hazy, clear = write_folders(tmp_path_factory.mktemp("set"), 9)
    (hazy / "0004.png").write_bytes(b"not a picture")
    return hazy, clear


@pytest.fixture(scope="module")
def plain(folders, tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("plain")
    plan = plan_of(folders, metrics=METRICS)
    with Store(folder / "rows.sqlite") as store:
        finish(plan, store)
        return bytes_of(plan, store, folder)


def test_a_pool_gives_the_same_bytes_and_resumes(folders, plain, tmp_path):
    plan = plan_of(folders, metrics=METRICS)
    with Store(tmp_path / "rows.sqlite") as store:
        last = finish(plan, store, workers=2)
        assert (last.done, last.failed) == (9, 1)
        assert bytes_of(plan, store, tmp_path) == plain
        assert finish(plan, store, workers=2).found == 8


def test_shards_and_merge_give_the_same_bytes(folders, plain, tmp_path):
    images = open_set(*folders)
    parts = []
    for index in range(4):
        plan = plan_of(folders, metrics=METRICS)
        plan = replace(plan, images=images.shard(index, 4))
        with Store(tmp_path / f"{index}.sqlite") as store:
            finish(plan, store)
            parts.append(tmp_path / f"part-{index}-of-4.parquet")
            write_rows(parts[-1], plan.rows(store))
    counts = merge_files(parts[::-1], tmp_path / "merged.csv")
    assert (tmp_path / "merged.csv").read_bytes() == plain
    assert (counts.rows, counts.duplicates) == (25, 0)


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "a/b", "1/0", "1/", ""])
def test_shards_that_are_none(text):
    with pytest.raises(UsageError, match="0/4"):
        parse_shard(text)


def test_shards():
    assert [parse_shard(f"{i}/3") for i in range(3)] == [(0, 3), (1, 3), (2, 3)]


class Deadly(Source):
    """A picture that takes its process with it, as one does that needs all the memory there is."""

    def read_bytes(self, count: int | None = None) -> bytes:
        import multiprocessing

        if multiprocessing.parent_process() is None:
            return b""  # the test's own process lives on
        os._exit(9)


def test_a_picture_that_kills_its_worker_costs_one_row(folders):
    pairs = [*open_set(*folders).pairs[:3], Pair("deadly", Deadly("deadly.png", 1))]
    method = plan_of(folders).methods[0]
    units = [Unit(pair, (method,), (None,)) for pair in pairs]
    job = Job(("psnr",), get("dehaze-rgb"))
    outcomes = [outcome for part in run_pool(units, job, workers=2, chunk=1) for outcome in part]
    rows = {row.image: row for outcome in outcomes for row in outcome.rows}
    assert sorted(rows) == ["0001", "0002", "0003", "deadly"]
    assert [rows[name].error for name in ("0001", "0002", "0003")] == [None] * 3
    assert "process died while scoring deadly.png" in rows["deadly"].error


def test_workers_do_not_import_torch(folders):
    code = f"""
import sys
from tests.eval.test_runner import plan_of
from eval.units import Unit, run_unit
from pathlib import Path
plan = plan_of((Path({str(folders[0])!r}), Path({str(folders[1])!r})), metrics=("psnr", "ssim", "niqe"))
outcome = run_unit(Unit(plan.images.pairs[0], plan.methods, (None,)), plan.job)
assert len(outcome.rows) == 3 and all(row.value is not None for row in outcome.rows), outcome
import eval.distributed
assert "torch" not in sys.modules and "gradio" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


PARENT = """
import sys, time
from pathlib import Path
from tests.eval.test_distributed import Slow, units_of
from eval.distributed import run_pool
if __name__ == "__main__":
    units, job = units_of()
    for outcomes in run_pool(units, job, workers=2, chunk=1):
        print("one", flush=True)
"""


class Slow(Source):
    """A picture that takes its time."""

    def read_bytes(self, count: int | None = None) -> bytes:
        time.sleep(0.2)
        return b"text"


def units_of() -> tuple[list[Unit], Job]:
    from eval.methods import Method

    units = [Unit(Pair(str(i), Slow(f"{i}.png", 1)), (Method("input", "input"),), (None,)) for i in range(10_000)]
    return units, Job(("psnr",), get("dehaze-rgb"))


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], env=environment, stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"one\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    parent.stdout.close()


def test_a_stop_ends_a_pool(folders, tmp_path):
    stop = threading.Event()
    plan = plan_of(folders)
    with Store(tmp_path / "rows.sqlite") as store:
        seen = []
        for progress in run(plan, store, workers=2, stop=stop):
            seen.append(progress.done)
            stop.set()
        assert seen[-1] < 9
        assert finish(plan, store).done == 9


def test_making_ahead_changes_nothing(folders, tmp_path):
    """What the cluster does in two places is what one process does in one."""
    pytest.importorskip("torch")
    from eval.methods import parse_methods

    images = open_set(*folders)
    methods = parse_methods("dark_channel")
    plan = make_plan(images, methods, ["psnr"], get("dehaze-rgb"), device="cpu")
    for pair in (images.pairs[0], images.pairs[3]):
        unit = Unit(pair, methods, (None,))
        at_once = [stripped(row) for row in run_unit(unit, plan.job).rows]
        apart = [stripped(row) for row in run_unit(unit, plan.job, make_ahead(unit, plan.job)).rows]
        assert at_once == apart and len(at_once) == 1


def stripped(row):
    return replace(row, seconds=None, score_seconds=None, peak_mib=None)


@pytest.mark.timeout(900)
def test_ray_gives_the_same_bytes(folders, tmp_path):
    """All stages: read and decode, restore, score; a bad picture among the good ones."""
    ray = pytest.importorskip("ray", reason="Ray is optional: pip install -r requirements-cluster.txt")
    pytest.importorskip("ray.data")
    plan = plan_of(folders, "dark_channel", metrics=METRICS, device="cpu")
    plan = replace(plan, images=replace(plan.images, pairs=plan.images.pairs[2:5]))
    written = []
    try:
        for engine in ("local", "ray"):
            with Store(tmp_path / f"{engine}.sqlite") as store:
                assert finish(plan, store, engine=engine).failed == 1
                written.append(bytes_of(plan, store, tmp_path))
    finally:
        ray.shutdown()
    assert written[0] == written[1] and written[0].count(b"\n") == 1 + 3 + 1 + 3


def test_jobs_travel(folders):
    import pickle

    plan = plan_of(folders, metrics=METRICS)
    job = pickle.loads(pickle.dumps(plan.job))
    assert job.niqe_parameters.variant == embedded_model().variant or job.niqe_parameters.kind == "live"
    (outcome,) = run_units([Unit(plan.images.pairs[0], plan.methods, (None,))], job)
    assert len(outcome.rows) == 3
