import json

import pandas
import pytest

from eval.__main__ import main
from eval.efficiency import Efficiency, save
from eval.rowfiles import write_rows
from eval.rows import from_frame
from eval.store import Store
from tests.eval.boards import HASH, frame, realistic


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.parquet"
    write_rows(path, from_frame(realistic(12)))
    return path


def test_default_formats(rows, tmp_path, capsys):
    assert main(["export", str(rows), "--output", str(tmp_path / "out")]) == 0
    names = {"leaderboard.csv", "leaderboard.md", "leaderboard.tex", "leaderboard.html", "report.json", "rows.parquet"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert len(capsys.readouterr().out.split()) == 6


def test_row_files_and_stores_in_parts_give_the_table_of_the_whole(rows, tmp_path):
    everything = from_frame(realistic(12))
    write_rows(tmp_path / "a.csv", everything[::2])
    with Store(tmp_path / "b.sqlite") as store:
        store.add(everything[1::2])
    for out, words in (("one", [str(rows)]), ("two", [str(tmp_path / "a.csv"), str(tmp_path / "b.sqlite")])):
        assert main(["export", *words, "--output", str(tmp_path / out)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_choices_reach_the_table(rows, tmp_path):
    save({"net-a": Efficiency(7, 1.5, 0.2, None, "cpu")}, tmp_path / "costs.json")
    words = ["--format", "csv,html", "--metrics", "niqe", "--methods", "net-a,input", "--sort-by", "niqe"]
    words += ["--costs", str(tmp_path / "costs.json"), "--heading", "Ours & theirs", "--images", "all"]
    assert main(["export", str(rows), "--output", str(tmp_path / "out"), *words]) == 0
    table = pandas.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert table["method"].tolist() == ["net-a", "input"] and table["parameters"][0] == 7 and "psnr" not in table
    assert "<title>Ours &amp; theirs</title>" in (tmp_path / "out" / "leaderboard.html").read_text()


def test_several_protocols_need_a_choice(tmp_path, capsys):
    mixed = pandas.concat([frame({"a": [20.0]}), frame({"b": [30.0]}, protocol="x", protocol_hash="feedfeedfeed")])
    write_rows(tmp_path / "rows.csv", from_frame(mixed))
    assert main(["export", str(tmp_path / "rows.csv"), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert HASH in error and "feedfeedfeed" in error and error.count("\n") == 1
    words = ["--protocol-hash", "feed", "--format", "json"]
    assert main(["export", str(tmp_path / "rows.csv"), "--output", str(tmp_path / "out"), *words]) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["methods"][0]["method"] == "b"


def test_hub_forms(rows, tmp_path, capsys):
    words = ["export", str(rows), "--output", str(tmp_path / "out"), "--format", "model-index,eval-results"]
    assert main(words) == 2
    assert "--method NAME" in capsys.readouterr().err
    assert main([*words, "--method", "net-a", "--hub-dataset", "org/sots"]) == 0
    assert (tmp_path / "out" / "model-index.yaml").is_file()
    assert (tmp_path / "out" / ".eval_results" / "org_sots.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["none.csv"], 2, "no file"),
        (["{rows}", "--format", "pdf"], 2, "pdf"),
        (["{rows}", "--methods", "net-x"], 2, "net-a"),
        (["{text}"], 1, "text.sqlite"),
        (["{empty}"], 1, "neither a row file"),
        (["{none}"], 1, "columns of a row file"),
        (["{cut}"], 1, "row 3"),
        (["{line}"], 1, "row 2"),
    ],
)
def test_mistakes_are_one_sentence(rows, tmp_path, capsys, words, status, said):
    (tmp_path / "text.sqlite").write_text("not a database " * 100)
    made = {name: tmp_path / file for name, file in (("text", "text.sqlite"), ("empty", "empty.txt"),
            ("none", "none.csv"), ("cut", "cut.csv"), ("line", "line.jsonl"))}  # fmt: skip
    made["empty"].touch()
    if "{none}" in words:
        made["none"].touch()
    head = "image,method,metric,value,protocol\n" + "a,b,psnr,20.5,x\n" * 2
    made["cut"].write_text(head + "a,b,psnr,2")
    made["line"].write_text('{"image": "a", "method": "b", "metric": "psnr", "value": 1}\n{"image": "a"')
    words = [w.format(rows=rows, **made) for w in words]
    assert main(["export", *words, "--output", str(tmp_path / "out")]) == status
    assert made["empty"].read_bytes() == b""
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error
