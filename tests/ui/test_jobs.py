"""Jobs: rows on disk, stop and go on, and what a killed server leaves."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from errors import UsageError
from eval.leaderboard import build
from eval.units import Job, Outcome, Unit, run_unit
from tests.ui.conftest import hazy as hazed
from tests.ui.conftest import noise_picture, png, start_job, wait_for, zipped
from ui.engine import Engine
from ui.evaluate import place_sets, submit
from ui.jobs import Jobs, JobState, _read_state, _write_state
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
    _write_state(folder, replace(engine.jobs.state(job), status="running", done=4))
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
    _write_state(tmp_path, state)
    assert replace(_read_state(tmp_path), updated=state.updated) == state
