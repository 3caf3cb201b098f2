"""The loop: it lowers the loss, resumes exactly, refuses what does not fit, and spreads over processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from errors import SetError, UnveilError, UsageError
from restorers.networks import create_embedded, entries
from tests.training import toy_data
from training import fit as loop
from training.__main__ import main
from training.dehaze import DehazeTask
from training.fit import Options, Shares, fit, train
from training.logbook import read_rows
from training.recipe import Recipe, load_recipe
from training.schedule import learning_rate

ROOT = Path(__file__).resolve().parents[2]


def options(data, cache, output, **changes):
    return Options(data=data, output=output, cache=cache, device="cpu", tensorboard=False, **changes)


def losses(folder):
    return [(row["step"], row["loss"], row.get("contrastive", "")) for row in read_rows(folder / "train.csv")]


@pytest.fixture(scope="module")
def straight(data, cache, tmp_path_factory):
    """A run from start to end."""
    folder = tmp_path_factory.mktemp("straight")
    figures = fit(Recipe(**toy_data.recipe()), options(data, cache, folder))
    return folder, figures


def test_a_run_leaves_its_record(straight):
    folder, figures = straight
    assert [row["step"] for row in read_rows(folder / "train.csv")] == ["2", "4", "6", "8"]
    row = read_rows(folder / "validation.csv")[0]
    assert float(row["psnr"]) == pytest.approx(figures["psnr"], rel=1e-5)
    assert (folder / "sheets" / "step-0000008.png").stat().st_size > 0
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["manifest"]["nyu_images.tar"]
    assert all(value.dtype == torch.float16 for value in load_file(folder / "weights.safetensors").values())


def test_a_resumed_run_is_the_uninterrupted_one(straight, data, cache, tmp_path):
    recipe = Recipe(**toy_data.recipe())
    fit(recipe, options(data, cache, tmp_path, stop_after=5))
    fit(recipe, options(data, cache, tmp_path, resume=True))
    assert losses(tmp_path) == losses(straight[0])
    once, twice = (load_file(folder / "weights.safetensors") for folder in (straight[0], tmp_path))
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[key], twice[key]) for key in once)


def test_runs_of_one_process_have_a_precision_each(data, cache, tmp_path):
    precisions = ("fp32", "bf16", "fp32")
    for number, precision in enumerate(precisions):
        recipe = Recipe(**toy_data.recipe(precision=precision))
        fit(recipe, options(data, cache, tmp_path / str(number), stop_after=2))
    first, rounded, again = (losses(tmp_path / str(number)) for number in range(len(precisions)))
    assert first == again != rounded


@pytest.mark.parametrize("stop", [3, 6])
def test_a_run_resumed_before_or_after_it_turns_to_muon_is_the_uninterrupted_one(stop, data, cache, tmp_path):
    recipe = Recipe(**toy_data.recipe(muon=4))
    fit(recipe, options(data, cache, tmp_path / "straight"))
    fit(recipe, options(data, cache, tmp_path / "resumed", stop_after=stop))
    fit(recipe, options(data, cache, tmp_path / "resumed", resume=True))
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")
    once, twice = (load_file(tmp_path / name / "weights.safetensors") for name in ("straight", "resumed"))
    assert all(torch.equal(once[key], twice[key]) for key in once)


def test_rows_after_the_saved_state_are_dropped_on_resume(straight, data, cache, tmp_path):
    """A kill without warning leaves rows that the saved state knows nothing about."""
    recipe = Recipe(**toy_data.recipe())
    fit(recipe, options(data, cache, tmp_path, stop_after=3))
    with (tmp_path / "train.csv").open("a") as stream:
        stream.write("4,0.1,9.0,9.0,9.0,0.1\n6,0.1,9")
    fit(recipe, options(data, cache, tmp_path, resume=True))
    assert losses(tmp_path) == losses(straight[0])


def test_training_lowers_the_loss(data, cache, tmp_path):
    changes = {"steps": 120, "validate_every": 120, "log_every": 20, "save_every": 120, "loss": {"l1": 1.0},
               "validation": {"pairs": 1}}  # fmt: skip
    fit(Recipe(**toy_data.recipe(**changes)), options(data, cache, tmp_path))
    curve = [float(loss) for _, loss, _ in losses(tmp_path)]
    assert curve[-1] < 0.75 * curve[0]


def test_only_a_fresh_run_is_given_start_weights(data, cache, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("training.dehaze.DehazeTask.start", lambda self: started.append(self.recipe.steps))
    recipe = Recipe(**toy_data.recipe(loss={"l1": 1.0}))
    fit(recipe, options(data, cache, tmp_path, stop_after=3))
    fit(recipe, options(data, cache, tmp_path, resume=True))
    assert started == [8]


def test_learning_rate_rises_then_follows_half_a_cosine():
    recipe = Recipe(**toy_data.recipe(steps=110, warmup=10, learning_rate=1.0, final_learning_rate=0.2))
    assert learning_rate(recipe, 0) == pytest.approx(0.1)
    assert learning_rate(recipe, 9) == pytest.approx(1.0)
    assert learning_rate(recipe, 60) == pytest.approx(0.6)
    assert learning_rate(recipe, 110) == pytest.approx(0.2)


def test_the_rate_starts_anew_at_restarts():
    common = {"warmup": 10, "learning_rate": 1.0, "final_learning_rate": 0.2}
    restarted = Recipe(**toy_data.recipe(steps=220, restarts={110: 0.5}, **common))
    first, second = (Recipe(**toy_data.recipe(steps=110, **common | {"learning_rate": rate})) for rate in (1.0, 0.5))
    expected = [learning_rate(recipe, step) for recipe in (first, second) for step in range(110)]
    assert [learning_rate(restarted, step) for step in range(220)] == pytest.approx(expected)


def test_processes_share_a_batch_without_gaps_or_repeats():
    whole = list(Shares(8, 3, 5, 0, 1))
    parts = [list(Shares(8, 3, 5, rank, 4)) for rank in range(4)]
    assert whole == [list(range(24, 32)), list(range(32, 40))]
    for step, numbers in enumerate(whole):
        assert [number for part in parts for number in part[step]] == numbers


def test_a_loss_that_is_not_finite_stops_the_run(data, cache, tmp_path, monkeypatch):
    def broken(self, batch):
        value = next(self.parameters()).sum() * float("nan")
        return {"loss": value, "l1": value}

    monkeypatch.setattr("training.dehaze.DehazeTask.forward", broken)
    with pytest.raises(UnveilError, match="no longer finite at step 2, and no state was saved"):
        fit(Recipe(**toy_data.recipe()), options(data, cache, tmp_path))
    assert not (tmp_path / "state.pt").exists()


@pytest.mark.parametrize("spoiled", ["loss", "gradient"])
def test_a_spoiled_run_keeps_its_last_good_state_and_goes_on_by_a_changed_recipe(
    spoiled, data, cache, tmp_path, monkeypatch
):
    """A loss that is not finite in the fifth step, or weights that the sixth one spoils although its loss is finite."""
    forward = DehazeTask.forward

    def breaking(self, batch):
        losses = forward(self, batch)
        if self.step == (4 if spoiled == "loss" else 5):
            root = (next(self.parameters()).sum() * 0).sqrt()  # 0, with an infinite slope
            losses["loss"] = losses["loss"] * (float("nan") if spoiled == "loss" else 1) + root
        return losses

    monkeypatch.setattr(DehazeTask, "forward", breaking)
    recipe = toy_data.recipe(loss={"l1": 1.0}, log_every=50, validate_every=6, clip=0.0)
    with pytest.raises(UnveilError, match=r"no longer finite at step 6.* of step 3.*--resume --changed"):
        fit(Recipe(**recipe), options(data, cache, tmp_path))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 3
    assert not (tmp_path / "weights.safetensors").exists()
    monkeypatch.setattr(DehazeTask, "forward", forward)
    slower = Recipe(**{**recipe, "learning_rate": 1e-4})
    assert train(slower, options(data, cache, tmp_path, resume=True, changed=True)).finished
    assert all(value.isfinite().all() for value in load_file(tmp_path / "weights.safetensors").values())


def test_a_run_says_how_far_it_got(straight, data, cache, tmp_path, capsys):
    run = shutil.copytree(straight[0], tmp_path / "run")
    line = ["fit", str(run / "recipe.yaml"), "--data", str(data), "--cache", str(cache), "--device", "cpu"]
    assert main([*line, "--output", str(run), "--resume"]) == 0
    assert f"has already taken all 8 steps: PSNR {straight[1]['psnr']:.2f} dB" in capsys.readouterr().out
    assert main([*line, "--output", str(run), "--resume", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["step"], found["finished"]) == (8, True) and found["psnr"] == pytest.approx(straight[1]["psnr"], 1e-5)
    assert main([*line, "--output", str(tmp_path / "new"), "--stop-after", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"run": str(tmp_path / "new"), "step": 3, "finished": False}


def test_a_run_goes_on_by_a_changed_recipe_and_keeps_the_old_one(straight, data, cache, tmp_path):
    for name in ("state.pt", "train.csv", "validation.csv"):
        (tmp_path / name).write_bytes((straight[0] / name).read_bytes())
    longer = Recipe(**toy_data.recipe(steps=10, restarts={8: 1e-4}))
    fit(longer, options(data, cache, tmp_path, resume=True, changed=True))
    assert load_recipe(tmp_path / "recipe-to-0000008.yaml").steps == 8
    assert load_recipe(tmp_path / "recipe.yaml").steps == 10
    rows = losses(tmp_path)
    assert rows[:4] == losses(straight[0]) and [row[0] for row in rows] == ["2", "4", "6", "8", "10"]


def test_a_state_of_another_recipe_is_refused(straight, data, cache, tmp_path):
    recipe = Recipe(**toy_data.recipe(seed=6))
    (tmp_path / "state.pt").write_bytes((straight[0] / "state.pt").read_bytes())
    with pytest.raises(UsageError, match="another recipe"):
        fit(recipe, options(data, cache, tmp_path, resume=True))
    for changes, complaint in (({"network": {"architecture": "scl_lle"}}, "another network"), ({"steps": 7}, "raise")):
        with pytest.raises(UsageError, match=complaint):
            fit(Recipe(**toy_data.recipe(**changes)), options(data, cache, tmp_path, resume=True, changed=True))
    (tmp_path / "state.pt").write_bytes(b"PK nonsense")
    with pytest.raises(UnveilError, match="damaged"):
        fit(recipe, options(data, cache, tmp_path, resume=True))


def test_other_data_than_the_recipes_is_refused(data, cache, tmp_path):
    recipe = Recipe(**toy_data.recipe(manifest={"nyu_images.tar": "0" * 64}))
    with pytest.raises(SetError, match="not the file this recipe was written for"):
        fit(recipe, options(data, cache, tmp_path))


@pytest.mark.parametrize(("amx", "avx512", "fast"), [(True, False, True), (False, True, True), (False, False, False)])
def test_fast_bf16_is_only_used_where_there_are_units_for_it(monkeypatch, amx, avx512, fast):
    monkeypatch.setattr(loop.torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(loop.torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert loop._has_fast_bf16(on_cpu=True) is fast


def command(recipe_path, data, cache, output, *more):
    return [
        sys.executable, "-m", "training", "fit", str(recipe_path), "--data", str(data), "--cache", str(cache),
        "--output", str(output), "--device", "cpu", *more,
    ]  # fmt: skip


def test_sigterm_saves_the_state_and_the_run_resumes(straight, data, cache, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(Recipe(**toy_data.recipe(steps=5000, log_every=1)).to_yaml())
    log, said = tmp_path / "run" / "train.csv", tmp_path / "stderr.txt"
    # Into a file: a pipe that nobody empties can block the child, and reading one waits for the child's end.
    with said.open("w") as stream:
        process = subprocess.Popen(command(path, data, cache, tmp_path / "run"), cwd=ROOT, stderr=stream)
    try:
        deadline = time.monotonic() + 120
        while not (log.exists() and len(log.read_text().splitlines()) > 3):
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, said.read_text()
    finally:
        process.kill()
        process.wait()
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["step"] == int(read_rows(log)[-1]["step"]) >= 3


AND_NAME_THREADS = """
import sys
from pathlib import Path
from training.__main__ import main

