"""The haze CLIP's training: batches, optimisers, resuming, and the folder that plain open_clip loads."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from errors import UsageError
from hashing import sha256_of
from priors import clip
from priors.sources import manifest
from training import captions, data, haze_clip, haze_clip_validation
from training.__main__ import main
from training.evaluate import evaluate
from training.fit import Options, fit
from training.haze_batches import Pools, Sampler, patch_density
from training.haze_clip import HazeClipTask
from training.haze_clip_model import Words, encode_text, normalise, whiten_patches
from training.logbook import read_rows
from training.recipe import Recipe, load_recipe
from training.task import create_task

MODEL = {
    "embed_dim": 16,
    "init_logit_scale": 2.5,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def pool(count, depths, seed, facts):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 5, 3 + depths), dtype=np.uint8)
    arrays = np.kron(coarse, np.ones((1, 12, 12, 1), np.uint8))
    return data.PicturePool.build((a, facts(i)) for i, a in enumerate(arrays))


@pytest.fixture(scope="module")
def pools():
    exposure = lambda i: {"luma": (30.0, 110.0, 220.0)[i % 3], "best": i % 3 == 1}  # noqa: E731
    return Pools(pool(6, 1, 0, lambda i: {}), pool(5, 4, 1, lambda i: {}), pool(6, 4, 2, exposure))


@pytest.fixture(autouse=True)
def toy(pools, monkeypatch):
    """Toy pools for both parts; validation is tried by one test alone."""
    monkeypatch.setattr(haze_clip, "open_pools", lambda root, cache, validation: pools)
    monkeypatch.setattr(haze_clip, "validate", lambda model, pools, words: {"spearman": 0.25})


def recipe(**changes):
    """As small as open_clip allows."""
    values = {
        "name": "toy_clip",
        "task": "haze_clip",
        "seed": 7,
        "steps": 6,
        "batch": 1,
        "learning_rate": 1e-3,
        "warmup": 2,
        "clip": 1.0,
        "ema": 0.998,
        "precision": "fp32",
        "log_every": 1,
        "save_every": 3,
        "validate_every": 100,
        "network": MODEL,
        "data": {"stages": [{"until": 6, "grids": [[4, 4, 6], [3, 5, 6]]}]},
        "loss": {"contrastive": 0.5, "haze": 1.0, "pairs": 1.0, "dense": 2.0, "captions_per_pole": 2, "haze_texts": 3},
    }
    return Recipe(**(values | changes))


@pytest.fixture
def task(tmp_path):
    torch.manual_seed(7)
    task = HazeClipTask(recipe())
    task.prepare(tmp_path, tmp_path)
    return task


def options(output, **changes):
    return Options(data=output, output=output, cache=output, device="cpu", tensorboard=False, **changes)


def states(*runs):
    return [torch.load(run / "state.pt", weights_only=True) for run in runs]


def test_batches_repeat_and_differ_from_step_to_step(pools):
    first, second, other = (Sampler(pools, 3).batch(step, 12, (32, 40)) for step in (5, 5, 6))
    assert torch.equal(first.pixels, second.pixels) and torch.equal(first.labels, second.labels)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.pixels.shape == (12, 3, 32, 40) and 0 <= first.pixels.min() <= first.pixels.max() <= 1


def test_labels_tell_the_truth_about_haze(pools):
    batch = Sampler(pools, 1).batch(0, 80, (32, 32))
    hazy = batch.kinds >= 0
    assert 20 < hazy.sum() < 60
    assert (batch.density[~hazy] == 0).all() and (batch.density[hazy].amax((1, 2, 3)) > 0).all()
    expected = (batch.density.mean((1, 2, 3)) / 0.25).clamp(0, 1)
    torch.testing.assert_close(batch.labels[:, 0], expected)
    assert all(0 < share < 0.6 for share in (batch.labels >= 0.5).float().mean(0)[1:].tolist())


def test_studied_pictures_follow_the_sots_recipe(pools):
    """White airlight, even haze, 8 bits, nothing else: the clear scene comes back from picture and density."""
    batch = Sampler(pools, 1).batch(0, 12, (48, 60), study=0.5)
    studied = slice(6, 12)
    assert (batch.labels[studied, 1:] == 0).all() and (batch.kinds[studied] == 0).all()
    t = 1 - batch.density[studied]
    clear = (batch.pixels[studied] - (1 - t)) / t
    assert clear.min() > -0.02 and clear.max() < 1.02
    assert batch.pixels.shape == (12, 3, 48, 60)


def test_tiles_of_a_scene_come_together_under_one_haze(pools):
    batch = Sampler(pools, 1).batch(0, 20, (48, 60), study=0.8, tiles=0.5)
    assert batch.scene.tolist() == [-1] * 12 + [0] * 4 + [1] * 4
    assert (batch.density[12:].amax((1, 2, 3)) > 0).all() and (batch.labels[12:, 1:] == 0).all()
    assert (Sampler(pools, 1).batch(0, 20, (48, 60), study=0.8).scene == -1).all()


def test_patch_density_is_the_mean_of_each_patch():
    density = torch.rand(2, 1, 24, 32)
    expected = density.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)).flatten(1)
    torch.testing.assert_close(patch_density(density, (3, 4)), expected)


def test_unreached_tokens_have_no_say(task):
    ids = task.words(["a hazy photo", "a hazy xylophone", f"a hazy {captions.UNKNOWN}"])
    assert (ids[1] == 0).any() and (task.model.token_embedding.weight[0] == 0).all()
    losses = task({key: value[None] for key, value in task.sample(0).items()})
    losses["loss"].backward()
    assert (task.model.token_embedding.weight.grad[0] == 0).all()
    assert (task.model.token_embedding.weight.grad[1:] != 0).any()


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    """Through a stage with a schedule, a decay and losses of its own, in which Muon takes over."""
    stages = [{"until": 2, "grids": [[4, 4, 6], [3, 5, 6]]},
              {"until": 6, "grids": [[4, 4, 6]], "rate": 0.01, "warmup": 2, "ema": 0.9, "weights": {"order": 1.0},
               "sampler": {"study": 0.5}}]  # fmt: skip
    made = recipe(data={"stages": stages}, muon=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(made, options(whole))
    fit(made, options(parts, stop_after=3))
    fit(made, options(parts, resume=True))
    one, other = states(whole, parts)
    assert one["step"] == other["step"] == 6 and one["optimizers"]["muon"]
    for key, value in one["average"].items():
        assert torch.equal(other["average"][key], value), key
    rates = [float(row["learning_rate"]) for row in read_rows(whole / "train.csv")]
    assert rates[2] == pytest.approx(0.005) and rates[5] < 0.002


def test_rates_warm_up_fall_and_restart():
    stages = [{"until": 20, "grids": [[4, 4, 6]]}, {"until": 40, "grids": [[4, 4, 6]], "rate": 0.5}]
    made = recipe(steps=40, data={"stages": stages}, learning_rate=1.0, warmup=5, restarts={30: 1.0})
    rates = [HazeClipTask(made).learning_rate(step) for step in range(40)]
    assert rates[0] == pytest.approx(0.2) and rates[4] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[5:20]))
    assert rates[20] == pytest.approx(0.5) and rates[-1] < 0.03


def test_what_does_not_fit_is_refused():
    grids = [[4, 4, 6]]
    for changes, complaint in (
        ({"batch": 2}, "batch is 1"),
        ({"steps": 9}, "have 6 steps"),
        ({"data": {"stages": [{"until": 6}]}}, "needs 'grids'"),
        ({"data": {"stages": [{"until": 6, "grids": grids, "rates": 1}]}}, "did you mean rate"),
        ({"network": {**MODEL, "embedding": 1}}, "open_clip"),
        ({"loss": {"contrast": 1.0}}, "did you mean contrastive"),
    ):
        with pytest.raises(UsageError, match=complaint):
            create_task(recipe(**changes))


@pytest.mark.parametrize(("step", "share"), [(0, 1.0), (4, 0.3)])
def test_every_parameter_has_one_optimizer(step, share):
    """Muon steps matrices inside the towers, with AdamW's rate lowered beside it; embeddings do not decay."""
    task = HazeClipTask(recipe(muon=4, weight_decay=0.05))
    optimizers = task.optimizers()
    optimizers.begin(step, rate=1.0)
    names = {id(parameter): name for name, parameter in task.model.named_parameters()}
    held = {"kernels": optimizers.kernels.param_groups, "others": optimizers.others.param_groups}
    found = {key: [[names[id(p)] for p in group["params"]] for group in groups] for key, groups in held.items()}
    assert sorted(name for groups in found.values() for group in groups for name in group) == sorted(names.values())
    assert all("resblocks" in name for name in found["kernels"][0])
    plain, matrices = found["others"]
    assert {"token_embedding.weight", "logit_scale"} <= set(plain) and "visual.conv1.weight" in matrices
    assert [(group["lr"], group["weight_decay"]) for group in held["others"]] == [(share, 0.0), (share, 0.05)]
    assert held["kernels"][0]["lr"] == 1.0


