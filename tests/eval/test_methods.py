from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from errors import ModelError, SetError, UnknownNameError, UsageError
from eval.methods import parse_method, parse_methods, remarks, results_of
from eval.runner import run
from eval.store import Store
from tests.eval.pictures import files, write_folders, write_tar, write_zip
from tests.eval.test_runner import finish, plan_of


def test_what_a_person_may_type(tmp_path):
    results = write_zip(tmp_path / "aecr.zip", files(1)[0])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "net.safetensors").write_bytes(b"")
    found = parse_methods(
        [f"input,AECR={results}", f"{results},{tmp_path / 'model'}", f"net={tmp_path / 'net.safetensors'},dark_channel"]
    )
    assert [(method.name, method.kind) for method in found] == [
        ("input", "input"),
        ("AECR", "results"),
        ("aecr", "results"),
        ("model", "restorer"),
        ("net", "restorer"),
        ("dark_channel", "restorer"),
    ]
    hub = parse_method("lab/net@v1")
    assert (hub.name, hub.kind, hub.model) == ("lab/net@v1", "restorer", "lab/net@v1")
    assert parse_method("DCP=dark_channel").model == "dark_channel"


def test_a_folder_here_does_not_pass_for_the_restorer_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "dark_channel.zip", files(1)[0])
    shutil.unpack_archive("dark_channel.zip", "dark_channel")
    assert [method.kind for method in parse_methods("input,dark_channel")] == ["input", "restorer"]
    for item in ("./dark_channel", "OLD=dark_channel", "OLD=./dark_channel"):
        assert parse_method(item).kind == "results"


def test_what_a_person_may_not_type(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownNameError, match="no method called 'dark-channel'; did you mean dark_channel"):
        parse_method("dark-channel")
    with pytest.raises(SetError, match="hold no pictures"):
        parse_method(f"A={tmp_path / 'empty'}")
    for text in ("=x", "A="):
        with pytest.raises(UsageError):
            parse_method(text)


def pairs(*names: str) -> list:
    from eval.pairing import Pair
    from eval.sources import BytesSource

    return [Pair(Path(name).stem, BytesSource(name, 0, b"")) for name in names]


def results(*names: str):
    from eval.layouts import Listing
    from eval.methods import Method
    from eval.sources import BytesSource

    listing = Listing("results", tuple(BytesSource(name, 0, b"") for name in names))
    return Method("A", "results", listing=listing)


def test_results_belong_to_the_inputs_they_are_named_after():
    found = results_of(results("0001_0.8_0.2.jpg", "0002_1_0.1.png"), pairs("0001_0.8_0.2.png", "0002_1_0.1.png"))
    assert {key: source.name for key, source in found.items()} == {
        "0001_0.8_0.2": "0001_0.8_0.2.jpg",
        "0002_1_0.1": "0002_1_0.1.png",
    }
    found = results_of(results("0801.png"), pairs("0801x4.png", "0802x4.png"))
    assert {key: source.name for key, source in found.items()} == {"0801x4": "0801.png"}


def test_one_result_is_never_shared_by_two_inputs():
    with pytest.raises(SetError, match=r"No file of the method 'A' \(first: 0001\.png\) is named like an input"):
        results_of(results("0001.png"), pairs("0001_0.8.png", "0001_1.0.png"))


def test_what_was_left_out_of_results_is_named(tmp_path):
    members = files(1)[0] | {"/etc/0002.png": b"x", "..\\0003.png": b"x"}
    packed = [write_zip(tmp_path / "a.zip", members), write_tar(tmp_path / "b.tar", members)]
    methods = parse_methods(["input", *(f"{path.stem.upper()}={path}" for path in packed)])
    expected = [
        f"{name}: {member!r} was left out: its path points outside the archive."
        for name in "AB"
        for member in ("/etc/0002.png", "../0003.png")
    ]
    assert remarks(methods) == expected
    assert remarks(methods, most=1)[1] == "A: … and 1 more like the last."
    with pytest.raises(SetError, match=r"hold no pictures \('/0001.png' was left out: its path"):
        parse_method(f"A={write_zip(tmp_path / 'c.zip', {'/0001.png': b'x'})}")


def test_results_that_fit_no_input_harm_no_other_method(tmp_path):
    folders = write_folders(tmp_path / "set", 2)
    strange = write_zip(tmp_path / "strange.zip", {"x.png": b"", "y.png": b""})
    good = write_zip(tmp_path / "good.zip", files(2)[1])
    with Store(tmp_path / "rows.sqlite") as store:
        plan = plan_of(folders, f"good={good},strange={strange}", metrics=("psnr",))
        assert finish(plan, store).failed == 2
        rows = {(row.image, row.method): row for row in plan.rows(store)}
    assert rows["0001", "good"].value is not None and len(rows) == 4
    reason = "No file of the method 'strange' (first: x.png) is named like an input (first: 0001.png)"
    assert all(rows[image, "strange"].error.startswith(reason) for image in ("0001", "0002"))


def test_results_of_which_none_fit_end_the_run(tmp_path):
    folders = write_folders(tmp_path / "set", 2)
    for name in ("p", "q"):
        write_zip(tmp_path / f"{name}.zip", {"x.png": b""})
    with Store(tmp_path / "rows.sqlite") as store:
        with pytest.raises(SetError, match="No file of the method 'p'"):
            finish(plan_of(folders, f"{tmp_path / 'p.zip'},{tmp_path / 'q.zip'}"), store)
        assert len(store) == 0


def test_a_model_that_cannot_be_loaded_ends_the_run_before_it_starts(tmp_path):
    pytest.importorskip("torch")
    folders = write_folders(tmp_path / "set", 2)
    broken = tmp_path / "net.safetensors"
    broken.write_bytes(b"nonsense")
    with Store(tmp_path / "rows.sqlite") as store:
        with pytest.raises(ModelError, match=r"net\.safetensors"):
            list(run(plan_of(folders, f"input,net={broken}"), store))
        assert len(store) == 0


def test_a_restorer_is_measured_like_anything_else(tmp_path):
    pytest.importorskip("torch")
    from images import Picture, read_picture
    from restorers import registry
    from restorers.pipeline import restore

    folders = write_folders(tmp_path / "set", 2)
    with Store(tmp_path / "rows.sqlite") as store:
        plan = plan_of(folders, "input,dark_channel", metrics=("psnr",), device="cpu")
        finish(plan, store)
        rows = {(row.image, row.method): row for row in plan.rows(store)}
        from eval.protocol import get
        from eval.scoring import score

        pixels = restore(registry.create("dark_channel"), read_picture(folders[0] / "0001.png")).pixels
        reference = read_picture(folders[1] / "0001.png")
        (expected,) = score(Picture(pixels, "", "0001.png"), reference, ["psnr"], get("dehaze-rgb"))
        row = rows["0001", "dark_channel"]
        assert row.value == expected.value and row.device == "cpu" and row.seconds > 0 and row.weights_sha256 == ""
        assert len(row.output_sha256) == 64 != row.input_sha256
        assert finish(plan, store).found == 4
        other = replace(plan, job=replace(plan.job, dataset="again"))
        assert [p.failed for p in run(other, store)][-1] == 0 and len(store) == 8