code = main(sys.argv[1:])
print(*(path.read_text() for path in Path("/proc/self/task").glob("*/comm")), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("growth", [[], [{"until": 4, "attention_uses": 0, "deformable_uses": 0}]])
def test_two_processes_equal_one_with_the_same_batch(growth, data, cache, tmp_path):
    """Contrastive ratios of the whole batch included: they are means over all processes before the division.

    Blocks that are not used yet get no gradient, which the processes have to agree on. No thread of the process group
    is left at the end: one of them can abort a process that is done.
    """
    values = toy_data.recipe()
    recipe = Recipe(**values | {"data": {**values["data"], "growth": growth}})
    figures = fit(recipe, options(data, cache, tmp_path / "alone"))
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        python, _, _, *arguments = command(path, data, cache, tmp_path / "run")
        line = [python, "-c", AND_NAME_THREADS, *arguments]
        processes.append(subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE))
    for process in processes:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said.decode()
        assert b"gloo" not in said and b"tcpstore" not in said
    together = [float(loss) for _, loss, _ in losses(tmp_path / "run")]
    alone = [float(loss) for _, loss, _ in losses(tmp_path / "alone")]
    assert together == pytest.approx(alone, abs=2e-6)
    psnr = float(read_rows(tmp_path / "run" / "validation.csv")[0]["psnr"])
    assert psnr == pytest.approx(figures["psnr"], abs=1e-3)


