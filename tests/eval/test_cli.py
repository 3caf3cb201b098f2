"""The commands as people and scripts call them."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.__main__ import build_parser, main
from eval.rowfiles import read_rows
from eval.store import Store
from images import write_picture
from tests.eval.giant import giant_png
from tests.eval.pictures import files, picture, write_folders, write_zip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folders(tmp_path):
    return write_folders(tmp_path / "set", 4)


def score(folders, output, *more, metrics="psnr,ssim") -> int:
    sides = ["--input", str(folders[0])] + (["--reference", str(folders[1])] if len(folders) > 1 else [])
    return main(["score", *sides, "--metrics", metrics, "--output", str(output), *more])


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_score_writes_rows_and_prints_a_summary(folders, tmp_path, capsys):
    assert score(folders, tmp_path / "rows.csv", metrics="psnr,ssim,niqe") == 0
    rows = table(tmp_path / "rows.csv")
    assert len(rows) == 12 and {row["metric"] for row in rows} == {"psnr", "ssim", "niqe"}
    assert {row["protocol"] for row in rows} == {"dehaze-rgb"} and {row["method"] for row in rows} == {"input"}
    out, err = capsys.readouterr()
    assert "4 of 4 inputs paired" in err and "PSNR ↑" in out and "dehaze-rgb (" in out
    mean = sum(float(row["value"]) for row in rows if row["metric"] == "psnr") / 4
    assert f"{mean:.2f}" in out
    assert not list(tmp_path.glob("*.journal*"))


def test_score_for_machines(folders, tmp_path, capsys):
    assert score(folders, tmp_path / "rows.jsonl", "--json", "--method", "mine") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["method"] == "mine" and record["metrics"]["psnr"]["images"] == 4
    assert record["pairing"]["rule"] == "same-name" and record["failures"] == []


def test_one_bad_picture_is_one_row_and_strict_says_so(folders, tmp_path, capsys):
    (folders[0] / "0002.png").write_bytes((folders[0] / "0002.png").read_bytes()[:1000])
    assert score(folders, tmp_path / "rows.csv") == 0
    bad = [row for row in table(tmp_path / "rows.csv") if row["error"]]
    assert len(bad) == 1 and bad[0]["image"] == "0002" and bad[0]["value"] == ""
    assert "1 image has no score with input: 0002.png is damaged or cut off" in capsys.readouterr().out
    assert score(folders, tmp_path / "again.csv", "--strict") == 1
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "rows.csv").read_bytes()


def test_a_set_with_everything_wrong_is_scored_as_far_as_it_goes(folders, tmp_path, capsys):
    hazy, clear = folders
    (hazy / "text.jpg").write_text("I am a text")
    (hazy / "giant.png").write_bytes(giant_png(40_000, 40_000))
    (hazy / "alone.png").write_bytes((hazy / "0001.png").read_bytes())
    (clear / "0003.jpg").write_bytes((clear / "0003.png").read_bytes())
    (clear / "0003.png").rename(clear / "0003.tif")
    write_picture(clear / "0004.png", picture(9, 50, 60))
    for name in ("text", "giant"):
        write_picture(clear / f"{name}.png", picture(8))
    assert score(folders, tmp_path / "rows.csv", metrics="psnr") == 0
    reasons = {row["image"]: row["error"] for row in table(tmp_path / "rows.csv")}
    assert [name for name, reason in reasons.items() if not reason] == ["0001", "0002"]
    for name, words in {
        "text": "is not a picture this reader knows",
        "giant": "make it smaller",
        "alone": "has no reference",
        "0003": "could pair with 0003.jpg, 0003.tif",
        "0004": "50",
    }.items():
        assert words in reasons[name] and "\n" not in reasons[name], reasons[name]
    err = capsys.readouterr().err
    assert "1 input without a reference: alone.png." in err and "could pair with any of 0003.jpg, 0003.tif" in err
    assert "0004.png is 112x104 but its reference 0004.png is 60x50" in err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["score", "--input", "nowhere", "--output", "r.csv"], 1, "There is nothing at 'nowhere'"),
        (["score", "--input", "empty.zip", "--output", "r.csv"], 1, "empty.zip is an empty zip"),
        (["score", "--input", "texts.zip", "--output", "r.csv"], 1, "texts.zip holds no pictures"),
        (["score", "--input", "set/hazy", "--output", "r.xlsx"], 2, "end the name with .csv"),
        (["score", "--input", "set/hazy", "--metrics", "psnr", "--output", "r.csv"], 2, "has no references for psnr"),
        (["score", "--input", "set/hazy", "--protocol", "dehaze", "--output", "r.csv"], 2, "no protocol called"),
        (["score", "--input", "set/hazy", "--shard", "4/4", "--output", "r.csv"], 2, "the first of four shards"),
        (["score", "--input", "set/hazy", "--method", "a,b", "--output", "r.csv"], 2, "is no name"),
        (["score", "--input", "set/hazy", "--workers", "0", "--output", "r.csv"], 2, "no number of processes"),
        (
            ["score", "--input", "set/hazy", "--reference", "set/clear", "--pairing", "resid", "--output", "r.csv"],
            2,
            "did you mean reside",
        ),
        (["leaderboard", "--input", "set", "--methods", "a=./nowhere", "--output", "b"], 1, "There is nothing at"),
        (["leaderboard", "--input", "set", "--methods", "input,input", "--output", "b"], 2, "named twice"),
        (["leaderboard", "--input", "set", "--methods", ",", "--output", "b"], 2, "No method is named"),
        (["merge", "nowhere.csv", "--output", "r.csv"], 1, "no row file"),
    ],
)
def test_mistakes_get_one_sentence_and_a_status(words, status, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_folders(tmp_path / "set", 1)
    write_zip(tmp_path / "empty.zip", {})
    write_zip(tmp_path / "texts.zip", {"a.txt": b"x"})
    assert main(words) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert sentence in lines[-1] and lines[-1].startswith(f"python -m eval {words[0]}: ")
    assert not any("Traceback" in line for line in lines)
    assert not list(tmp_path.glob("r.csv*"))


def test_unusable_arguments_end_with_two_and_one_line(capsys):
    given = ["score", "--input", "x", "--output", "y"]
    for words in (["score"], ["nonsense"], [], [*given, "--workers", "many"], [*given, "--frsh"], [*given, "stray"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.endswith(f"see python -m eval{' score' if 'score' in words else ''} --help")


def test_debug_shows_where_it_happened(tmp_path, capsys):
    words = ["score", "--input", str(tmp_path / "nowhere"), "--output", str(tmp_path / "r.csv"), "--debug"]
    assert main(words) == 1
    assert "Traceback" in capsys.readouterr().err


def test_every_command_explains_itself(capsys):
    parser = build_parser()
    actions = next(action for action in parser._actions if hasattr(action, "choices") and action.choices)
    assert {"score", "leaderboard", "merge", "diagnose", "protocols", "niqe-fit"} <= set(actions.choices)
    for name in actions.choices:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0 and len(capsys.readouterr().out) > 200


def test_shards_merge_to_the_plain_run(folders, tmp_path):
    assert score(folders, tmp_path / "plain.csv") == 0
    parts = [tmp_path / f"part-{index}.parquet" for index in range(4)]
    for index, part in enumerate(parts):
        assert score(folders, part, "--shard", f"{index}/4") == 0
    assert main(["merge", *map(str, parts), "--output", str(tmp_path / "merged.csv")]) == 0
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_shards_without_any_reference_merge_to_the_plain_run_too(folders, tmp_path):
    for path in sorted(folders[1].iterdir())[1::2]:
        path.unlink()
    assert score(folders, tmp_path / "plain.csv") == 0
    parts = {"0/2": tmp_path / "first.csv", "1/2": tmp_path / "second.csv", "8/9": tmp_path / "empty.csv"}
    for shard, part in parts.items():
        assert score(folders, part, "--shard", shard) == 0
    assert main(["merge", *map(str, parts.values()), "--output", str(tmp_path / "merged.csv")]) == 0
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_merging_keeps_the_failure_of_a_metric_that_another_run_did_not_ask_for(folders, tmp_path):
    assert score(folders, tmp_path / "psnr.csv", metrics="psnr") == 0
    damaged = sorted(folders[0].iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert score(folders, tmp_path / "ssim.csv", metrics="ssim") == 0
    merged = tmp_path / "merged.csv"
    assert main(["merge", str(tmp_path / "psnr.csv"), str(tmp_path / "ssim.csv"), "--output", str(merged)]) == 0
    kept = [row for row in table(merged) if row["error"]]
    assert [(row["image"], row["metric"]) for row in kept] == [(damaged.stem, "")]


@pytest.mark.parametrize("place", ["taken.csv", "picture.png/rows.csv"])
def test_what_the_system_refuses_is_one_sentence(folders, tmp_path, capsys, place):
    (tmp_path / "taken.csv").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    assert score(folders, tmp_path / place) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert place.partition("/")[0] in said and "Traceback" not in said


def test_costs_refuse_a_missing_folder_before_they_measure(tmp_path, capsys):
    assert main(["costs", "bicubic_x2", "--output", str(tmp_path / "none" / "c.json")]) == 2
    said = capsys.readouterr().err
    assert "make it first" in said and "measuring" not in said


def test_resume_goes_on_from_an_output(folders, tmp_path, capsys):
    assert score(folders, tmp_path / "rows.csv", metrics="psnr") == 0
    capsys.readouterr()
    assert score(folders, tmp_path / "rows.csv", "--resume", "--json", metrics="psnr") == 0
    assert json.loads(capsys.readouterr().out)["found"] == 4
    assert score(folders, tmp_path / "rows.csv", "--json", metrics="psnr") == 0
    assert json.loads(capsys.readouterr().out)["found"] == 0


def test_a_killed_command_resumes_to_the_same_bytes(tmp_path):
    folders = write_folders(tmp_path / "set", 40)
    output = tmp_path / "rows.csv"
    words = ["score", "--input", str(folders[0]), "--reference", str(folders[1]), "--output", str(output)]
    slow = "import time, eval.units as u, eval.runner as r; g = u.score\n"
    slow += "u.score = lambda *a, **k: (time.sleep(0.05), g(*a, **k))[1]; r._BATCH_SECONDS = 0.0\n"
    slow += "import sys; from eval.__main__ import main; sys.exit(main(sys.argv[1:]))"
    child = subprocess.Popen([sys.executable, "-c", slow, *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    journal, log = output.with_name("rows.csv.journal"), output.with_name("rows.csv.journal-wal")
    while child.poll() is None and not (log.exists() and log.stat().st_size > 100_000):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not output.exists() and journal.exists()
    done = subprocess.run(
        [sys.executable, "-m", "eval", *words, "--resume", "--json"], cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["found"] < 40
    assert main([*words[:-1], str(tmp_path / "plain.csv")]) == 0
    assert output.read_bytes() == (tmp_path / "plain.csv").read_bytes()
    assert not list(tmp_path.glob("*journal*"))


def test_the_rows_of_a_stopped_run_are_not_thrown_away(folders, tmp_path, capsys):
    journal = tmp_path / "rows.csv.journal"
    assert score(folders, tmp_path / "part.csv", metrics="psnr") == 0
    with Store(journal) as store:
        store.import_rows(read_rows(tmp_path / "part.csv"))
    assert score(folders, tmp_path / "rows.csv", metrics="psnr") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{journal} holds 4 rows" in said and "add --resume" in said and not (tmp_path / "rows.csv").exists()
    assert score(folders, tmp_path / "rows.csv", "--resume", "--json", metrics="psnr") == 0
    assert json.loads(capsys.readouterr().out)["found"] == 4 and not journal.exists()


def test_the_board_names_what_was_left_out_of_a_method_and_what_has_no_reference(folders, tmp_path, capsys):
    hazy, clear = folders
    (clear / "0004.png").unlink()
    packed = write_zip(tmp_path / "mine.zip", files(4)[1] | {"/etc/0005.png": b"x"})
    words = ["leaderboard", "--input", str(hazy), "--reference", str(clear), "--metrics", "psnr,ssim"]
    assert main([*words, "--methods", f"input,MINE={packed}", "--output", str(tmp_path / "board")]) == 0
    out, err = capsys.readouterr()
    assert "MINE: '/etc/0005.png' was left out: its path points outside the archive." in err
    assert "1 image has no usable reference, so no PSNR and SSIM: 0004." in out and "Failed images" not in out


def test_leaderboard_ranks_and_writes_everything(folders, tmp_path, capsys):
    hazy, clear = folders
    results = {path.name: path.read_bytes() for path in clear.iterdir()}
    zipped = write_zip(tmp_path / "ideal.zip", results)
    words = ["leaderboard", "--input", str(hazy), "--reference", str(clear), "--metrics", "psnr,ssim"]
    words += ["--methods", f"input,ideal={zipped}", "--output", str(tmp_path / "board")]
    assert main(words) == 0
    out, _ = capsys.readouterr()
    assert out.index("ideal") < out.index("input")
    names = {path.name for path in (tmp_path / "board").iterdir()}
    assert {
        "rows.parquet",
        "leaderboard.csv",
        "leaderboard.md",
        "leaderboard.tex",
        "leaderboard.html",
        "report.json",
    } <= names
    first = {name: (tmp_path / "board" / name).read_bytes() for name in ("rows.parquet", "leaderboard.csv")}
    assert main([*words, "--workers", "2", "--fresh"]) == 0
    assert first == {name: (tmp_path / "board" / name).read_bytes() for name in first}
    assert json.loads((tmp_path / "board" / "report.json").read_text())


def test_leaderboard_of_a_restorer_and_its_failures(tmp_path, capsys):
    pytest.importorskip("torch")
    hazy, clear = write_folders(tmp_path / "set", 2)
    (hazy / "0003.png").write_bytes(b"text")
    words = ["leaderboard", "--input", str(hazy), "--reference", str(clear), "--metrics", "psnr", "--device", "cpu"]
    words += ["--methods", "input", "--methods", "DCP=dark_channel", "--output", str(tmp_path / "board")]
    assert main([*words, "--strict"]) == 1
    out, _ = capsys.readouterr()
    assert "failed images" in out and "Failed images: DCP 1, input 1." in out
    assert out.splitlines()[-1].startswith("1 image has no score with DCP and input: 0003.png is not a picture")
    rows = list(read_rows(tmp_path / "board" / "rows.parquet"))
    assert [row.image for row in rows if row.error] == ["0003", "0003"]
    assert {row.device for row in rows if row.method == "DCP" and row.value} == {"cpu"}


def test_sets_of_one_name_apart(folders, tmp_path):
    """Two sets with the same picture names in one store do not mix when they are called differently."""
    inputs, _ = files(2)
    other = write_zip(tmp_path / "other.zip", inputs)
    assert score(folders, tmp_path / "a.csv", "--dataset", "A") == 0
    assert score((other, folders[1]), tmp_path / "b.csv", "--dataset", "B") == 0
    assert main(["merge", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--output", str(tmp_path / "ab.csv")]) == 0
    assert len(table(tmp_path / "ab.csv")) == 12


def test_the_board_says_the_set_it_was_given(folders, tmp_path, capsys):
    words = ["leaderboard", "--input", str(folders[0]), "--reference", str(folders[1]), "--metrics", "psnr"]
    words += ["--methods", "input", "--dataset", "My rooms", "--output", str(tmp_path / "board")]
    assert main(words) == 0
    assert "Set My rooms. Protocol dehaze-rgb (" in capsys.readouterr().out
    assert r"\label{tab:My-rooms-dehaze-rgb}" in (tmp_path / "board" / "leaderboard.tex").read_text()


def test_a_board_without_a_name_takes_the_name_of_its_set(folders, tmp_path, capsys):
    words = ["leaderboard", "--input", str(folders[0]), "--reference", str(folders[1]), "--metrics", "psnr"]
    assert main([*words, "--methods", "input", "--output", str(tmp_path / "board")]) == 0
    assert f"Set {folders[0].name}. Protocol dehaze-rgb (" in capsys.readouterr().out
    assert {row.dataset for row in read_rows(tmp_path / "board" / "rows.parquet")} == {folders[0].name}
    files = [str(path) for path in sorted(folders[0].iterdir())[:2]]
    words = ["leaderboard", "--input", *files, "--metrics", "niqe", "--methods", "input"]
    assert main([*words, "--output", str(tmp_path / "b")]) == 0
    assert {row.dataset for row in read_rows(tmp_path / "b" / "rows.parquet")} == {""}


def test_costs_of_no_method_are_refused_before_anything_is_scored(folders, tmp_path, capsys):
    (tmp_path / "costs.json").write_text('{"net": {"parameters": 1, "gmacs": 1, "seconds_per_mpix": 1, '
                                         '"peak_mib": 1, "device": "cpu"}}')  # fmt: skip
    words = ["leaderboard", "--input", str(folders[0]), "--methods", "input", "--output", str(tmp_path / "board")]
    assert main([*words, "--costs", str(tmp_path / "costs.json")]) == 2
    assert "none of the methods input; it has net" in capsys.readouterr().err and not (tmp_path / "board").exists()


def test_timings_stand_on_the_board_when_asked_for(folders, tmp_path, capsys):
    pytest.importorskip("torch")
    hazy, clear = folders
    words = ["leaderboard", "--input", str(hazy), "--reference", str(clear), "--metrics", "psnr", "--device", "cpu"]
    words += ["--methods", "dark_channel", "--output", str(tmp_path / "board")]
    assert main(words) == 0
    plain, _ = capsys.readouterr()
    assert "Params" in plain and "s/MPix" not in plain
    assert main([*words, "--timings"]) == 0
    timed, _ = capsys.readouterr()
    assert "s/MPix" in timed and "Used MiB" in timed
    assert "s/MPix" in (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")
