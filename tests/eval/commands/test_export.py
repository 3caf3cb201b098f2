import json
from dataclasses import replace

import pandas
import pytest

from eval import protocol
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


def test_the_file_of_a_protocol_of_ones_own_chooses_its_rows_and_explains_them(tmp_path):
    mine = replace(protocol.get("sr-y4"), name="lab-y6", border=6)
    (tmp_path / "mine.json").write_text(mine.to_json())
    ours = frame({"b": [30.0]}, protocol=mine.name, protocol_hash=mine.hash)
    write_rows(tmp_path / "rows.csv", from_frame(pandas.concat([frame({"a": [20.0]}), ours])))
    words = ["--protocol", str(tmp_path / "mine.json"), "--format", "md"]
    for out, more in (("sets", []), ("pooled", ["--pool"])):
        assert main(["export", str(tmp_path / "rows.csv"), "--output", str(tmp_path / out), *words, *more]) == 0
        assert mine.sentence in (tmp_path / out / "leaderboard.md").read_text()


def test_hub_forms(rows, tmp_path, capsys):
    words = ["export", str(rows), "--output", str(tmp_path / "out"), "--format", "model-index,eval-results"]
    assert main(words) == 2
    assert "--hub-method NAME" in capsys.readouterr().err
    assert main([*words, "--hub-method", "net-z", "--hub-dataset", "org/sots"]) == 2
    assert not (tmp_path / "out").exists()
    assert main([*words, "--method", "net-a", "--hub-dataset", "org/sots"]) == 0
    assert (tmp_path / "out" / "model-index.yaml").is_file()
    assert (tmp_path / "out" / ".eval_results" / "org_sots.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["none.csv"], 2, "no file"),
        (["{rows}", "--format", "pdf"], 2, "pdf"),
        (["{rows}", "--methods", "net-x"], 2, "net-a"),
        (["{rows}", "--protocol", "sr-y4"], 2, "the protocols they have are dehaze-rgb"),
        (["{rows}", "--dataset", "SOTS"], 2, "the sets they have are ''"),
        (["{rows}", "--method", "net-a", "--format", "csv"], 2, "--hub-method has an effect on model-index and eval"),
        (["{rows}", "--caption", "Ours", "--format", "csv,md"], 2, "--caption has an effect on tex only"),
        (["{rows}", "--no-average-rank", "--format", "csv"], 2, "--no-average-rank has an effect on md, tex and html"),
        (["{rows}", "--decimals", "psnr"], 2, "psnr=2,ssim=3"),
        (["{rows}", "--label", "a b"], 2, "cannot stand in LaTeX"),
        (["{rows}", "--timings"], 2, "carry no restoring times"),
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


def test_a_protocol_is_chosen_by_name_or_hash(tmp_path):
    mixed = pandas.concat([frame({"a": [20.0]}), frame({"b": [30.0]}, protocol="x", protocol_hash="feedfeedfeed")])
    write_rows(tmp_path / "rows.csv", from_frame(mixed))
    for words, method in ((["--protocol", "x"], "b"), (["--protocol-hash", HASH[:4]], "a")):
        assert main(["export", str(tmp_path / "rows.csv"), "--output", str(tmp_path / "out"), *words]) == 0
        assert pandas.read_csv(tmp_path / "out" / "leaderboard.csv")["method"].tolist() == [method]
        assert pandas.read_parquet(tmp_path / "out" / "rows.parquet")["method"].tolist() == [method]


def test_options_are_written_out(rows, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["export", str(rows), "--output", str(tmp_path / "out"), "--sort", "niqe"])
    assert "unrecognized arguments: --sort" in capsys.readouterr().err


def test_a_paper_chooses_how_its_table_looks(rows, tmp_path):
    words = ["--format", "tex", "--decimals", "psnr=1,ssim=3", "--no-intervals", "--no-average-rank"]
    words += ["--caption", "Ours", "--label", "tab:ours"]
    assert main(["export", str(rows), "--output", str(tmp_path / "out"), *words]) == 0
    text = (tmp_path / "out" / "leaderboard.tex").read_text()
    assert r"\caption{Ours}" in text and r"\label{tab:ours}" in text and "scriptsize [" not in text
    assert "Avg" not in text and pandas.Series(text).str.contains(r"\b\d\d\.\d\b").all()
    assert f"Protocol dehaze-rgb ({HASH})" in text.split(r"\parbox")[1]


@pytest.fixture
def sets(tmp_path):
    parts = [realistic(n, seed=n).assign(dataset=name) for name, n in (("Set14", 14), ("Set5", 5))]
    write_rows(tmp_path / "sets.csv", from_frame(pandas.concat(parts)))
    return tmp_path / "sets.csv"


def test_several_sets_stand_side_by_side_unless_they_are_pooled(sets, tmp_path):
    out = tmp_path / "out"
    assert main(["export", str(sets), "--output", str(out)]) == 0
    table = pandas.read_csv(out / "leaderboard.csv")
    assert "psnr" not in table and [c for c in table if c.endswith("/psnr")] == ["Set5/psnr", "Set14/psnr"]
    assert main(["export", str(sets), "--output", str(out), "--dataset", "Set14", "--dataset", "Set5"]) == 0
    table = pandas.read_csv(out / "leaderboard.csv")
    assert [c for c in table if c.endswith("/psnr")] == ["Set14/psnr", "Set5/psnr"]
    assert main(["export", str(sets), "--output", str(out), "--pool"]) == 0
    assert "Pooled over several sets" in (out / "leaderboard.md").read_text(encoding="utf-8")
    assert "psnr" in pandas.read_csv(out / "leaderboard.csv")
    assert main(["export", str(sets), "--output", str(out), "--dataset", "Set5"]) == 0
    assert pandas.read_csv(out / "leaderboard.csv")["images"].tolist() == [4] * 4


def test_a_model_card_is_of_one_set(sets, tmp_path, capsys):
    words = ["export", str(sets), "--output", str(tmp_path / "out"), "--format", "csv,model-index"]
    words += ["--hub-method", "net-a", "--hub-dataset", "org/sets"]
    assert main(words) == 2
    assert "describes one set; choose it with --dataset" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and main([*words, "--dataset", "Set14"]) == 0