def test_whitened_filters_see_every_frequency(task):
    """Responses of the leading filters to photographs are decorrelated and of one size."""
    conv = task.model.visual.conv1
    pictures = [task._held_out.photographs[i] for i in range(5)]
    whiten_patches(task.model, pictures, np.random.default_rng(0))
    responses = []
    for picture in pictures:
        x = torch.from_numpy(picture[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
        responses.append(conv(normalise(x)).flatten(2)[0].T)
    covariance = torch.cat(responses).T @ torch.cat(responses) / sum(map(len, responses))
    diagonal = covariance.diag()[:6]
    assert diagonal.max() / diagonal.min() < 1.5
    assert (covariance[:6, :6] - diagonal.diag()).abs().max() < 0.2 * diagonal.mean()


def test_a_run_leaves_the_average_for_plain_open_clip(task, tmp_path):
    run, trained_on = tmp_path / "run", "toys"
    assert fit(recipe(card={"trained_on": trained_on}), options(run)) == {"spearman": 0.25}
    folder = run / "open_clip"
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    task.model.load_state_dict(states(run)[0]["average"])
    texts = ["a hazy photo", "thick fog in the street", "a xylophone without any fog"]
    expected = encode_text(task.model, task.words(texts))
    torch.testing.assert_close(model.encode_text(tokenizer(texts), normalize=True), expected, rtol=0, atol=4e-3)
    x = torch.rand(1, 3, 32, 32)
    found = clip.load(f"local-dir:{folder}").encode_image(x)
    torch.testing.assert_close(found, F.normalize(task.model.visual(normalise(x)), dim=-1), rtol=0, atol=4e-3)
    described = json.loads((folder / "manifest.json").read_text())
    assert described["sha256"] == {path.name: sha256_of(path) for path in folder.glob("open_clip*")}
    assert described["steps"] == 6 and described["trained_on"] == trained_on
    assert described["validation"] == {"step": 6, "spearman": 0.25}
    assert Recipe(**described["recipe"]).network == MODEL
    with pytest.raises(UsageError, match="restores nothing"):
        evaluate(run, tmp_path, tmp_path)


def test_validation_measures_maps_and_phrases(pools):
    native = {"vision_cfg": {**MODEL["vision_cfg"], "image_size": 192, "patch_size": 16}}
    task = HazeClipTask(recipe(network=MODEL | native))
    figures = haze_clip_validation.validate(task.model, pools, task.words)
    assert -1 <= figures["spearman"] <= 1
    assert {f"auroc_{concept}" for concept in captions.CONCEPTS} < set(figures)
    assert {"phrases_trained", "phrases_held_out", "haze_phrases_trained", "haze_phrases_held_out"} < set(figures)


def test_vocabulary_table_expands_to_open_clips(task):
    words: Words = task.words
    full = words.expand(task.model.token_embedding.weight.detach())
    ids = open_clip.tokenize(["a hazy photo"])[0]
    compact = words(["a hazy photo"])[0]
    torch.testing.assert_close(full[ids[: len(compact)]], task.model.token_embedding.weight[compact].detach())
    assert (full.abs().sum(1) > 0).sum() == len(words) - 1


def test_the_command_line_trains_and_goes_on(tmp_path, capsys):
    path, run = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(recipe().to_yaml())
    command = ["fit", str(path), "--data", str(tmp_path), "--output", str(run), "--device", "cpu"]
    assert main([*command, "--stop-after", "3"]) == 0
    assert main([*command, "--resume"]) == 0
    assert "spearman 0.250" in capsys.readouterr().out
    assert states(run)[0]["step"] == 6


def test_the_embedded_recipe_is_complete():
    made = load_recipe(Path(haze_clip.__file__).parent / "recipes" / "haze_clip.yaml")
    assert made.data["stages"][-1]["until"] == made.steps
    assert len(made.manifest) == 4 and all(len(digest) == 64 for digest in made.manifest.values())
    assert Recipe(**manifest()["recipe"]) == made
    create_task(made)