def test_no_run_begins_in_the_folder_of_another(straight, data, cache):
    recipe = Recipe(**toy_data.recipe())
    before = (straight[0] / "state.pt").read_bytes()
    with pytest.raises(UsageError, match="go on with it by --resume"):
        fit(recipe, options(data, cache, straight[0]))
    with pytest.raises(UsageError, match="give --resume with it"):
        fit(recipe, options(data, cache, straight[0], changed=True))
    assert (straight[0] / "state.pt").read_bytes() == before


@pytest.mark.parametrize("name", ["AECR_Mine", "my net", "../up", "lime"])
def test_a_name_that_no_method_can_have_is_not_published(name, straight, data, cache, tmp_path):
    from training.evaluate import evaluate
    from training.publish import publish

    run = Path(shutil.copytree(straight[0], tmp_path / "run"))
    evaluate(run, data, cache, device="cpu", limit=1)
    with pytest.raises(UsageError, match="--name"):
        publish(run, tmp_path / "assets", name=name)
    assert not (tmp_path / "assets").exists()


def test_evaluate_and_publish_make_an_embedded_method(straight, data, cache, tmp_path, capsys):
    folder = straight[0]
    with pytest.raises(UnveilError, match="evaluate"):
        from training.publish import publish

        publish(folder, tmp_path)
    base = ["--data", str(data), "--cache", str(cache), "--device", "cpu", "--json"]
    assert main(["evaluate", str(folder), *base]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["pairs"] == 20 and figures["input_psnr"] < 25
    assert main(["publish", str(folder), "--assets", str(tmp_path), "--name", "toy-one"]) == 0
    (card, factory), = entries(tmp_path)  # fmt: skip
    assert card.name == "toy-one" and card.figures[0].value == round(figures["psnr"], 4)
    model = factory()
    assert sum(p.numel() for p in model.parameters()) == card.parameters
    (tmp_path / "toy-one.safetensors").write_bytes(b"something else")
    with pytest.raises(UnveilError, match="has changed since it was measured"):
        create_embedded(card, {"architecture": "aecr_net"}, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit", "nothing.yaml", "--data", "."], "There is no recipe"),
        (["fit", "training/recipes/aecr_net.yaml", "--data", ".", "--set", "sede=1"], "did you mean seed"),
        (["fit", "training/recipes/aecr_net.yaml", "--data", ".", "--steps", "0"], "at least 1"),
    ],
)
def test_unusable_arguments_exit_with_two(arguments, sentence, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_numbers_as_yaml_does_not_know_them_and_values_of_the_wrong_kind():
    assert Recipe(**toy_data.recipe(learning_rate="2e-4")).learning_rate == pytest.approx(2e-4)
    for name, value in (("steps", "abc"), ("learning_rate", "fast"), ("data", 3), ("steps", True)):
        with pytest.raises(UsageError, match=name):
            Recipe(**toy_data.recipe(**{name: value}))


def test_a_shortened_run_ends_its_cosine_where_it_ends():
    recipe = Recipe(**toy_data.recipe(steps=100, learning_rate=1.0, final_learning_rate=0.01, restarts={5000: 0.5}))
    assert learning_rate(recipe, 99) < 0.02
