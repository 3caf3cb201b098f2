"""Models that the settings name, and jobs that score the very files that were loaded."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import httpx
import pytest

from app import launch, make_page
from errors import UnknownNameError
from restorers import networks
from restorers.classical.dark_channel import DarkChannel
from restorers.publish import write_folder
from tests.restorers import tiny
from tests.restorers.warm import Warm
from tests.standin_hub import TOKEN, StandInHub
from tests.ui.conftest import start_job, wait_for
from ui import cases
from ui.engine import Engine
from ui.models import cards
from ui.settings import Settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A model folder of an architecture that this process knows."""
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
    path = tmp_path / "models" / "our-model"
    path.mkdir(parents=True)
    write_folder(tiny.make(seed=5), path)
    return path


def engine_with(data: Path, *models: str) -> Engine:
    engine = Engine(Settings(data=data, models=models, max_model=1))
    engine.offer_models()
    return engine


def page_parts(engine: Engine) -> dict[str, object]:
    """The components of the page that have a name."""
    return {part.elem_id: part for part in make_page(engine).blocks.values() if part.elem_id}


def test_a_folder_is_offered_on_every_tab_and_scored(folder: Path, tmp_path: Path, pair_zips) -> None:
    engine = engine_with(tmp_path / "data", f"local-dir:{folder}")
    assert engine.missing == []
    shown = page_parts(engine)
    for part in ("restore-method", "evaluate-methods"):
        assert [value for _, value in shown[part].choices].count("our-model") == 1
    assert "a model of this server" in shown["model-cards"].value
    assert "models-missing" not in shown
    job = start_job(engine, [pair_zips[0]], [pair_zips[1]], ["our-model"], wanted=["psnr"])
    assert wait_for(engine, job).status == "done"
    frame = engine.jobs.frame(job)
    assert set(frame["method"]) == {"our-model"}
    assert set(frame["weights_sha256"]) == {engine.restorer("our-model").weights_sha256}
    assert str(folder) not in cards(engine)
    assert cases.pictures(engine, job, "00", "our-model", None)["Output"].is_file()


def test_a_folder_that_is_not_offered_is_not_opened(folder: Path, tmp_path: Path) -> None:
    engine = engine_with(tmp_path / "data")
    for name in ("our-model", f"local-dir:{folder}", f"hf-hub:{folder}", str(folder)):
        with pytest.raises(UnknownNameError):
            engine.load(name)


def test_what_cannot_be_loaded_is_one_sentence_and_the_others_stay(folder: Path, tmp_path: Path, caplog) -> None:
    (tmp_path / "two words").mkdir()
    (tmp_path / "again" / "our-model").mkdir(parents=True)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"no weights")
    wrong = ("nowhere", "two words", "again/our-model", "damaged", "input")
    names = [f"local-dir:{tmp_path / name}" for name in wrong]
    with caplog.at_level(logging.ERROR):
        engine = engine_with(tmp_path / "data", *names[:2], f"local-dir:{folder}", *names[2:], "nothing", "local-dir:")
    assert engine.card("our-model").title == "Tiny"
    assert len(engine.missing) == len(caplog.records) == 7
    shown = page_parts(engine)["models-missing"].value
    for name, said in zip((*wrong, "nothing", "local-dir:"), engine.missing, strict=True):
        assert said.startswith(f"The model {Path(name).name} of this server is not offered: ")
        assert said.endswith(".") and "\n" not in said
        assert f"The model {Path(name).name} of this server" in shown
    assert str(tmp_path) not in shown


def test_the_app_starts_with_what_it_has(folder: Path, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "data", host="127.0.0.1", models=("nothing", f"local-dir:{folder}"))
    page, engine = launch(settings, prevent_thread_lock=True, quiet=True)
    try:
        shown = httpx.get(f"{page.local_url}config", timeout=30).text
    finally:
        page.close(verbose=False)
    assert len(engine.missing) == 1
    assert "The model nothing of this server is not offered" in shown
    assert '"our-model"' in shown


def test_models_of_the_settings_have_no_size_limit_and_the_servers_token(tmp_path: Path, monkeypatch) -> None:
    asked = {}

    def load(name: str, **options: object) -> DarkChannel:
        asked[name] = options
        return DarkChannel()

    monkeypatch.setattr("restorers.hub.load", load)
    engine = engine_with(tmp_path / "data", "org/own", "hf-hub:org/pinned@v1")
    engine.load("org/other")
    assert asked == {
        "org/own": {"largest": None, "anonymous": False},
        "org/pinned@v1": {"largest": None, "anonymous": False},
        "org/other": {"largest": 1, "anonymous": True},
    }
    assert [engine.is_owned(name) for name in asked] == [True, True, False]


