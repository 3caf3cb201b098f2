"""``score``: what becomes of an OUTPUT that is there, infinite scores, protocols of one's own, shards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eval import protocol
from eval.__main__ import main
from eval.rowfiles import read_rows, shard_of
from eval.store import Store
from images import write_picture
from tests.eval.pictures import picture, write_folders


@pytest.fixture
def folders(tmp_path):
    return write_folders(tmp_path / "set", 4)


def score(folders, output: Path, *more: str, metrics: str = "psnr") -> int:
    words = ["score", "--input", str(folders[0]), "--reference", str(folders[1]), "--metrics", metrics]
    return main([*words, "--output", str(output), *more])


def held(path: Path) -> set[tuple[str, str, str]]:
    return {(row.image, row.method, row.metric) for row in read_rows(path)}


def test_resume_keeps_other_metrics_methods_protocols_and_pictures(folders, tmp_path, capsys):
    rows, plain = tmp_path / "rows.csv", tmp_path / "plain.csv"
    assert score(folders, rows) == 0
    assert score(folders, rows, "--resume", metrics="ssim") == 0
    assert score(folders, plain, metrics="psnr,ssim") == 0
    assert rows.read_bytes() == plain.read_bytes()
    capsys.readouterr()

    other = write_folders(tmp_path / "other", 6)
    (other[0] / "0001.png").unlink()
    assert score(other, rows, "--resume", "--method", "B", "--protocol", "sr-y4", "--json") == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["kept"] == 8 and record["metrics"]["psnr"]["images"] == 5
    assert f"{rows} keeps 8 rows of other methods, metrics, pictures, sets or protocols." in err
    assert held(plain) < held(rows) and len(held(rows)) == 8 + 5
    assert {row.protocol for row in read_rows(rows)} == {"dehaze-rgb", "sr-y4"}


def test_resume_does_not_keep_what_the_run_makes_anew(folders, tmp_path):
    rows, plain = tmp_path / "rows.csv", tmp_path / "plain.csv"
    assert score(folders, rows, metrics="psnr,ssim") == 0
    write_picture(folders[0] / "0002.png", picture(77))
    assert score(folders, rows, "--resume", metrics="psnr,ssim") == 0
    assert score(folders, plain, metrics="psnr,ssim") == 0
    assert rows.read_bytes() == plain.read_bytes()


def test_resume_keeps_an_output_beside_the_journal_of_a_run_that_was_stopped(folders, tmp_path):
    rows = tmp_path / "rows.csv"
    assert score(folders, rows) == 0
    assert score(folders, tmp_path / "b.csv", "--method", "B") == 0
    with Store(tmp_path / "rows.csv.journal") as journal:
        journal.import_rows(list(read_rows(tmp_path / "b.csv"))[:2])
    assert score(folders, rows, "--resume", "--method", "B") == 0
    assert {method for _, method, _ in held(rows)} == {"input", "B"} and len(held(rows)) == 8


def test_an_output_that_will_be_replaced_is_announced(folders, tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    assert score(folders, rows) == 0
    assert "will be replaced" not in capsys.readouterr().err
    assert score(folders, rows, "--method", "B") == 0
    assert f"{rows} exists and will be replaced; to keep its rows stop this" in capsys.readouterr().err
    assert {method for _, method, _ in held(rows)} == {"B"}


def test_an_infinite_score_is_counted_and_left_out_of_the_mean_as_on_the_board(folders, tmp_path, capsys):
    (folders[0] / "0001.png").write_bytes((folders[1] / "0001.png").read_bytes())
    assert score(folders, tmp_path / "rows.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)["metrics"]["psnr"]
    words = ["leaderboard", "--input", str(folders[0]), "--reference", str(folders[1]), "--methods", "input"]
    assert main([*words, "--metrics", "psnr", "--json", "--output", str(tmp_path / "board")]) == 0
    line = json.loads(capsys.readouterr().out)["methods"][0]
    assert found["mean"] == line["psnr"] and found["median"] == line["psnr_median"] and found["std"] == line["psnr_std"]
    assert (found["images"], found["infinite"]) == (4, line["psnr_infinite"]) == (4, 1)

    assert score(folders, tmp_path / "rows.csv") == 0
    out = capsys.readouterr().out
    assert f"{found['mean']:.2f}" in out and " inf" not in out.partition("\n\n")[0]
    assert "PSNR: infinite on 1 image (output identical to the reference); left out of mean, median and std." in out


def test_a_set_whose_scores_are_all_infinite_has_an_infinite_mean(folders, tmp_path, capsys):
    assert score((folders[1], folders[1]), tmp_path / "rows.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)["metrics"]["psnr"]
    assert (found["mean"], found["median"], found["std"], found["infinite"]) == ("inf", "inf", None, 4)


def test_a_protocol_of_ones_own_comes_from_a_file(folders, tmp_path, capsys):
    mine = replace(protocol.get("sr-y4"), name="sr-y5", border=5)
    (tmp_path / "mine.json").write_text(mine.to_json())
    assert score(folders, tmp_path / "rows.csv", "--protocol", str(tmp_path / "mine.json")) == 0
    assert mine.sentence in capsys.readouterr().out
    assert {(row.protocol, row.protocol_hash) for row in read_rows(tmp_path / "rows.csv")} == {("sr-y5", mine.hash)}
    assert score(folders, tmp_path / "none.csv", "--protocol", str(tmp_path / "nowhere.json")) == 2
    assert "nowhere.json' cannot be read (No such file or directory)" in capsys.readouterr().err


def test_shards_know_their_number_until_they_are_more_than_one(folders, tmp_path):
    rows = tmp_path / "rows.csv"
    assert score(folders, rows, "--shard", "0/2") == 0
    assert shard_of(rows) == "0/2"
    assert score(folders, rows, "--shard", "1/2", "--resume") == 0
    assert score(folders, tmp_path / "plain.csv") == 0
    assert rows.read_bytes() == (tmp_path / "plain.csv").read_bytes()
