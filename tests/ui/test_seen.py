"""Comparing words on labelled pictures, as the tab Haze does."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import PromptError, SetError
from priors.clip import ClipPrior, load
from priors.evaluate import encode_folders, rank
from priors.prompts import PromptSet
from tests.priors.tiny import picture, write_clip
from tests.ui.conftest import hazy, noise_picture, png, zipped
from ui.haze import left_out, numbered, ranking_table, words
from ui.seen import Encodings, compare_words

SETS = [
    PromptSet("haze", ("a hazy photo",), ("a clear photo",)),
    PromptSet("<turned>", ("a clear photo",), ("a hazy photo",)),
]


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> ClipPrior:
    return load(f"local-dir:{write_clip(tmp_path_factory.mktemp('clip') / 'tiny')}")


@pytest.fixture
def labelled() -> dict[str, bytes]:
    """Two hazy pictures and four clear ones, so that plain and balanced accuracy differ."""
    clear = {f"clear/{i}.png": png(noise_picture(i)) for i in range(4)}
    return {f"hazy/{i}.png": png(hazy(noise_picture(i))) for i in range(2)} | clear


def test_the_page_and_the_command_line_give_one_table(prior: ClipPrior, labelled: dict, tmp_path: Path) -> None:
    for name, data in labelled.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    ranked, skipped = compare_words(prior, zipped(tmp_path / "labelled.zip", labelled), SETS)
    assert ranked.equals(rank(prior, encode_folders(prior, tmp_path / "hazy", tmp_path / "clear"), SETS))
    assert skipped == ()
    shown = ranking_table(ranked)
    assert "&lt;turned&gt;" in shown
    assert all(f"{value:.1%}" in shown for value in ranked["accuracy"])


def test_a_torn_picture_is_left_out_and_named(prior: ClipPrior, labelled: dict, tmp_path: Path) -> None:
    torn = labelled | {"hazy/torn.png": b"\x89PNG\r\n\x1a\n"}
    ranked, skipped = compare_words(prior, zipped(tmp_path / "torn.zip", torn), SETS)
    assert set(ranked["positives"]) == {2}
    assert len(skipped) == 1
    assert "torn.png" in left_out(skipped)
    assert left_out(()) == ""
    only_torn = {name: data for name, data in torn.items() if "torn" in name or "clear" in name}
    with pytest.raises(PromptError, match=r"torn\.png"):
        compare_words(prior, zipped(tmp_path / "only.zip", only_torn), SETS)


def test_what_cannot_be_compared_is_said(prior: ClipPrior, labelled: dict, tmp_path: Path, monkeypatch) -> None:
    archive = zipped(tmp_path / "labelled.zip", labelled)
    with pytest.raises(PromptError, match="no words"):
        compare_words(prior, archive, [])
    with pytest.raises(SetError, match="two folders"):
        compare_words(prior, zipped(tmp_path / "flat.zip", {"a.png": labelled["clear/0.png"]}), SETS)
    monkeypatch.setattr("ui.seen.MOST_LABELLED", 5)
    with pytest.raises(SetError, match="more than 5 pictures"):
        compare_words(prior, archive, SETS)


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    return [f"local-dir:{write_clip(tmp_path / str(seed), seed=seed)}" for seed in range(3)]


def test_encoded_pictures_are_bounded_by_bytes_and_by_number(clips: list[str], monkeypatch) -> None:
    encodings, shots = Encodings(), [picture(40, 48, seed) for seed in range(4)]
    first = encodings.of(shots[0], clips[0], maps=True)
    assert encodings.of(shots[0], clips[0], maps=False) is first
    monkeypatch.setattr("ui.seen.KEPT_BYTES", 2 * first.nbytes)
    for shot in shots[1:]:
        encodings.of(shot, clips[0], maps=True)
    assert [one.name for one in encodings._kept.values()] == [shot.name for shot in shots[2:]]
    monkeypatch.setattr("ui.seen.KEPT_BYTES", 1)
    last = encodings.of(shots[0], clips[0], maps=True)
    assert list(encodings._kept.values()) == [last]


def test_no_more_models_are_held_than_are_loaded(clips: list[str]) -> None:
    encodings, shots = Encodings(), [picture(40, 48, seed) for seed in range(2)]
    for clip in clips:
        for shot in shots:
            encodings.of(shot, clip, maps=False)
    assert {name for name, _, _ in encodings._kept} == set(clips[1:])
    assert len(encodings._kept) == 4


def test_pictures_of_one_name_can_be_told_apart() -> None:
    assert numbered(["a.png", "b.png", "a.png", "a.png"]) == ["a.png", "b.png", "a.png (2)", "a.png (3)"]
    assert len(set(numbered(["a", "a (2)", "a", "a", "a (2)"]))) == 5


def test_words_that_are_uploaded_open_no_file_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text('{"name": "x", "positives": ["a"], "negatives": ["b"], "learned": "/etc/passwd"}', encoding="utf-8")
    with pytest.raises(PromptError, match="unknown keys learned"):
        words("a", "b", (str(path), "a", "b"))
