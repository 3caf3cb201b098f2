"""The diagnosis of a pair: every protocol, sizes of single choices, remarks, text and JSON."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from eval import protocol
from eval.commands import diagnose as command
from eval.commands import niqe_fit, protocols
from eval.diagnose import Diagnosis, diagnose
from eval.metrics import registry
from eval.metrics.niqe_model import embedded_model, load_model
from images import Picture, write_picture
from tests.eval.metrics.pictures import disturbed, scene


def _picture(pixels: np.ndarray, name: str = "a.png") -> Picture:
    return Picture(np.ascontiguousarray(pixels), name + str(pixels.sum()), name)


def _diagnose(output: np.ndarray, reference: np.ndarray | None) -> Diagnosis:
    pair = _picture(output), None if reference is None else _picture(reference, "b.png")
    return diagnose(*pair, niqe_parameters=embedded_model())


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    reference = scene(120, 210, 1)
    return disturbed(reference, 9), reference


@pytest.fixture(scope="module")
def found(pair: tuple) -> Diagnosis:
    return _diagnose(*pair)


def test_every_protocol_is_there(found: Diagnosis) -> None:
    assert [s.protocol.name for s in found.scores] == protocol.names()
    assert all(s.value("psnr") is not None for s in found.scores)
    by_name = {s.protocol.name: s for s in found.scores}
    assert by_name["dehaze-rgb"].value("psnr") == by_name["dehaze-ffa"].value("psnr")
    assert by_name["niqe-live"].value("niqe") is None


def test_effects_are_differences_sorted_by_size(found: Diagnosis) -> None:
    primary = {m.metric: m.value for m in found.scores[0].measurements}
    for metric in ("psnr", "ssim", "niqe"):
        effects = [e for e in found.effects if e.metric == metric]
        assert len(effects) >= 3
        assert {e.before for e in effects} == {primary[metric]}
        sizes = [abs(e.change) for e in effects]
        assert sizes == sorted(sizes, reverse=True)
    luma, grey = (
        next(e for e in found.effects if e.metric == "psnr" and e.choice.startswith(c)) for c in ("Y", "grey")
    )
    assert luma.after - grey.after == pytest.approx(20 * math.log10(255 / 219), abs=0.01)


def test_sizes_that_differ_are_aligned_and_it_is_said(pair: tuple) -> None:
    reference = pair[1]
    found = _diagnose(pair[0][10:-10, 10:-10], reference)
    assert found.scores[0].protocol.name == "dehaze-rgb+sots-10px"
    assert any("sots-10px" in remark for remark in found.remarks)
    found = _diagnose(pair[0][:, :-3], reference)
    assert found.scores[0].protocol.name == "dehaze-rgb+modcrop"
    assert found.scores[0].value("psnr") == _diagnose(pair[0][:, :-3], reference[:, :-3]).scores[0].value("psnr")
    found = _diagnose(pair[0][:, :-30], reference)
    assert found.scores[0].protocol.name == "dehaze-rgb+center-crop"
    assert found.scores[0].value("psnr") is not None


def test_remarks_name_the_usual_mistakes(pair: tuple) -> None:
    same = _diagnose(pair[1], pair[1])
    assert any("same pixels" in remark for remark in same.remarks)
    assert next(e for e in same.effects if e.metric == "psnr" and e.choice.startswith("Y")).change == 0.0
    picture = Picture(pair[0], "hash", "a.jpg", ("EXIF orientation applied",))
    found = diagnose(picture, picture, niqe_parameters=embedded_model())
    text = " ".join(found.remarks)
    for part in ("same file", "compressed", "EXIF orientation"):
        assert part in text
    flat = pair[0].copy()
    flat[:60] = 255
    assert any("perfectly flat" in remark for remark in _diagnose(flat, pair[1]).remarks)


def test_without_a_reference_niqe_is_left() -> None:
    found = _diagnose(scene(130, 130, 2), None)
    assert {m.metric for s in found.scores for m in s.measurements} == {"niqe"}
    assert {e.metric for e in found.effects} == {"niqe"}


@pytest.mark.parametrize("shape", [(1, 1), (8, 300), (96, 96)])
def test_small_pictures_do_not_break_it(shape: tuple[int, int]) -> None:
    found = _diagnose(scene(*shape, 1), scene(*shape, 2))
    assert command.to_text(found)
    json.dumps(command.to_record(found), allow_nan=False)


def test_infinities_of_either_sign_are_told_apart_in_json_and_digits_are_the_metrics_own(pair: tuple) -> None:
    from eval.diagnose import Effect

    found = _diagnose(pair[1], pair[1])
    record = command.to_record(replace(found, effects=(Effect("psnr", "x", math.inf, -math.inf, "y"),)))
    assert (record["effects"][0]["before"], record["effects"][0]["after"]) == ("inf", "-inf")
    assert record["protocols"][0]["measurements"][0]["value"] == "inf"
    niqe = found.scores[0].value("niqe")
    assert f" {niqe:.{registry.spec('niqe').decimals}f}" in command.to_text(found)


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    for module in (command, niqe_fit, protocols):
        module.add_parser(subparsers)
    args = parser.parse_args(words)
    return args.execute(args)


def test_diagnose_command(pair: tuple, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for name, pixels in zip(names, pair, strict=True):
        write_picture(name, pixels)
    assert _run("diagnose", *names) == 0
    text = capsys.readouterr().out
    for part in ("dehaze-rgb", "acaa483b5e64", "niqe-", "What changes PSNR", "What changes NIQE"):
        assert part in text
    assert _run("diagnose", *names, "--json", "--sizes", "error") == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["protocols"]) == len(protocol.names())
    assert record["effects"]


def test_protocols_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("protocols") == 0
    text = capsys.readouterr().out
    assert all(protocol.get(name).sentence in text for name in protocol.names())
    assert _run("protocols", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [p["name"] for p in record] == protocol.names()
    assert record[0]["sentence"] == protocol.get("dehaze-rgb").sentence
    assert protocol.Protocol.from_json(json.dumps({k: v for k, v in record[0].items() if k != "sentence"}))


def test_niqe_fit_command(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    from errors import UsageError

    for seed in range(9):
        write_picture(tmp_path / "photos" / f"{seed}.png", scene(300, 400, seed))
    output = tmp_path / "model.npz"
    assert _run("niqe-fit", str(tmp_path / "photos"), "--output", str(output), "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["pictures"] == 9
    assert record["variant"] == load_model(output).variant
    with pytest.raises(UsageError, match="npz"):
        _run("niqe-fit", str(tmp_path), "--output", "model.mat")
    with pytest.raises(UsageError, match="sharpness"):
        _run("niqe-fit", str(tmp_path), "--output", "model.npz", "--sharpness", "1.5")
