"""Comparing words on labelled pictures, as the tab Haze does."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import PromptError, SetError
from priors.clip import ClipPrior, load
from priors.evaluate import compare
from priors.prompts import PromptSet
from tests.priors.tiny import write_clip
from tests.ui.conftest import hazy, noise_picture, png, zipped
from ui.haze import _left_out, _ranking
from ui.seen import compare_words

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
    assert ranked.equals(compare(prior, tmp_path / "hazy", tmp_path / "clear", SETS))
    assert skipped == ()
    shown = _ranking(ranked)
    assert "&lt;turned&gt;" in shown
    assert all(f"{value:.1%}" in shown for value in ranked["accuracy"])


def test_a_torn_picture_is_left_out_and_named(prior: ClipPrior, labelled: dict, tmp_path: Path) -> None:
    torn = labelled | {"hazy/torn.png": b"\x89PNG\r\n\x1a\n"}
    ranked, skipped = compare_words(prior, zipped(tmp_path / "torn.zip", torn), SETS)
    assert set(ranked["positives"]) == {2}
    assert len(skipped) == 1
    assert "torn.png" in _left_out(skipped)
    assert _left_out(()) == ""
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
