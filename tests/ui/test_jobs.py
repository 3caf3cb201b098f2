"""Jobs: rows on disk, stop and go on, and what a killed server leaves."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from errors import UsageError
from eval.leaderboard import build
from eval.units import Job, Outcome, Unit, run_unit
from tests.ui.conftest import hazy as hazed
from tests.ui.conftest import held_open, noise_picture, png, start_job, wait_for, zipped
from ui.engine import Engine
from ui.evaluate import open_placed, place_sets, submit
from ui.jobs import Jobs, JobState, read_state, write_state
from ui.results import progress


def test_a_job_scores_every_pair_and_shares_its_rows(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], ["input"], title="shared")
    state = wait_for(engine, job)
    assert (state.status, state.done, state.total) == ("done", 10, 10)
    frame = engine.jobs.frame(job)
    assert len(frame) == 30
    assert frame["error"].isna().all()
    assert len(engine.store.frame(dataset="shared")) == 30


def test_another_set_of_the_same_title_gets_a_board_of_its_own(engine: Engine, pair_zips, tmp_path: Path) -> None:
    hazy, clear = pair_zips
    denser = zipped(tmp_path / "hazy.zip", {f"{i:02d}.png": png(hazed(noise_picture(i), 0.3)) for i in range(10)})
    strangers = zipped(tmp_path / "strangers.zip", {f"s{i}.png": png(noise_picture(50 + i)) for i in range(3)})

    def shared(inputs: Path, references: Path, methods: list[str]) -> str:
        job = start_job(engine, [inputs], [references], methods, title="hazy", wanted=["psnr"])
        state = wait_for(engine, job)
        assert state.status == "done"
        assert f"“{state.board}”" in progress(state)
        return state.board

    assert shared(hazy, clear, ["input"]) == "hazy"
    assert shared(denser, clear, ["input"]) == "hazy (2)"
    assert shared(strangers, strangers, ["input"]) == "hazy (3)"
    assert shared(hazy, clear, ["dark_channel"]) == "hazy"
    assert shared(denser, clear, ["input", "dark_channel"]) == "hazy (2)"
    for name in ("hazy", "hazy (2)"):
        frame = engine.store.frame(dataset=name)
        assert len(frame) == 20
        assert set(build(frame).methods) == {"input", "dark_channel"}


def test_other_results_of_the_same_name_replace_nothing(engine: Engine, tmp_path: Path) -> None:
    """Two visitors, the same pictures and title, a zip of results of the same name, other pictures in it."""
    inputs = {f"{i}.png": png(noise_picture(i)) for i in range(4)}
    hazy = zipped(tmp_path / "hazy.zip", inputs)
    good, bad = (tmp_path / name / "ours.zip" for name in ("one", "two"))
    for path, t in ((good, 0.8), (bad, 0.4)):
        path.parent.mkdir()
        zipped(path, {name: png(hazed(noise_picture(i), t)) for i, name in enumerate(inputs)})

    def shared(*results: Path, wanted: str = "psnr", references: bool = True) -> JobState:
        job = start_job(
            engine,
            [hazy],
            [hazy] if references else None,
            ["input"],
            results_zips=[str(path) for path in results],
            title="rooms",
            wanted=[wanted],
        )
        state = wait_for(engine, job)
        assert state.status == "done", state.message
        assert ("ours-2" in progress(state)) == bool(state.renamed)
        return state

    assert shared(good).renamed == ""
    first = engine.store.frame(dataset="rooms", method="ours")
    assert shared(bad).renamed == "ours as ours-2"
    assert engine.store.frame(dataset="rooms", method="ours").equals(first)
    assert shared(good).renamed == "" and shared(bad).renamed == "ours as ours-2"
    assert len(engine.store.frame(dataset="rooms")) == 3 * 4
    shared(bad, wanted="niqe", references=False)
    assert shared(good, bad, wanted="niqe").renamed == ""
    ranking = build(engine.store.frame(dataset="rooms"))
    assert set(ranking.methods) == {"input", "ours", "ours-2"}
    assert ranking.raw("ours", "psnr") > ranking.raw("ours-2", "psnr")


def test_a_part_of_the_same_results_is_completed_under_their_name(engine: Engine, tmp_path: Path) -> None:
    results = {f"{i}.png": png(hazed(noise_picture(i))) for i in range(4)}
    hazy = zipped(tmp_path / "hazy.zip", {name: png(noise_picture(i)) for i, name in enumerate(results)})
    part, whole = (tmp_path / name / "ours.zip" for name in ("one", "two"))
    for path, names in ((part, ["0.png", "1.png"]), (whole, list(results))):
        path.parent.mkdir()
        zipped(path, {name: results[name] for name in names})
    for path in (part, whole):
        job = start_job(engine, [hazy], [hazy], [], results_zips=[str(path)], title="rooms", wanted=["psnr"])
        assert wait_for(engine, job).renamed == ""
    ranking = build(engine.store.frame(dataset="rooms"))
    assert ranking.methods == ("ours",) and ranking.failures == () and ranking.raw("ours", "images") == 4


def test_results_that_fit_no_picture_take_nothing_from_the_other_methods(engine: Engine, tmp_path: Path) -> None:
    inputs = {f"{i}.png": png(noise_picture(i)) for i in range(4)}
    hazy = zipped(tmp_path / "hazy.zip", inputs)
    ours, strangers = (tmp_path / name / "ours.zip" for name in ("one", "two"))
    for path in (ours, strangers):
        path.parent.mkdir()
    zipped(ours, {name: png(hazed(noise_picture(i))) for i, name in enumerate(inputs)})
    zipped(strangers, {"holiday.png": png(noise_picture(9))})
    wanted = {"title": "rooms", "wanted": ["psnr"]}
    wait_for(engine, start_job(engine, [hazy], [hazy], [], results_zips=[str(ours)], **wanted))
    first = engine.store.frame(dataset="rooms", method="ours")
    job = start_job(engine, [hazy], [hazy], ["input"], results_zips=[str(strangers)], **wanted)
    state = wait_for(engine, job)
    assert (state.status, state.renamed) == ("done", "ours as ours-2")
    frame = engine.jobs.frame(job)
    assert frame[frame["method"] == "input"]["error"].isna().all()
    assert frame[frame["method"] == "ours"]["error"].str.contains("holiday.png").all()
    assert engine.store.frame(dataset="rooms", method="ours").equals(first)
    alone = start_job(engine, [hazy], [hazy], [], results_zips=[str(strangers)], **wanted)
    state = wait_for(engine, alone)
    assert state.status == "failed" and "holiday.png" in state.message


def test_a_job_that_is_not_shared_has_no_board(engine: Engine, pair_zips) -> None:
    folder = engine.scratch.folder(None)
    draft = (str(folder), *place_sets(folder, [str(pair_zips[0])], None))
    job = submit(engine, draft, ["input"], [], ["niqe"], "dehaze-rgb", "alone", False)
    assert wait_for(engine, job).board == ""
    assert engine.store.datasets() == []


def test_results_of_another_method_take_part_under_the_name_of_their_zip(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], [], results_zips=[str(clear)], wanted=["psnr"])
    wait_for(engine, job)
    frame = engine.jobs.frame(job)
    assert set(frame["method"]) == {"clear"}
    assert (frame["value"] == float("inf")).all()


def test_cancel_keeps_rows_and_resume_ends_with_all_of_them(engine: Engine, pair_zips, monkeypatch) -> None:
    def slowly(unit: Unit, job: Job) -> Outcome:
        time.sleep(0.2)
        return run_unit(unit, job)

    monkeypatch.setattr("eval.distributed.run_unit", slowly)
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], ["dark_channel"])
    while not engine.jobs.state(job).done:
        assert not engine.jobs.state(job).ended
        time.sleep(0.02)
    engine.jobs.cancel(job)
    assert wait_for(engine, job).status == "cancelled"
    assert 0 < len(engine.jobs.frame(job)) < 30
    engine.jobs.resume(job)
    assert wait_for(engine, job).status == "done"
    assert len(engine.jobs.frame(job)) == 30


def test_a_job_of_a_killed_server_is_interrupted_and_can_go_on(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], ["input"])
    wait_for(engine, job)
    folder = engine.settings.jobs / job
    write_state(folder, replace(engine.jobs.state(job), status="running", done=4))
    after = Jobs(engine.settings)
    assert after.state(job).status == "interrupted"
    after.resume(job)
    while not after.state(job).ended:
        time.sleep(0.05)
    assert after.state(job).done == 10


def test_uploads_are_deleted_when_their_time_has_come_and_rows_are_not(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], ["input"])
    wait_for(engine, job)
    keep = replace(engine.settings, keep_hours=0)
    time.sleep(0.01)
    swept = Jobs(keep)
    assert not (engine.settings.jobs / job / "files").exists()
    assert len(swept.frame(job)) == 30
    with pytest.raises(UsageError, match="deleted"):
        swept.image_set(job)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells what is open")
def test_archives_that_were_deleted_are_not_held_open(engine: Engine, pair_zips, monkeypatch) -> None:
    """Or they would keep their space on the disk."""
    home = Path(engine.scratch._home.name)
    job = start_job(engine, [pair_zips[0]], [pair_zips[1]], ["input"], wanted=["psnr"])
    files = engine.settings.jobs / job / "files"
    wait_for(engine, job)
    for name in ("mine", "yours"):
        folder = engine.scratch.folder(SimpleNamespace(session_hash=name))
        opened = open_placed(folder, *place_sets(folder, [str(pair_zips[0])], None))
        opened.pairs[0].input.read()
        assert held_open(folder)
    assert held_open(files)
    engine.scratch.forget(SimpleNamespace(session_hash="mine"))
    assert not held_open(home / "mine") and held_open(home / "yours") and held_open(files)
    monkeypatch.setattr("ui.session.KEPT_SECONDS", -1)
    engine.scratch._closed[home / "yours"] = 0
    engine.scratch.sweep()
    assert not held_open(home) and held_open(files)
    Jobs(replace(engine.settings, keep_hours=0))
    assert not held_open(files)


def test_a_folder_that_was_never_started_goes_after_a_day(engine: Engine) -> None:
    job, _ = engine.jobs.new_folder()
    folder = engine.settings.jobs / job
    engine.jobs.sweep()
    assert folder.exists()
    old = time.time() - 25 * 3600
    os.utime(folder, (old, old))
    engine.jobs.sweep()
    assert not folder.exists()


@pytest.mark.parametrize("job", ["", "..", "../../etc", "a/b", "nobody-knows-this"])
def test_an_id_that_is_none_is_refused(engine: Engine, job: str) -> None:
    with pytest.raises(UsageError, match="no such job"):
        engine.jobs.state(job)


def test_states_survive_the_disk(tmp_path) -> None:
    state = JobState("running", 3, 9, 12.5, "a sentence")
    write_state(tmp_path, state)
    assert replace(read_state(tmp_path), updated=state.updated) == state


def ended_job(engine: Engine, job: str, **facts: object) -> Path:
    """The folder of a job that was cancelled, with some facts of its state."""
    folder = engine.settings.jobs / job
    (folder / "files").mkdir(parents=True)
    write_state(folder, JobState("cancelled"))
    fields = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(fields | facts))
    return folder


def test_the_app_deletes_uploads_while_it_runs(engine: Engine, server) -> None:
    assert "sweep" in [thread.name for thread in threading.enumerate()]
    old, new = (ended_job(engine, name, updated=time.time() - hours * 3600) for name, hours in (("a", 25), ("b", 23)))
    left = engine.scratch.folder(None)
    os.utime(left, (0, 0))
    stop = engine.keep_sweeping(0.01)
    try:
        until = time.monotonic() + 30
        while (old / "files").exists() or left.exists():
            assert time.monotonic() < until, "nobody deleted them"
            time.sleep(0.01)
    finally:
        stop.set()
    assert (new / "files").exists() and (old / "state.json").exists()


def test_deleting_goes_on_after_a_failure(engine: Engine, monkeypatch) -> None:
    tries = []

    def fail() -> None:
        tries.append(1)
        raise OSError("no such disk")

    monkeypatch.setattr(engine.jobs, "sweep", fail)
    stop = engine.keep_sweeping(0.01)
    until = time.monotonic() + 30
    while len(tries) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    stop.set()
    assert len(tries) >= 2


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "5"])
def test_a_damaged_state_does_not_stop_the_app_from_starting(engine: Engine, content: str) -> None:
    (engine.settings.jobs / ".DS_Store").write_text("x")
    (ended_job(engine, "damaged") / "state.json").write_text(content)
    with pytest.raises(UsageError, match="no such job"):
        Jobs(engine.settings).state("damaged")


def test_a_state_of_another_version_is_read(engine: Engine) -> None:
    ended_job(engine, "newer", mood="good", done=3)
    state = Jobs(engine.settings).state("newer")
    assert (state.status, state.done) == ("cancelled", 3)


def test_a_folder_may_vanish_while_old_ones_are_looked_for(engine: Engine, monkeypatch) -> None:
    monkeypatch.setattr(engine.jobs, "_folders", lambda: [engine.settings.jobs / "gone"])
    engine.jobs.sweep()


def test_a_ranking_survives_that_others_make_room(engine: Engine, monkeypatch) -> None:
    """Another thread empties the cache right after this one has put its ranking there."""

    class Emptied(dict):
        def __setitem__(self, key: object, value: object) -> None:
            super().__setitem__(key, value)
            self.clear()

    ended_job(engine, "ranked")
    made = object()
    monkeypatch.setattr("ui.jobs.build", lambda frame, timings: made)
    monkeypatch.setattr(engine.jobs, "_rankings", Emptied())
    assert engine.jobs.ranking("ranked", timings=True) is made


class Runner:
    """Takes work and leaves it undone."""

    def __init__(self) -> None:
        self.work: list[tuple] = []

    def submit(self, function: object, *arguments: object) -> None:
        self.work.append((function, *arguments))


def test_pressing_go_on_twice_queues_once(engine: Engine, monkeypatch) -> None:
    runner = Runner()
    monkeypatch.setattr(engine.jobs, "_runner", runner)
    ended_job(engine, "twice")
    looked, read = threading.Barrier(2), read_state

    def slowly(folder: Path) -> JobState | None:
        """Both presses see the job as it was, if nothing keeps them apart."""
        state = read(folder)
        with suppress(threading.BrokenBarrierError):
            looked.wait(0.3)
        return state

    monkeypatch.setattr("ui.jobs.read_state", slowly)
    presses = [threading.Thread(target=engine.jobs.resume, args=("twice",)) for _ in range(2)]
    for press in presses:
        press.start()
    for press in presses:
        press.join()
    assert len(runner.work) == 1


def test_a_job_that_ends_leaves_the_stop_of_its_resumption_alone(engine: Engine, monkeypatch) -> None:
    """Go on is pressed after the state says that the job ended, and before its thread is through."""
    runner = Runner()
    monkeypatch.setattr(engine.jobs, "_runner", runner)
    ended_job(engine, "again")
    monkeypatch.setattr(engine.jobs, "_score", lambda job, folder, stop: engine.jobs.resume(job))
    engine.jobs._work("again", threading.Event())
    engine.jobs.cancel("again")
    (_, _, stop) = runner.work[0]
    assert stop.is_set()


def test_a_job_that_fails_closes_the_leaderboard(engine: Engine, pair_zips, monkeypatch) -> None:
    from eval.store import Store

    closed = []

    class Watched(Store):
        def close(self) -> None:
            closed.append(self.path)
            super().close()

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("ui.jobs.Store", Watched)
    monkeypatch.setattr("eval.runner.run", fail)
    job = start_job(engine, [pair_zips[0]], None, ["input"], wanted=["niqe"])
    assert wait_for(engine, job).status == "failed"
    assert engine.settings.rows in closed
