"""What the page answers when a job went away under it: a sentence, never a bare "Error"."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import make_page
from errors import MetricError, SetError
from eval.layouts import list_any
from tests.ui.conftest import held_open, start_job, wait_for, zipped
from ui.engine import Engine


@pytest.fixture
def handler(engine: Engine) -> Callable[[str], Callable]:
    """The functions behind the events of a page, by name."""
    found = {one.name: one.fn for one in make_page(engine).fns.values()}
    return found.__getitem__


@pytest.fixture
def job(engine: Engine, pair_zips: tuple[Path, Path]) -> str:
    found = start_job(engine, [pair_zips[0]], None, ["input"], wanted=["niqe"])
    assert wait_for(engine, found).status == "done"
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells what is open")
def test_a_labelled_zip_is_not_held_open(handler, tmp_path: Path, monkeypatch) -> None:
    """gradio deletes it, and it would keep its space on the disk."""
    archive = zipped(tmp_path / "labelled.zip", {"hazy/a.png": b"words"})

    def compare(prior: object, path: str, sets: object) -> None:
        list_any(path).inputs[0].read_bytes()
        assert str(archive) in held_open()
        raise SetError("It has one side.")

    monkeypatch.setattr("priors.clip.load", lambda name: None)
    monkeypatch.setattr("ui.haze.compare_words", compare)
    with pytest.warns(UserWarning, match="one side"):
        handler("rank")(str(archive), [], "", "", None, "embedded")
    assert str(archive) not in held_open()


def remove(engine: Engine, job: str) -> None:
    shutil.rmtree(engine.settings.jobs / job)


def test_going_on_with_a_job_that_is_gone(engine: Engine, handler, job: str) -> None:
    assert handler("go_on")(job)[1].active is True
    wait_for(engine, job)
    remove(engine, job)
    with pytest.warns(UserWarning, match="no such job"):
        said, _ = handler("go_on")(job)
    assert "no such job" in said


def test_worst_cases_of_a_job_that_is_gone(engine: Engine, handler, job: str, monkeypatch) -> None:
    pictures, _, said, *_, spread, title, pareto = handler("worst")(job, "input", "niqe", None)
    assert len(pictures) and not said and "<svg" in spread

    def cannot(*arguments: object) -> None:
        raise MetricError("There is nothing to draw.")

    with monkeypatch.context() as patch:
        patch.setattr("ui.results.board.plots", cannot)
        assert "nothing to draw" in handler("worst")(job, "input", "niqe", None)[2]
    shutil.rmtree(engine.settings.jobs / job / "files")
    pictures, _, said, *_, spread, title, pareto = handler("worst")(job, "input", "niqe", None)
    assert not pictures and "have been deleted" in said and "<svg" in spread, "the plots need no pictures"
    remove(engine, job)
    pictures, keys, said, _, spread, title, pareto = handler("worst")(job, "input", "niqe", None)
    assert not pictures and not keys and "no such job" in said and not spread
    assert title.visible is pareto.visible is False


def test_opening_a_case_that_is_gone(engine: Engine, handler, job: str, monkeypatch) -> None:
    def opened(index: int) -> str:
        return handler("open_case")(job, ["00"], "input", None, SimpleNamespace(index=index))[0]

    assert "NIQE" in opened(0)
    with pytest.warns(UserWarning, match="no longer in the list"):
        assert "choose another" in opened(1)

    def cannot(job: str) -> None:
        raise MetricError("The rows cannot be read.")

    monkeypatch.setattr(engine.jobs, "frame", cannot)
    with pytest.warns(UserWarning):
        assert "cannot be read" in opened(0)
    remove(engine, job)
    with pytest.warns(UserWarning):
        assert "no such job" in opened(0)
