from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from errors import MetricError, UnknownNameError, UsageError
from eval import units
from eval.methods import parse_methods
from eval.protocol import get
from eval.rowfiles import write_rows
from eval.rows import ScoreRow
from eval.runner import Plan, Progress, make_plan, run
from eval.sets import open_set
from eval.store import Store
from images import encode_picture, write_picture
from tests.eval.pictures import degraded, picture, write_folders, write_zip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folders(tmp_path):
    return write_folders(tmp_path / "set", 4)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "rows.sqlite") as opened:
        yield opened


def plan_of(folders, methods: str = "input", metrics: tuple[str, ...] = ("psnr", "ssim"), **more) -> Plan:
    return make_plan(open_set(*folders), parse_methods(methods), metrics, get("dehaze-rgb"), **more)


def finish(plan: Plan, store: Store, **how) -> Progress:
    *_, last = run(plan, store, **how)
    return last


def rows_of(plan: Plan, store: Store) -> dict[tuple[str, str, str], ScoreRow]:
    return {(row.image, row.method, row.metric): row for row in plan.rows(store)}


def bytes_of(plan: Plan, store: Store, folder: Path) -> bytes:
    write_rows(folder / "out.csv", plan.rows(store))
    return (folder / "out.csv").read_bytes()


def test_rows_are_the_scores_of_the_pictures(folders, store):
    plan = plan_of(folders)
    last = finish(plan, store)
    assert (last.done, last.total, last.found, last.failed, last.eta_seconds) == (4, 4, 0, 0, 0.0)
    rows = rows_of(plan, store)
    assert len(rows) == 8
    clear = picture(1).astype(float)
    error = np.mean((clear - degraded(picture(1), 1)) ** 2)
    row = rows["0001", "input", "psnr"]
    assert row.value == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)
    assert row.input_sha256 == row.output_sha256 != row.reference_sha256
    assert (row.protocol, row.height, row.width, row.seconds) == ("dehaze-rgb", 104, 112, None)
    assert row.protocol_hash == get("dehaze-rgb").hash and row.code_version


def test_progress_carries_every_row_once_and_a_remaining_time(folders, store, monkeypatch):
    monkeypatch.setattr("eval.runner._BATCH_SECONDS", 0.0)
    plan = plan_of(folders)
    seen = list(run(plan, store))
    assert [p.done for p in seen] == [0, 1, 2, 3, 4, 4]
    assert [p.eta_seconds is None for p in seen] == [True, True, True, False, False, False]
    rows = [row for p in seen for row in p.rows]
    assert len(rows) == 8 == len(set(rows)) and set(rows) == set(plan.rows(store))


def test_a_second_run_scores_nothing(folders, store, monkeypatch, tmp_path):
    plan = plan_of(folders)
    finish(plan, store)
    before = bytes_of(plan, store, tmp_path)
    monkeypatch.setattr(units, "score", lambda *_args, **_more: pytest.fail("scored twice"))
    last = finish(plan, store)
    assert (last.done, last.found) == (4, 4) and bytes_of(plan, store, tmp_path) == before


def test_only_new_metrics_and_methods_are_computed(folders, store, monkeypatch):
    finish(plan_of(folders, metrics=("psnr",)), store)
    asked = []
    genuine = units.score
    monkeypatch.setattr(
        units, "score", lambda o, r, metrics, *a, **k: asked.append(metrics) or genuine(o, r, metrics, *a, **k)
    )
    finish(plan_of(folders, metrics=("psnr", "ssim")), store)
    assert asked == [["ssim"]] * 4
    asked.clear()
    finish(plan_of(folders, f"input,ideal={folders[1]}", metrics=("psnr", "ssim")), store)
    assert asked == [["psnr", "ssim"]] * 4


def test_metrics_of_pyiqa_are_scored_and_found_again(folders, store):
    pytest.importorskip("pyiqa")
    plan = plan_of(folders, metrics=("psnr", "gmsd"))
    finish(plan, store)
    row = rows_of(plan, store)["0001", "input", "gmsd"]
    assert row.value > 0 and row.variant.startswith("pyiqa-") and len(rows_of(plan, store)) == 8
    assert finish(plan, store).found == 4


def test_a_time_knows_the_pixels_it_was_spent_on_and_files_know_neither(folders, store, tmp_path):
    pytest.importorskip("torch")
    plan = plan_of(folders[:1], "input,bicubic_x2", metrics=("niqe",), device="cpu")
    finish(plan, store)
    rows = rows_of(plan, store)
    made, given = rows["0001", "bicubic_x2", "niqe"], rows["0001", "input", "niqe"]
    assert (made.height, made.width, made.input_pixels) == (208, 224, 104 * 112) and made.seconds > 0
    assert given.input_pixels is None and given.seconds is None
    assert b"input_pixels" not in bytes_of(plan, store, tmp_path)


