"""Jobs: rows on disk, stop and go on, and what a killed server leaves."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from errors import UsageError
from tests.ui.conftest import start_job, wait_for
from ui.engine import Engine
from ui.jobs import Jobs, JobState, _read_state, _write_state


def test_a_job_scores_every_pair_and_shares_its_rows(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], ["input"], title="shared")
    state = wait_for(engine, job)
    assert (state.status, state.done, state.total) == ("done", 10, 10)
    frame = engine.jobs.frame(job)
    assert len(frame) == 30
    assert frame["error"].isna().all()
    assert len(engine.store.frame(dataset="shared")) == 30


def test_results_of_another_method_take_part_under_the_name_of_their_zip(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], [], results_zips=[str(clear)], wanted=["psnr"])
    wait_for(engine, job)
    frame = engine.jobs.frame(job)
    assert set(frame["method"]) == {"clear"}
    assert (frame["value"] == float("inf")).all()


def test_cancel_keeps_rows_and_resume_ends_with_all_of_them(engine: Engine, pair_zips) -> None:
    hazy, clear = pair_zips
    job = start_job(engine, [hazy], [clear], ["dark_channel"])
    engine.jobs.cancel(job)
    stopped = wait_for(engine, job)
    assert stopped.status in ("cancelled", "done")
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
