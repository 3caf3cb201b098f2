"""Benchmarks start from anywhere, name their arguments, and never pass one measurement off as another."""

import csv
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import _machine, ablations
from restorers.base import count_parameters
from tests.training import toy_data
from training.fit import Options, fit
from training.recipe import Recipe, load_recipe
from training.task import create_task

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_benchmark_has_help_and_finds_the_project(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(ROOT))])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(script), run_name="__main__")
    assert not left.value.code and "usage:" in capsys.readouterr().out
    assert str(ROOT) in sys.path, "python benchmarks/NAME.py finds the project's modules"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_bench_leaves_out_what_needs_arguments():
    done = subprocess.run(["make", "-n", "bench"], cwd=ROOT, capture_output=True, text=True, check=True)
    left_out = {path.stem for path in SCRIPTS if f"benchmarks/{path.name}" not in done.stdout}
    assert left_out == {path.stem for path in SCRIPTS if "required=True" in path.read_text(encoding="utf-8")}


@pytest.mark.parametrize(
    ("table", "arm"), [(table, arm) for table, ablation in ablations.ABLATIONS.items() for arm in ablation.arms]
)
def test_recipes_accept_every_arm(table, arm):
    ablation = ablations.ABLATIONS[table]
    changes = {**ablation.common, **ablation.arms[arm]}
    recipe = load_recipe(ROOT / "training" / "recipes" / ablation.recipe, changes)
    create_task(recipe)


def test_a_part_of_a_table_replaces_only_its_own_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(_machine, "RESULTS", tmp_path)

    def reported(rows, key=()):
        _machine.report("toy", rows, key=key)
        with (tmp_path / "toy.csv").open(newline="", encoding="utf-8") as stream:
            return [(row["method"], row["seconds"]) for row in csv.DictReader(stream)]

    reported([{"method": name, "seconds": 1} for name in "abc"])
    part = [{"method": "d", "seconds": 2}, {"method": "b", "seconds": 2}]
    assert reported(part, ["method"]) == [("a", "1"), ("b", "2"), ("c", "1"), ("d", "2")]
    assert reported([{"method": "a", "pairs": 5, "seconds": 3}], ["method"]) == [("a", "3")], "other columns"
    assert reported(part) == [("d", "2"), ("b", "2")]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A call of the script on a toy table; its rows as they were kept."""
    values = toy_data.recipe(steps=4, loss={"l1": 1.0}, save_every=2, validate_every=4)
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    arms = {"as it is": {}, "heavier": {"loss.l1": 2.0}}
    toy = {name: ablations.Ablation(str(tmp_path / "toy.yaml"), arms, goes_on=name == "on") for name in ("anew", "on")}
    monkeypatch.setattr(ablations, "ABLATIONS", toy)
    monkeypatch.setattr(_machine, "RESULTS", tmp_path / "results")
    root = tmp_path / "data"
    root.mkdir()
    toy_data.write_nyu(root)

    def call(name, *options):
        folders = ["--data", str(root), "--cache", str(tmp_path / "cache"), "--runs", str(tmp_path / "runs")]
        if code := ablations.main([name, *folders, *options]):
            return code
        with (tmp_path / "results" / f"ablation_{name}.csv").open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    call.recipe, call.data, call.folder = Recipe(**values), root, tmp_path
    return call


def test_a_line_says_what_it_measured(table):
    rows = table("anew", "--steps", "3", "--pairs", "2")
    assert [row["trained"] for row in rows] == ["as it is", "heavier"]
    parameters = count_parameters(create_task(table.recipe).model)
    for row in rows:
        assert (row["steps"], row["pairs"], row["parameters"]) == ("3", "2", str(parameters))
        assert float(row["psnr"]) > 0 and row["versions"].startswith("unveil ")
    line = json.loads((table.folder / "runs" / "anew_3" / "heavier" / "line.json").read_text())
    assert yaml.safe_load(line["recipe"])["loss"] == {"l1": 2.0} and line["pairs"] == 2 and line["machine"]["machine"]


def test_a_kept_line_is_used_only_for_what_it_was_made_of(table, capsys, monkeypatch):
    options = ("--steps", "2", "--pairs", "2")
    table("anew", *options)
    file = table.folder / "runs" / "anew_2" / "heavier" / "line.json"
    kept = json.loads(file.read_text())
    kept["line"]["psnr"], kept["machine"]["machine"] = 99.0, "another machine"
    file.write_text(json.dumps(kept))
    row = table("anew", *options)[1]
    assert (row["psnr"], row["machine"]) == ("99.0", "another machine")

    assert table("anew", "--steps", "2", "--pairs", "3") == 1
    assert "'as it is' that is kept was made with other pairs; remake it with --again" in capsys.readouterr().err
    table.folder.joinpath("toy.yaml").write_text(yaml.safe_dump(toy_data.recipe(seed=6, loss={"l1": 1.0})))
    assert table("anew", *options) == 1 and "other recipe or data" in capsys.readouterr().err
    assert json.loads(file.read_text())["line"]["psnr"] == 99.0, "a refusal leaves it alone"
    assert all(row["pairs"] == "3" and row["psnr"] != "99.0" for row in table("anew", *options[:3], "3", "--again"))


def test_lines_that_go_on_end_with_the_recipe(table, capsys):
    run = table.folder / "begun"
    options = Options(data=table.data, output=run, cache=table.folder / "cache", device="cpu", stop_after=2)
    assert table("on", "--of", str(run)) == 1 and "no saved state" in capsys.readouterr().err
    fit(table.recipe, options)
    rows = table("on", "--of", str(run), "--pairs", "2")
    assert [row["steps"] for row in rows] == ["4", "4"]
    for row in rows:
        log = table.folder / "runs" / "on_begun" / row["trained"].replace(" ", "_") / "train.csv"
        assert log.read_text().splitlines()[-1].startswith("4,")
