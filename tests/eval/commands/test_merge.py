"""``merge``: stores among the files, and what must not pass in silence."""

from __future__ import annotations

import json

import pytest

from eval.__main__ import main
from eval.rowfiles import read_rows
from tests.eval.pictures import degraded, picture, write_folders


@pytest.fixture
def folders(tmp_path):
    return write_folders(tmp_path / "set", 4)


def score(folders, output, *more: str) -> None:
    words = ["score", "--input", str(folders[0]), "--reference", str(folders[1]), "--metrics", "psnr"]
    assert main([*words, "--output", str(output), *more]) == 0


def test_the_store_of_a_leaderboard_is_merged_with_row_files(folders, tmp_path):
    words = ["leaderboard", "--input", str(folders[0]), "--reference", str(folders[1]), "--metrics", "psnr"]
    assert main([*words, "--methods", "input", "--output", str(tmp_path / "board")]) == 0
    score(folders, tmp_path / "b.csv", "--method", "B")
    store, merged = tmp_path / "board" / "rows.sqlite", tmp_path / "merged.csv"
    assert main(["merge", str(store), str(tmp_path / "b.csv"), "--output", str(merged)]) == 0
    assert sorted(row.method for row in read_rows(merged)) == ["B"] * 4 + ["input"] * 4


def test_what_is_neither_rows_nor_a_store_is_said_to_be_so(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("words")
    for name, reason in (("notes.txt", "neither a row file"), ("gone.sqlite", "There is no file")):
        assert main(["merge", str(tmp_path / name), "--output", str(tmp_path / "m.csv")]) == 1
        assert reason in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "notes.txt"), "--output", str(tmp_path / "m.sqlite")]) == 2


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_missing_shards_are_named(folders, tmp_path, capsys, suffix):
    parts = [tmp_path / f"{index}.{suffix}" for index in range(4)]
    for index, part in enumerate(parts):
        score(folders, part, "--shard", f"{index}/4")
    capsys.readouterr()
    merged = tmp_path / "merged.csv"
    assert main(["merge", str(parts[0]), str(parts[2]), "--output", str(merged), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["missing"] == ["1/4", "3/4"] and len(list(read_rows(merged))) == 2
    assert "1/4 and 3/4: of these shards there are no rows in the files" in err
    assert main(["merge", *map(str, parts), "--output", str(merged)]) == 0


def test_two_results_under_one_name_are_named(folders, tmp_path, capsys):
    score(folders, tmp_path / "a.csv", "--method", "M")
    from images import write_picture

    write_picture(folders[0] / "0002.png", degraded(picture(2), 9))
    score(folders, tmp_path / "b.csv", "--method", "M")
    capsys.readouterr()
    words = ["merge", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--output", str(tmp_path / "m.csv")]
    assert main(words) == 1
    assert "0002, M, psnr: two results under one method name" in capsys.readouterr().err
    assert main([*words, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["doubled"] == ["0002, M, psnr"]
