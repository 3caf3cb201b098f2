"""The shipped example pictures are what their page says they are."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

from eval.sets import open_set
from images import list_pictures, read_picture
from ui.engine import EXAMPLES

SETS = (("haze/hazy", "haze/clear", 8), ("lowlight/low", "lowlight/normal", 5))


@pytest.mark.parametrize(("degraded", "clear", "count"), SETS)
def test_every_example_has_its_reference_and_nothing_to_complain_about(degraded: str, clear: str, count: int) -> None:
    report = open_set(EXAMPLES / degraded, EXAMPLES / clear, inspect=True).report
    assert report.paired == report.inputs == report.references >= count
    assert report.clean


def test_they_are_small_and_every_one_has_a_source() -> None:
    pictures = list_pictures(EXAMPLES)
    assert sum(path.stat().st_size for path in pictures) < 4e6
    named = set(re.findall(r"^\| (\w+) \|", (EXAMPLES / "SOURCES.md").read_text(), re.MULTILINE)) - {"picture"}
    assert {path.stem for path in pictures} == named


def test_the_script_makes_them_again(tmp_path, monkeypatch) -> None:
    path = EXAMPLES.parent.parent / "scripts" / "make_examples.py"
    spec = importlib.util.spec_from_file_location("make_examples", path)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "make_examples", script)
    spec.loader.exec_module(script)
    (tmp_path / "haze").mkdir()
    (tmp_path / "haze" / "clear").symlink_to(EXAMPLES / "haze" / "clear")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    for degraded, _ in script.make_examples():
        made = read_picture(degraded).pixels.astype(float)
        shipped = read_picture(EXAMPLES / degraded.relative_to(tmp_path)).pixels.astype(float)
        # Decoders and GrabCut may differ a little between OpenCV versions; the picture must not.
        assert np.abs(made - shipped).mean() < 1.0, degraded.name