@pytest.mark.parametrize("side", [0, 1])
def test_a_changed_file_does_not_meet_its_old_scores(folders, store, side):
    plan = plan_of(folders)
    finish(plan, store)
    before = rows_of(plan, store)
    write_picture(folders[side] / "0002.png", picture(77))
    last = finish(plan, store)
    after = rows_of(plan, store)
    assert last.found == 3 and len(after) == 8
    changed = {
        key for key in after if replace(after[key], score_seconds=None) != replace(before[key], score_seconds=None)
    }
    assert changed == {("0002", "input", "psnr"), ("0002", "input", "ssim")}


def test_the_protocol_and_the_niqe_model_are_part_of_the_key(folders, store, tmp_path):
    finish(plan_of(folders, metrics=("niqe",)), store)
    assert finish(replace_protocol(plan_of(folders, metrics=("niqe",)), "lowlight-rgb"), store).found == 0
    from eval.metrics.niqe_model import embedded_model

    model = embedded_model()
    np.savez(tmp_path / "other.npz", mean=model.mean + 0.01, covariance=model.covariance)
    other = plan_of(folders, metrics=("niqe",), niqe_parameters=tmp_path / "other.npz")
    assert finish(other, store).found == 0
    values = {row.value for row in plan_of(folders, metrics=("niqe",)).rows(store)}
    assert values.isdisjoint({row.value for row in other.rows(store)}) and len(values) == 4


def replace_protocol(plan: Plan, name: str) -> Plan:
    return replace(plan, job=replace(plan.job, protocol=get(name)))


def test_equal_content_under_other_names_is_not_scored_again(folders, store, monkeypatch):
    plan = plan_of(folders)
    finish(plan, store)
    for folder in folders:
        (folder / "0001.png").rename(folder / "renamed.png")
    monkeypatch.setattr(units, "score", lambda *_args, **_more: pytest.fail("scored twice"))
    plan = plan_of(folders, dataset="another set")
    finish(plan, store)
    assert {key[0] for key in rows_of(plan, store)} == {"0002", "0003", "0004", "renamed"}


def test_bad_pictures_cost_one_row_each(folders, store):
    hazy, clear = folders
    (hazy / "0001.png").write_bytes((hazy / "0001.png").read_bytes()[:500])
    (hazy / "0002.png").write_bytes(b"I am a text")
    (clear / "0003.png").write_bytes(b"I am a text")
    plan = plan_of(folders, metrics=("psnr", "ssim", "niqe"))
    last = finish(plan, store)
    rows = rows_of(plan, store)
    assert last.failed == 3 and last.done == 4
    assert "0001.png is damaged or cut off" in rows["0001", "input", ""].error
    assert "0002.png is not a picture" in rows["0002", "input", ""].error
    assert len([key for key in rows if key[0] in ("0001", "0002")]) == 2
    assert "reference cannot be used: 0003.png is not" in rows["0003", "input", "psnr"].error
    assert rows["0003", "input", "niqe"].value > 0
    assert [rows["0004", "input", metric].error for metric in ("psnr", "ssim", "niqe")] == [None] * 3


def test_a_repaired_picture_loses_its_error(folders, store):
    good = (folders[0] / "0001.png").read_bytes()
    (folders[0] / "0001.png").write_bytes(good[:500])
    plan = plan_of(folders)
    finish(plan, store)
    (folders[0] / "0001.png").write_bytes(good)
    assert finish(plan, store).found == 3
    assert all(row.error is None for row in plan.rows(store)) and len(rows_of(plan, store)) == 8


def test_errors_are_tried_again_and_say_the_same(folders, store, tmp_path):
    (folders[0] / "0001.png").write_bytes(b"text")
    plan = plan_of(folders)
    finish(plan, store)
    before = bytes_of(plan, store, tmp_path)
    last = finish(plan, store)
    assert (last.found, last.failed) == (3, 1) and bytes_of(plan, store, tmp_path) == before


def test_a_picture_of_a_billion_pixels_is_refused_by_its_head(folders, store):
    from tests.eval.giant import giant_png

    (folders[0] / "0001.png").write_bytes(giant_png(40_000, 40_000))
    plan = plan_of(folders)
    start = time.perf_counter()
    finish(plan, store)
    error = rows_of(plan, store)["0001", "input", ""].error
    assert error.startswith("0001.png") and "make it smaller" in error
    assert len(rows_of(plan, store)) == 7
    assert time.perf_counter() - start < 30


def test_sizes_that_differ_fail_the_metrics_that_compare(folders, store):
    write_picture(folders[1] / "0001.png", picture(1, 100, 112))
    plan = plan_of(folders, metrics=("psnr", "ssim", "niqe"))
    finish(plan, store)
    rows = rows_of(plan, store)
    assert rows["0001", "input", "psnr"].error and rows["0001", "input", "ssim"].error
    assert rows["0001", "input", "niqe"].value and rows["0002", "input", "psnr"].value


