"""Weights are measured as a run or by an embedded name, and published whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from errors import MetricError, SetError, UsageError, WeightsError
from eval.scoring import Measurement
from hashing import sha256_of
from restorers.networks import WEIGHTS, architecture, entries
from tests.training import toy_data
from training.__main__ import main
from training.evaluate import evaluate
from training.publish import publish
from training.recipe import Recipe, load_recipe
from training.restorer_task import write_weights
from training.validate import value_of


def write_run(folder, seed=0):
    """A run whose weights were drawn, not trained."""
    torch.manual_seed(seed)
    recipe = Recipe(**toy_data.recipe())
    options = dict(recipe.network)
    model = architecture(options.pop("architecture")).load()(**options)
    folder.mkdir()
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    write_weights(folder / "weights.safetensors", model, recipe, 8, {})
    return folder


def claim(run):
    """Figures that nobody measured."""
    digest = sha256_of(run / "weights.safetensors")
    figures = {"psnr": 20.0, "ssim": 0.5, "pairs": 3, "limit": 3, "dataset": "toy", "protocol": "dehaze-rgb"}
    (run / "evaluation.json").write_text(json.dumps(figures | {"weights_sha256": digest}))
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def assets(tmp_path):
    """A folder with the embedded method ``toy``."""
    publish(claim(write_run(tmp_path / "published")), tmp_path / "assets")
    return tmp_path / "assets"


def test_an_embedded_method_is_measured_by_name_as_its_run_was(data, cache, assets, tmp_path, monkeypatch, capsys):
    before = contents(assets)
    of_run = evaluate(tmp_path / "published", data, cache, device="cpu", limit=3)
    monkeypatch.chdir(tmp_path)
    options = ["--assets", str(assets), "--data", str(data), "--cache", str(cache), "--device", "cpu", "--json"]
    command = ["evaluate", "toy", "--limit", "3", *options]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == of_run and of_run["pairs"] == 3
    assert main([*command, "--output", "kept"]) == 0
    assert json.loads((tmp_path / "kept" / "evaluation.json").read_text()) == of_run
    assert len((tmp_path / "kept" / "evaluation.csv").read_text().splitlines()) == 4
    assert contents(assets) == before


def test_a_folder_of_that_name_comes_first(data, cache, assets, tmp_path, monkeypatch):
    run = write_run(tmp_path / "toy", seed=1)
    monkeypatch.chdir(tmp_path)
    figures = evaluate(Path("toy"), data, cache, device="cpu", limit=1, assets=assets)
    assert figures["weights_sha256"] == sha256_of(run / "weights.safetensors")
    assert json.loads((run / "evaluation.json").read_text()) == figures


def test_what_cannot_be_measured_says_why(data, cache, assets, tmp_path):
    for missing in ("nothing", "runs/toy", "../assets/toy"):
        with pytest.raises(UsageError, match="neither the folder of a run nor an embedded method"):
            evaluate(Path(missing), data, cache, assets=assets)
    (assets / "toy.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="missing or is not what"):
        evaluate(Path("toy"), data, cache, assets=assets)
    (assets / "toy.json").write_text("{}")
    with pytest.raises(WeightsError, match="damaged"):
        evaluate(Path("toy"), data, cache, assets=assets)
    (tmp_path / "published" / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match="no weight file"):
        evaluate(tmp_path / "published", data, cache)


@pytest.mark.parametrize("name", sorted(path.stem for path in WEIGHTS.glob("*.json")))
def test_an_embedded_method_lacks_nothing_but_data_to_be_measured(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.evaluate.check_manifest", lambda recipe, root: recipe)
    with pytest.raises(SetError):
        evaluate(Path(name), tmp_path, tmp_path)


def test_a_card_names_a_command_that_measures_the_embedded_method(assets):
    ((card, _),) = entries(assets)
    assert {figure.command for figure in card.figures} == {"python -m training evaluate toy --data ROOT --limit 3"}


def test_weights_that_do_not_fit_leave_what_was_published(assets, tmp_path):
    before = contents(assets)
    run = write_run(tmp_path / "later", seed=1)
    tensors = load_file(run / "weights.safetensors")
    tensors.popitem()
    save_file(tensors, run / "weights.safetensors", {"step": "8"})
    with pytest.raises(WeightsError, match="does not fit"):
        publish(claim(run), assets)
    assert contents(assets) == before
    publish(claim(write_run(tmp_path / "last", seed=2)), assets)
    assert contents(assets).keys() == before.keys() and contents(assets) != before
    ((_, factory),) = entries(assets)
    factory()


def test_averaged_weights_are_a_run_of_their_own(tmp_path):
    for name, seed in (("first", 1), ("second", 2)):
        write_run(tmp_path / name, seed)
    script = Path(__file__).resolve().parents[2] / "scripts" / "average_weights.py"
    runs = [str(tmp_path / name) for name in ("first", "second", "mean")]
    command = [sys.executable, str(script), *runs[:2], "--share", "0.25", "--output", runs[2]]
    subprocess.run(command, check=True, timeout=120)
    first, second, mean = (load_file(f"{run}/weights.safetensors") for run in runs)
    for key, tensor in mean.items():
        wanted = 0.75 * first[key].float() + 0.25 * second[key].float()
        torch.testing.assert_close(tensor.float(), wanted, atol=1e-3, rtol=1e-3)
    assert load_recipe(tmp_path / "mean" / "recipe.yaml") == load_recipe(tmp_path / "second" / "recipe.yaml")


def test_what_has_no_value_does_not_count_as_0_db():
    with pytest.raises(MetricError, match="too small"):
        value_of(Measurement("ssim", None, "The picture is too small."))
    assert value_of(Measurement("psnr", 0.0)) == 0.0
