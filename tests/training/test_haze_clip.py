"""The haze CLIP's training: batches, losses by hand, resuming, and the export that plain open_clip loads."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from errors import UnknownNameError
from priors import clip
from training import captions, data, haze_clip, haze_clip_export
from training.__main__ import main
from training.haze_batches import Batch, Pools, Sampler, patch_density
from training.haze_clip import Claim, Recipe, Words

MODEL = {
    "embed_dim": 16,
    "init_logit_scale": 2.5,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CLEAN = [0.0] * len(captions.CONCEPTS)


def pool(count, depths, seed, facts):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 5, 3 + depths), dtype=np.uint8)
    arrays = np.kron(coarse, np.ones((1, 12, 12, 1), np.uint8))
    return data.PicturePool.build((a, facts(i)) for i, a in enumerate(arrays))


@pytest.fixture(scope="module")
def pools():
    exposure = lambda i: {"luma": (30.0, 110.0, 220.0)[i % 3], "best": i % 3 == 1}  # noqa: E731
    return Pools(pool(6, 1, 0, lambda i: {}), pool(5, 4, 1, lambda i: {}), pool(6, 4, 2, exposure))


@pytest.fixture
def task(pools, monkeypatch, tmp_path):
    """A task on toy pools, as small as open_clip allows."""
    monkeypatch.setattr(haze_clip, "open_pools", lambda root, cache, validation: pools)
    stage = {"until": 6, "grids": [[4, 4, 6], [3, 5, 6]]}
    recipe = Recipe(MODEL, 6, (stage,), warmup=2, save_every=3, validate_every=100, captions_per_pole=2, haze_texts=3)
    monkeypatch.setattr("training.haze_clip_validation.validate", lambda state, task: {"spearman": 0.0})
    return haze_clip.Task(recipe, tmp_path, tmp_path)


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


def test_pair_and_dense_losses_by_hand():
    torch.manual_seed(0)
    features = [F.normalize(torch.randn(n, 8), dim=-1) for n in (4, 2, 3)]
    picture, positive, negative = features
    scale, label = torch.tensor(7.0), torch.tensor([1.0, 0.0, 1.0, 0.0])
    fits = torch.ones(4, 2, dtype=torch.bool)
    terms = []
    for i in range(4):
        for p in positive:
            for q in negative:
                probability = torch.stack([picture[i] @ p, picture[i] @ q]).mul(scale).softmax(0)[0]
                terms.append(-torch.log(probability if label[i] else 1 - probability))
    found = haze_clip.pair_loss(picture, positive, negative, scale, label, fits)
    torch.testing.assert_close(found, torch.stack(terms).mean())

    patches = F.normalize(torch.randn(2, 5, 8), dim=-1)
    logits = scale * ((patches @ positive.T)[..., :, None] - (patches @ negative.T)[..., None, :])
    perfect = torch.sigmoid(logits[..., :1, :1])[..., 0, 0]
    one = haze_clip.dense_loss(patches, positive[:1], negative[:1], scale, perfect, fits[:2, :1])
    assert float(one) == pytest.approx(0.0, abs=1e-5)


def test_order_loss_sees_only_the_order_inside_pictures():
    target = torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [0.5, 0.5, 0.5]])
    assert float(haze_clip.order_loss(3 * target + torch.tensor([[5.0], [-2.0], [9.0]]), target)) == pytest.approx(0.0)
    assert float(haze_clip.order_loss(-target, target)) == pytest.approx(2.0)
    assert float(haze_clip.order_loss(torch.rand(1, 3), target[2:])) == 0.0


def test_tile_loss_sees_only_the_order_inside_scenes():
    scene = torch.tensor([-1, 0, 0, 1, 1])
    target = torch.tensor([9.0, 0.1, 0.3, 0.5, 0.8])
    elsewhere = torch.tensor([-7.0, 4.0, 4.0, -3.0, -3.0])
    assert float(haze_clip.tile_loss(2 * target + elsewhere, target, scene)) == pytest.approx(0.0, abs=1e-6)
    assert float(haze_clip.tile_loss(-target, target, scene)) == pytest.approx(2.0)
    assert float(haze_clip.tile_loss(target, target, torch.full((5,), -1))) == 0.0


def batch_of(labels, kinds):
    count = len(labels)
    pixels, density, alone = torch.zeros(count, 3, 8, 8), torch.zeros(count, 1, 8, 8), torch.full((count,), -1)
    return Batch(pixels, torch.tensor(labels), torch.tensor(kinds), density, alone)


def test_every_caption_that_is_true_is_a_positive():
    """Two hazy pictures: each one's caption is also the other's, so equal logits there cost only log 2."""
    hazy = [1.0, *CLEAN[1:]]
    batch = batch_of([hazy, hazy, CLEAN], [0, 0, -1])
    said = [("hazy", Claim((0,), (), "")), ("haze", Claim((0,), (), "")), ("clear", Claim((), (0,), ""))]
    sure = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    assert float(haze_clip.contrastive_loss(sure, said, batch)) == pytest.approx(2 / 3 * np.log(2), abs=1e-4)


def test_captions_of_another_kind_of_haze_are_left_out():
    hazy = [1.0, *CLEAN[1:]]
    batch = batch_of([hazy, hazy], [2, 3])
    said = [("smog", Claim((0,), (), "smog")), ("smoke", Claim((0,), (), "smoke"))]
    assert float(haze_clip.contrastive_loss(torch.randn(2, 2) * 5, said, batch)) == pytest.approx(0.0, abs=1e-6)


def test_captions_are_true():
    draw = random.Random(0)
    lists = {c: {p: set() for p in (True, False)} for c in (*captions.CONCEPTS, "clean")}
    for pole in captions.vocabulary().poles:
        lists[pole.concept][pole.present].update(p for p, _ in pole.phrases(held_out=False))
    for concept, index in zip(captions.CONCEPTS, range(7), strict=True):
        labels = torch.zeros(7)
        labels[index] = 1.0
        for _ in range(20):
            text, claim = haze_clip.caption_of(labels, 2 if index == 0 else -1, draw)
            assert claim.present == (index,) and any(p in text for p in lists[concept][True])
            assert claim.kind in ("", "smog")
    for _ in range(40):
        text, claim = haze_clip.caption_of(torch.zeros(7), -1, draw)
        assert not claim.present and claim.absent and text


def test_unreached_tokens_have_no_say(task):
    ids = task.words(["a hazy photo", "a hazy xylophone", f"a hazy {captions.UNKNOWN}"])
    assert (ids[1] == 0).any() and (task.model.token_embedding.weight[0] == 0).all()
    loss, _ = task.loss(task.batch(0), 0)
    loss.backward()
    assert (task.model.token_embedding.weight.grad[0] == 0).all()
    assert (task.model.token_embedding.weight.grad[1:] != 0).any()


def test_a_killed_run_goes_on_where_it_was(task, tmp_path, pools, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    haze_clip.fit(task, whole)
    again = haze_clip.Task(task.recipe, tmp_path, tmp_path)
    real = again.batch

    def dies(step):
        if step == 4:
            raise KeyboardInterrupt
        return real(step)

    again.batch = dies
    with pytest.raises(KeyboardInterrupt):
        haze_clip.fit(again, parts)
    haze_clip.fit(haze_clip.Task(task.recipe, tmp_path, tmp_path), parts)
    one, other = (torch.load(run / "last.pt", weights_only=True) for run in (whole, parts))
    assert one["step"] == other["step"] == 6
    for key, value in one["average"].items():
        torch.testing.assert_close(other["average"][key], value, rtol=1e-4, atol=1e-6)


def test_rates_warm_up_fall_and_restart():
    stages = ({"until": 20, "grids": []}, {"until": 40, "grids": [], "rate": 0.5})
    recipe = Recipe(MODEL, 40, stages, learning_rate=1.0, warmup=5, cosine=30)
    rates = [haze_clip.learning_rate(step, recipe) for step in range(40)]
    assert rates[0] == pytest.approx(0.2) and rates[4] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[5:20]))
    assert rates[20] == pytest.approx(0.5) and rates[-1] < 0.03


def test_stages_change_the_optimizer_and_a_resumed_run_is_the_whole_one(task, tmp_path):
    stages = ({"until": 2, "grids": [[4, 4, 6]]},
              {"until": 6, "grids": [[4, 4, 6]], "optimizer": "muon", "rate": 0.01, "warmup": 2})  # fmt: skip
    recipe = replace(task.recipe, stages=stages)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for run, steps in ((whole, 6), (parts, 4), (parts, 6)):
        made = haze_clip.Task(replace(recipe, steps=steps), tmp_path, tmp_path)
        haze_clip.fit(made, run)
    one, other = (torch.load(run / "last.pt", weights_only=True) for run in (whole, parts))
    assert one["kind"] == "muon" and len(one["optimizers"]) == 2
    for key, value in one["average"].items():
        torch.testing.assert_close(other["average"][key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_parameter_has_one_optimizer(task, kind):
    optimizers = haze_clip.create_optimizers(task.model, 0.05, kind)
    held = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in task.model.parameters())
    with pytest.raises(UnknownNameError, match="adamw"):
        haze_clip.create_optimizers(task.model, 0.05, "sgd")


def test_whitened_filters_see_every_frequency(task):
    """Responses of the leading filters to photographs are decorrelated and of one size."""
    conv = task.model.visual.conv1
    pictures = [task.sampler.pools.photographs[i] for i in range(5)]
    haze_clip.whiten_patches(task.model, pictures, np.random.default_rng(0))
    responses = []
    for picture in pictures:
        x = torch.from_numpy(picture[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
        responses.append(conv(haze_clip.normalise(x)).flatten(2)[0].T)
    covariance = torch.cat(responses).T @ torch.cat(responses) / sum(map(len, responses))
    diagonal = covariance.diag()[:6]
    assert diagonal.max() / diagonal.min() < 1.5
    assert (covariance[:6, :6] - diagonal.diag()).abs().max() < 0.2 * diagonal.mean()


def test_the_export_is_the_average_for_plain_open_clip(task, tmp_path):
    run, folder = tmp_path / "run", tmp_path / "export"
    haze_clip.fit(task, run)
    recipe = tmp_path / "recipe.yaml"
    fields = {"model": MODEL, "steps": 6, "stages": [{"until": 6, "grids": [[4, 4, 6]]}]}
    recipe.write_text(json.dumps(fields))
    haze_clip_export.export(run, recipe, folder)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    task.model.load_state_dict(torch.load(run / "last.pt", weights_only=True)["average"])
    texts = ["a hazy photo", "thick fog in the street", "a xylophone without any fog"]
    expected = haze_clip.encode_text(task.model, task.words(texts))
    torch.testing.assert_close(model.encode_text(tokenizer(texts), normalize=True), expected, rtol=0, atol=4e-3)
    x = torch.rand(1, 3, 32, 32)
    mean_std = haze_clip.normalise(x)
    found = clip.load(f"local-dir:{folder}").encode_image(x)
    torch.testing.assert_close(found, F.normalize(task.model.visual(mean_std), dim=-1), rtol=0, atol=4e-3)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["steps"] == 6 and set(manifest["sha256"]) == {
        "open_clip_config.json",
        "open_clip_model.safetensors",
    }


def test_vocabulary_table_expands_to_open_clips(task):
    words: Words = task.words
    full = words.expand(task.model.token_embedding.weight.detach())
    ids = open_clip.tokenize(["a hazy photo"])[0]
    compact = words(["a hazy photo"])[0]
    torch.testing.assert_close(full[ids[: len(compact)]], task.model.token_embedding.weight[compact].detach())
    assert (full.abs().sum(1) > 0).sum() == len(words) - 1


def test_the_command_line_trains_and_refuses_what_does_not_fit(pools, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(haze_clip, "open_pools", lambda root, cache, validation: pools)
    monkeypatch.setattr("training.haze_clip_validation.validate", lambda state, task: {"spearman": 0.0})
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    stage = {"until": 4, "grids": [[4, 4, 4]]}
    recipe.write_text(json.dumps({"task": "haze_clip", "model": MODEL, "steps": 4, "stages": [stage]}))
    command = ["fit", str(recipe), "--data", str(tmp_path), "--output", str(run)]
    assert main([*command, "--steps", "2"]) == 0
    assert main(command) == 2 and "--resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--steps", "9"]) == 2 and "have 4 steps" in capsys.readouterr().err
    assert main([*command, "--resume", "--steps", "3"]) == 0
    assert torch.load(run / "last.pt", weights_only=True)["step"] == 3
    stranger = json.loads(recipe.read_text()) | {"manifest": {"nyu_images.tar": "0" * 64}}
    recipe.write_text(json.dumps(stranger))
    (tmp_path / "nyu_images.tar").write_bytes(b"other")
    assert main([*command, "--resume"]) == 1 and "not the file this recipe was written for" in capsys.readouterr().err


def test_the_embedded_recipe_is_complete():
    recipe = Recipe.load(Path(haze_clip.__file__).parent / "recipes" / "haze_clip.yaml")
    assert recipe.stages[-1]["until"] == recipe.steps
    assert all(a["until"] < b["until"] for a, b in itertools.pairwise(recipe.stages))
    assert len(recipe.manifest) == 4 and all(len(digest) == 64 for digest in recipe.manifest.values())