def test_unpaired_pictures_keep_their_no_reference_scores(folders, store):
    (folders[1] / "0001.png").unlink()
    plan = plan_of(folders, metrics=("psnr", "niqe"))
    finish(plan, store)
    rows = rows_of(plan, store)
    assert "0001.png has no reference by the rule 'same-name'" in rows["0001", "input", "psnr"].error
    assert rows["0001", "input", "niqe"].value > 0


def test_uploaded_results_and_the_one_that_is_missing(folders, store, tmp_path):
    hazy, clear = folders
    results = {path.name: path.read_bytes() for path in clear.iterdir()}
    del results["0003.png"]
    path = write_zip(tmp_path / "results.zip", results)
    plan = plan_of(folders, f"input,ideal={path}")
    finish(plan, store)
    rows = rows_of(plan, store)
    assert rows["0001", "ideal", "psnr"].value == float("inf")
    assert "'ideal' has no result for 0003.png" in rows["0003", "ideal", ""].error
    assert rows["0001", "ideal", "psnr"].input_sha256 == rows["0001", "input", "psnr"].input_sha256
    write_zip(path, results | {"0003.png": encode_picture(picture(5)), "0001.png": (hazy / "0001.png").read_bytes()})
    plan = plan_of(folders, f"input,ideal={path}")
    assert finish(plan, store).found == 6
    rows = rows_of(plan, store)
    assert rows["0001", "ideal", "psnr"].value == rows["0001", "input", "psnr"].value
    assert ("0003", "ideal", "") not in rows and rows["0003", "ideal", "psnr"].value


def test_a_stop_keeps_what_was_done(folders, store, tmp_path, monkeypatch):
    monkeypatch.setattr("eval.runner._BATCH_SECONDS", 0.0)
    stop = threading.Event()
    plan = plan_of(folders)
    for progress in run(plan, store, stop=stop):
        if progress.done == 2:
            stop.set()
    assert progress.done == 2 and len(store) == 4
    last = finish(plan, store)
    assert (last.done, last.found) == (4, 2)


def test_plans_are_checked_before_anything_is_scored(folders):
    with pytest.raises(UsageError, match=r"This set has no references for psnr to compare with; give --reference"):
        make_plan(open_set(folders[0]), parse_methods("input"), ["psnr", "niqe"], get("dehaze-rgb"))
    with pytest.raises(UnknownNameError):
        plan_of(folders, metrics=("psrn",))
    with pytest.raises(UsageError, match="No metric"):
        plan_of(folders, metrics=())
    with pytest.raises(MetricError, match=r"nowhere\.mat"):
        plan_of(folders, metrics=("niqe",), niqe_parameters="nowhere.mat")


def test_engines_and_workers_that_do_not_exist(folders, store):
    with pytest.raises(UsageError, match="no engine called 'spark'"):
        finish(plan_of(folders), store, engine="spark")
    with pytest.raises(UsageError, match="--workers 0 is no number"):
        finish(plan_of(folders), store, workers=0)


KILLED = """
import sys, time
from pathlib import Path
import eval.units as units
genuine = units.score
def slow(*args, **more):
    time.sleep(0.05)
    with open(sys.argv[3], "a") as log:
        log.write(args[0].name + chr(10))
    return genuine(*args, **more)
units.score = slow
import eval.runner
eval.runner._BATCH_SECONDS = 0.0
from tests.eval.test_runner import plan_of
from eval.store import Store
plan = plan_of((Path(sys.argv[1]) / "hazy", Path(sys.argv[1]) / "clear"))
with Store(sys.argv[2]) as store:
    for progress in eval.runner.run(plan, store):
        pass
"""


def test_killed_at_any_moment_and_run_again(tmp_path):
    """SIGKILL at growing delays until the run is through: nothing lost, nothing stored twice, the same bytes."""
    folders = write_folders(tmp_path / "set", 24)
    log = tmp_path / "scored.txt"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "set"), str(tmp_path / "rows.sqlite"), str(log)]
    kills, stored = 0, 0
    for round_number in range(8):
        child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        goal = min(24, 5 * (round_number + 1))
        while child.poll() is None and (not log.exists() or len(set(log.read_text().split())) < goal):
            time.sleep(0.01)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        assert child.wait() in (0, -signal.SIGKILL), child.stderr.read().decode()
        connection = sqlite3.connect(tmp_path / "rows.sqlite")
        now = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
        assert now >= stored and now % 2 == 0, "a killed transaction left half a picture"
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        connection.close()
        stored = now
        if child.returncode == 0:
            break
    assert kills >= 2
    plan = plan_of(folders)
    with Store(tmp_path / "rows.sqlite") as store:
        finish(plan, store)
        resumed = bytes_of(plan, store, tmp_path)
    with Store(tmp_path / "plain.sqlite") as store:
        finish(plan, store)
        assert bytes_of(plan, store, tmp_path) == resumed
    repeated = len(log.read_text().split()) - len(set(log.read_text().split()))
    assert repeated <= kills, "more than the picture in hand was scored again"
