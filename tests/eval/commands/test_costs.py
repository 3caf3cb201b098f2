"""``costs``: devices by the names that every command knows."""

from __future__ import annotations

import json

import pytest

from eval.__main__ import main

pytest.importorskip("torch")


@pytest.mark.parametrize(("device", "sentence"), [("gpu", "There is no device called 'gpu'"), ("cuda:999", "cuda:999")])
def test_devices_that_do_not_exist_are_refused_before_anything_is_measured(tmp_path, capsys, device, sentence):
    assert main(["costs", "bicubic_x2", "--device", device, "--output", str(tmp_path / "c.json")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "measuring" not in said


def test_auto_is_a_device(tmp_path, capsys):
    words = ["costs", "bicubic_x2", "--device", "auto", "--repeats", "1", "--output", str(tmp_path / "c.json")]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bicubic_x2"]["seconds_per_mpix"] > 0
