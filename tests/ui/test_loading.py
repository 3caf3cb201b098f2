"""Models that visitors name: how large they may be, and who waits while they are loaded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from app import make_page
from errors import UsageError, WeightsError
from restorers.classical.dark_channel import DarkChannel
from tests.priors.tiny import picture
from ui.engine import Engine, check_arguments
from ui.seen import Encodings, check_clip_size

SECONDS = 30


class Slow:
    """Stands in for a loader; what has "slow" in its name takes until ``go``."""

    def __init__(self, made: object) -> None:
        self.made, self.asked = made, []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, name: str, **options: object) -> object:
        self.asked.append((name, options))
        if "slow" in name:
            self.begun.set()
            assert self.go.wait(SECONDS)
        return self.made


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_a_slow_model_keeps_nobody_else_waiting(engine: Engine, monkeypatch, threads) -> None:
    slow = Slow(DarkChannel())
    monkeypatch.setattr("restorers.hub.load", slow)
    both = [threads.submit(engine.restorer, "org/slow") for _ in range(2)]
    try:
        assert slow.begun.wait(SECONDS)
        assert threads.submit(engine.restorer, "dark_channel").result(SECONDS / 3) is slow.made
    finally:
        slow.go.set()
    assert [one.result(SECONDS) for one in both] == [slow.made] * 2
    limit = {"largest": engine.settings.max_model, "anonymous": True}
    assert slow.asked == [("org/slow", limit), ("dark_channel", {})], "loaded once; built-in methods know no limit"


def test_a_slow_clip_keeps_nobody_else_waiting(monkeypatch, threads) -> None:
    slow = Slow(None)
    monkeypatch.setattr("priors.clip.load", slow)
    monkeypatch.setattr("priors.density.encode_picture", lambda *_, **__: SimpleNamespace(nbytes=1))
    encodings = Encodings()
    waiting = threads.submit(encodings.bring, "hf-hub:org/slow")
    try:
        assert slow.begun.wait(SECONDS)
        assert threads.submit(encodings.of, picture(), "embedded", maps=False).result(SECONDS / 3)
        with pytest.raises(UsageError, match="not loaded yet"):
            encodings.brought("hf-hub:org/slow")
    finally:
        slow.go.set()
    waiting.result(SECONDS)
    assert encodings.brought(" hf-hub:org/slow ") == "hf-hub:org/slow"
    encodings.bring("hf-hub:org/slow")
    assert [name for name, _ in slow.asked] == ["hf-hub:org/slow", "embedded"]


def test_what_may_download_has_a_lane_of_its_own(engine: Engine) -> None:
    lanes = [(one.name, one.concurrency_id) for one in make_page(engine).fns.values()]
    assert {lane for name, lane in lanes if name == "bring"} == {"load"}
    assert {lane for name, lane in lanes if name in ("restore", "look", "rank")} == {"compute"}


@pytest.fixture
def repositories(monkeypatch) -> dict[str, dict[str, int]]:
    """Sizes of the files of repositories, by name, as the Hub tells them to those who ask."""
    found: dict[str, dict[str, int]] = {}

    def model_info(api: object, name: str, *, revision: str | None = None, files_metadata: bool = False) -> object:
        files = [SimpleNamespace(rfilename=f, size=size if files_metadata else None) for f, size in found[name].items()]
        return SimpleNamespace(sha="0" * 40, siblings=files)

    def download(*arguments: object, **options: object) -> str:
        raise AssertionError(f"{arguments} was about to be downloaded")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("open_clip.create_model_from_pretrained", download)
    return found


def test_a_model_over_the_limit_is_refused_before_it_is_downloaded(engine: Engine, repositories) -> None:
    repositories["org/huge"] = {"model.safetensors": 5_210_000_000}
    with pytest.raises(WeightsError, match=r"safetensors of org/huge has 5\.21 GB, more than the 2 GB .*smaller"):
        engine.load("org/huge")
    assert "org/huge" not in [card.name for card in engine.cards()]


@pytest.mark.parametrize("name", ["hf-hub:org/clip", "ViT-B-32:laion2b_s34b_b79k"])
def test_a_clip_over_the_limit_is_refused_before_it_is_downloaded(engine: Engine, repositories, name: str) -> None:
    repositories["org/clip"] = repositories["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"] = {"a": 10, "b.bin": 3 * 10**9}
    with pytest.raises(WeightsError, match=r"b\.bin of .* has 3 GB"):
        engine.encodings.bring(name)
    with pytest.raises(WeightsError, match=r"b\.bin of .* has 3 GB"):
        check_arguments({"clip": [name]}, engine.settings.max_model)
    check_clip_size(name, 3 * 10**9)
