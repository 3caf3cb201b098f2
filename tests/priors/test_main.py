"""The command line: records, files, exit statuses and one-line errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from images import read_picture, write_picture
from priors.__main__ import main
from tests.priors.tiny import picture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for end, level in (("hazy", 0.8), ("clear", 0.3)):
        (root / end).mkdir()
        for seed in range(3):
            write_picture(root / end / f"{seed}.png", picture(30, 44, seed, level).pixels)
    return root


@pytest.fixture
def clip(folder):
    return ["--clip", f"local-dir:{folder}"]


def test_score_prints_one_record_per_picture(pictures, clip, capsys):
    assert main(["score", str(pictures), "--json", *clip]) == 0
    records = json.loads(capsys.readouterr().out)
    assert len(records) == 6 and all(0 <= r["haze"] <= 1 for r in records)
    one = str(pictures / "hazy" / "0.png")
    assert main(["score", one, *clip]) == 0
    assert capsys.readouterr().out.split() == [f"{next(r['haze'] for r in records if r['path'] == one):.4f}", one]


def test_own_words_turn_the_score_around(pictures, clip, capsys):
    scores = []
    for words in (["--positive", "fog", "--negative", "clear"], ["--positive", "clear", "--negative", "fog"]):
        assert main(["score", str(pictures / "hazy" / "1.png"), "--json", *words, *clip]) == 0
        scores.append(json.loads(capsys.readouterr().out)[0]["haze"])
    assert sum(scores) == pytest.approx(1.0, abs=1e-6)


def test_a_bad_picture_fails_after_the_others_were_scored(pictures, clip, capsys, tmp_path):
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["score", str(torn), str(pictures / "hazy"), "--json", *clip]) == 1
    out, err = capsys.readouterr()
    records = json.loads(out)
    assert records[0]["haze"] is None and "torn.png" in records[0]["error"] and len(records) == 4
    assert err.count("\n") == 1


def test_density_writes_the_map_twice(pictures, clip, capsys, tmp_path):
    image, png, npy = pictures / "hazy" / "0.png", tmp_path / "out" / "map.png", tmp_path / "out" / "map.npy"
    arguments = ["density", str(image), "--output", str(png), "--map", str(npy), "--grid", "6", "--json", *clip]
    assert main(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    density = np.load(npy)
    assert density.shape == (30, 44) and density.dtype == np.float32 and 0 <= density.min() <= density.max() <= 1
    assert record["mean_density"] == pytest.approx(float(density.mean()))
    drawn = read_picture(png).pixels
    np.testing.assert_array_equal(drawn[..., 0], np.round(density * 255).astype(np.uint8))


def test_learn_then_compare_then_score(pictures, clip, capsys, tmp_path):
    made = tmp_path / "made.safetensors"
    folders = ["--positive-dir", str(pictures / "hazy"), "--negative-dir", str(pictures / "clear")]
    assert main(["learn", *folders, "--output", str(made), "--steps", "20", "--context", "4", "--json", *clip]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["pictures"] == [3, 3] and record["last_loss"] < record["first_loss"]
    assert main(["compare", *folders, "--prompts", "haze", str(made), "--json", *clip]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {r["prompts"] for r in rows} == {"haze", "made"} and rows[0]["prompts"] == "made"
    assert main(["compare", *folders, *clip]) == 0
    assert "low-light" in capsys.readouterr().out
    assert main(["score", str(pictures / "hazy"), "--prompts", str(made), *clip]) == 0


def test_learning_nothing_is_refused_and_harms_no_file(pictures, clip, capsys, tmp_path):
    made = tmp_path / "made.safetensors"
    made.write_bytes(b"precious")
    folders = ["--positive-dir", str(pictures / "hazy"), "--negative-dir", str(pictures / "clear")]
    for flag in ("--steps", "--context"):
        assert main(["learn", *folders, "--output", str(made), flag, "0", *clip]) == 2
        assert f"{flag} is at least 1" in capsys.readouterr().err
    assert made.read_bytes() == b"precious"


def test_learning_passes_over_what_cannot_be_read_and_says_so(pictures, clip, capsys, tmp_path, monkeypatch):
    """One picture at a time is in memory: each is encoded before the next one is read."""
    from priors import learn

    order = []
    monkeypatch.setattr(learn, "read_picture", lambda path: order.append("read") or read_picture(path))
    views = learn._views
    monkeypatch.setattr(learn, "_views", lambda *given: order.append("encoded") or views(*given))
    hazy = tmp_path / "hazy"
    hazy.mkdir()
    for number in range(2):
        (hazy / f"{number}.png").write_bytes((pictures / "hazy" / f"{number}.png").read_bytes())
    (hazy / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    words = ["learn", "--positive-dir", str(hazy), "--negative-dir", str(pictures / "clear"), "--steps", "2", "--json"]
    assert main([*words, "--output", str(tmp_path / "made.safetensors"), *clip]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["pictures"] == [2, 3]
    assert err.startswith("priors learn: skipped: torn.png") and err.count("\n") == 1
    assert order == ["read", "encoded"] * 2 + ["read"] + ["read", "encoded"] * 3
    (hazy / "0.png").unlink()
    assert main([*words, "--output", str(tmp_path / "other.safetensors"), *clip]) == 1
    assert "at least 2 pictures a side, got 1 and 3. torn.png" in capsys.readouterr().err


def test_records_say_which_words_were_used(pictures, clip, capsys):
    words = ["--positive", "smoky street", "--negative", "clear street"]
    assert main(["score", str(pictures / "hazy"), *words, "--json", *clip]) == 0
    record = json.loads(capsys.readouterr().out)[0]
    assert record["prompts"] == "haze, own words"
    assert (record["positive"], record["negative"]) == (["smoky street"], ["clear street"])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["score", "nowhere.png"], 2, "There is no picture or folder 'nowhere.png'"),
        (["density", "nowhere.png", "--output", "m.png"], 2, "There is no picture or folder 'nowhere.png'"),
        (["compare", "--positive-dir", "none", "--negative-dir", "."], 2, "There is no picture or folder 'none'"),
        (["learn", "--positive-dir", "none", "--negative-dir", ".", "--output", "x"], 2, "no picture or folder 'none'"),
        (["score", ".", "--prompts", "hase"], 2, "did you mean haze"),
        (["score", ".", "--prompts", "none.json"], 1, "There is no prompt set"),
        (["score", "{hazy}", "--clip", "vit"], 2, "names no CLIP"),
        (["score", "{hazy}", "--device", "foo"], 2, "no device called 'foo'"),
        (["score", "{hazy}", "--clip", "local-dir:/nowhere"], 1, "There is no folder"),
        (["density", "{hazy}/0.png", "--output", "m.png", "--grid", "x"], 1, "A grid is 'auto' or a number"),
    ],
)
def test_errors_are_one_line_with_a_status(pictures, clip, capsys, tmp_path, arguments, status, message):
    arguments = [
        a.replace("{hazy}", str(pictures / "hazy")).replace("m.png", str(tmp_path / "m.png")) for a in arguments
    ]
    if "--clip" not in arguments:
        arguments += clip
    assert main(arguments) == status
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_unusable_flags_end_with_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["density", "a.png"])
    assert ended.value.code == 2 and "--output" in capsys.readouterr().err