CHILD = """
import json, sys
from pathlib import Path
from restorers.publish import push
from tests.restorers import tiny
from tests.ui.conftest import start_job, wait_for
from ui import cases
from ui.engine import Engine
from ui.settings import Settings
tiny.install()
data, hazy, clear = map(Path, sys.argv[1:])

def scored(engine, *methods):
    job = start_job(engine, [hazy], [clear], list(methods), wanted=["psnr"])
    state = wait_for(engine, job)
    assert state.status == "done", state
    frame = engine.jobs.frame(job)
    for method in methods:
        cases.pictures(engine, job, "00", method, None)
    return job, sorted(set(zip(frame["method"], frame["weights_sha256"])))
"""


@pytest.fixture(scope="module")
def child(pair_zips, tmp_path_factory):
    """Runs code beside a Hub, in a process of its own, as the client reads its settings when it is imported."""
    with Warm() as warm, StandInHub() as hub:

        def run(code: str, token: str | None = TOKEN) -> object:
            home = tmp_path_factory.mktemp("home")
            arguments = map(str, (home / "data", *pair_zips))
            status, out, err = warm.run(CHILD + code, hub.environment(home, token), *arguments)
            assert status == 0, err
            return json.loads(out.splitlines()[-1])

        yield run


def test_a_job_scores_the_commit_that_was_loaded(child) -> None:
    found = child("""
first = push(tiny.make(seed=1), "lab/moving")
engine = Engine(Settings(data))
engine.load("lab/moving")
second = push(tiny.make(seed=2), "lab/moving")
job, rows = scored(engine, "lab/moving")
engine._models.clear()
again = engine.restorer("lab/moving").weights_sha256
job_after, rows_after = scored(engine, "lab/moving")

later = Engine(Settings(data))
cases.pictures(later, job, "00", "lab/moving", None)
pinned = sorted(later._models)
later.load("lab/moving")
print(json.dumps({
    "first": first.weights_sha256, "second": second.weights_sha256, "rows": rows, "again": again,
    "rows_after": rows_after, "methods": engine.jobs.spec(job).methods, "revision": first.revision, "pinned": pinned,
    "later": later.restorer("lab/moving").weights_sha256, "board": sorted(set(engine.store.frame()["method"])),
}))
""")
    assert found["first"] != found["second"]
    assert found["rows"] == found["rows_after"] == [["lab/moving", found["first"]]]
    assert found["again"] == found["first"]
    assert found["methods"] == [f"lab/moving=hf-hub:lab/moving@{found['revision']}"]
    assert found["pinned"] == [f"lab/moving@{found['revision']}"], "a case is restored with what was scored"
    assert found["later"] == found["second"], "a restarted server looks anew"
    assert found["board"] == ["lab/moving"]


def test_models_of_the_hub_are_offered(child) -> None:
    found = child("""
old, new = (push(tiny.make(seed=seed), "lab/offered") for seed in (3, 4))
push(tiny.make(seed=5), "lab/other", private=True)
wanted = ("lab/offered", f"hf-hub:lab/offered@{old.revision}", "hf-hub:lab/absent", "lab/other")
engine = Engine(Settings(data, models=wanted, max_model=1))
engine.offer_models()
engine._models.clear()
names = ["lab/offered", f"lab/offered@{old.revision}", "lab/other"]
print(json.dumps({"missing": engine.missing, "rows": scored(engine, *names)[1], "old": [names[1], old.weights_sha256],
    "new": [names[0], new.weights_sha256], "cards": [card.name for card in engine.cards()], "names": names}))
""")
    assert [said.split()[2] for said in found["missing"]] == ["hf-hub:lab/absent"]
    assert found["cards"][-3:] == found["names"]
    assert found["rows"][:2] == [found["new"], found["old"]]


def test_what_visitors_name_is_asked_for_without_the_servers_token(child) -> None:
    found = child("""
from errors import WeightsError
push(tiny.make(seed=5), "lab/secret", private=True)
push(tiny.make(seed=6), "lab/open")
said = {}
for name, models in (("visitor", ()), ("owner", ("lab/secret",))):
    engine = Engine(Settings(data, models=models))
    engine.offer_models()
    try:
        said[name] = engine.load("lab/secret").name
    except WeightsError as error:
        said[name] = str(error)
said["open"] = engine.load("lab/open").name
try:
    engine.encodings.bring("hf-hub:lab/secret")
except WeightsError as error:
    said["clip"] = str(error)
print(json.dumps(said))
""")
    assert found["visitor"].startswith("The Hub has no model lab/secret, or it is private")
    assert found["clip"] == found["visitor"]
    assert (found["owner"], found["open"]) == ("lab/secret", "lab/open")
