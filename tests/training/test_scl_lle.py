"""The unpaired low-light task on toy exposures: what it draws, what it never draws, and that it learns."""

import shutil
import tarfile

import numpy as np
import pytest
import torch

from errors import SetError, UnknownNameError
from tests.training.toy_data import add
from training.degradations.low_light import low_light
from training.exposures import pseudo_pairs
from training.fit import Options, fit
from training.losses.curve import brightness_contrast
from training.losses.semantic import IGNORED
from training.recipe import Recipe
from training.scl_lle import SclLleTask, exposure_groups
from training.segmenters import create_segmenter, predict_labels

LEVELS = (20, 33, 118, 220)
SCENES = 18
"""Fifteen are held out for validation, three are left to train on."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    with tarfile.open(folder / "multi_exposure.tar", "w") as archive:
        for scene in range(SCENES):
            grain = rng.integers(-12, 13, (48, 48, 3))
            for exposure, level in enumerate(LEVELS):
                picture = np.clip(level + grain, 0, 255).astype(np.uint8)
                add(archive, f"multi_exposure/{scene:03d}/{exposure:02d}.png", picture)
    write_labelled(folder)
    return folder


def write_labelled(folder, level=150, first_label=0):
    with (
        tarfile.open(folder / "nyu_images.tar", "w") as pictures,
        tarfile.open(folder / "nyu_labels40.tar", "w") as labels,
    ):
        for scene in range(8):
            add(pictures, f"nyu_images/{scene:04d}.png", np.full((48, 64, 3), level + scene, np.uint8))
            classes = np.zeros((48, 64), np.uint8)
            classes[:24] = 5
            add(labels, f"nyu_labels40/{first_label + scene:04d}.png", classes)


def recipe(**changes):
    values = {
        "name": "toy",
        "task": "scl_lle",
        "seed": 3,
        "steps": 3,
        "precision": "fp32",
        "batch": 2,
        "learning_rate": 1e-3,
        "validate_every": 3,
        "sheet": 0,
        "network": {"architecture": "scl_lle", "width": 4},
        "data": {"crop": 24, "references": 2, "labelled": 0.5},
        "loss": {"smoothness": 20, "agreement": 1, "colour": 8, "semantic": 1, "brightness": 10, "alignment": "rank"},
    }
    return Recipe(**(values | changes))


@pytest.fixture(scope="module")
def task(root, tmp_path_factory):
    torch.manual_seed(0)
    made = SclLleTask(recipe())
    made.prepare(root, tmp_path_factory.mktemp("cache"))
    return made


def batch_of(task, count=4):
    samples = [task.sample(index) for index in range(count)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


def test_groups_by_luma():
    groups = exposure_groups([5, 20, 33, 55, 118, 150, 200])
    assert {name: list(members) for name, members in groups.items()} == {
        "dark": [1, 2],
        "normal": [4],
        "under": [0, 1, 2, 3],
        "over": [6],
    }


def test_samples_are_functions_of_their_number(task):
    first, again, other = task.sample(7), task.sample(7), task.sample(8)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_samples_have_the_tones_they_should(task):
    batch = batch_of(task, 12)
    assert batch["dark"].shape == (12, 3, 24, 24) and batch["normal"].shape == (12, 2, 3, 24, 24)
    assert float(batch["dark"].mean((1, 2, 3)).max()) < 0.4
    assert 0.4 < float(batch["normal"].mean()) < 0.5
    assert float(batch["under"].max()) < 0.3 and float(batch["over"].min()) > 0.7


def test_only_darkened_scenes_have_labels(task):
    batch = batch_of(task, 24)
    labelled = (batch["labels"] != IGNORED).flatten(1).any(1)
    assert 4 < int(labelled.sum()) < 20
    assert set(batch["labels"].unique().tolist()) <= {4, IGNORED}, "class 5 of the tar is the fifth"


def test_held_out_scenes_never_enter_the_pool(task, root):
    names = {fact["name"] for fact in task._pools["dark"].facts}
    assert names == {f"multi_exposure/{s:03d}/{e:02d}.png" for s in range(3) for e in range(4)}
    pairs = pseudo_pairs(root)
    assert [pair.name for pair in pairs] == [f"{s:03d}" for s in range(3, SCENES)]
    dark, reference = pairs[0].make()
    assert float(dark.mean()) == pytest.approx(20 / 255, abs=0.02)
    assert float(reference.mean()) == pytest.approx(118 / 255, abs=0.02)


def test_losses_reach_every_parameter_and_lighten(task):
    batch = batch_of(task)
    optimizer = torch.optim.Adam(task.parameters(), lr=3e-3)
    with torch.no_grad():
        before = float(task.model(batch["dark"]).mean())
    losses = task(batch)
    losses["loss"].backward()
    assert set(losses) == {"loss", "smoothness", "agreement", "colour", "semantic", "brightness", "exposure"}
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in task.parameters())
    for _ in range(30):
        optimizer.zero_grad()
        task(batch)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        assert float(task.model(batch["dark"]).mean()) > before + 0.05


def test_the_scripts_hinge_pulls_every_pixel_to_one_level(root, tmp_path):
    """The light half of a picture darkens and the dark half lightens, where tones by rank would leave both."""
    task = SclLleTask(recipe(loss={"position": 1, "brightness_margin": 1}))
    task.prepare(root, tmp_path)
    batch = batch_of(task)
    assert set(task(batch)) == {"loss", "smoothness", "agreement", "colour", "brightness", "position", "exposure"}
    halves = torch.full((4, 3, 24, 24), 0.2)
    halves[..., 12:] = 0.7
    halves.requires_grad_()
    normal = torch.full((4, 3, 24, 24), 0.45)
    for negative in (torch.zeros_like(normal), torch.ones_like(normal)):
        brightness_contrast(halves, normal, negative, margin=1, alignment="position").backward()
    assert float(halves.grad[..., 12:].min()) > 0 > float(halves.grad[..., :12].max())


def test_a_segmenter_labels_what_has_no_labels(root, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 6, 3, padding=1).eval().requires_grad_(False)
    monkeypatch.setattr("training.scl_lle.create_segmenter", lambda name, root: network)
    data = {"crop": 24, "references": 1, "labelled": 0.5, "segmenter": "torchvision:deeplabv3_resnet50"}
    task = SclLleTask(recipe(data=data, loss={"brightness": 1, "semantic": 1, "segmentation": 1}))
    task.prepare(root, tmp_path)
    batch = batch_of(task, 8)
    labels = task._labels(batch["dark"], batch["labels"])
    bare = (batch["labels"] == IGNORED).flatten(1).all(1)
    assert torch.equal(labels[bare], predict_labels(network, batch["dark"][bare]))
    assert torch.equal(labels[~bare], batch["labels"][~bare])
    task(batch)["segmentation"].backward()
    assert float(task.model.e_conv7.weight.grad.abs().max()) > 0
    assert not list(task.buffers()) and len(list(task.parameters())) == 14, "the segmenter is not trained"


def test_unknown_segmenters_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="deeplabv3_resnet50"):
        create_segmenter("torchvision:deeplab_resnet50", tmp_path)


def test_a_local_segmenter_is_loaded_and_frozen(tmp_path):
    from torchvision.models import get_model

    torch.manual_seed(0)
    lraspp = get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=21)
    torch.save(lraspp.state_dict(), tmp_path / "lraspp_mobilenet_v3_large-0000.pth")
    segmenter = create_segmenter("torchvision:lraspp_mobilenet_v3_large", tmp_path)
    assert not segmenter.training and not any(p.requires_grad for p in segmenter.parameters())
    assert predict_labels(segmenter, torch.rand(1, 3, 32, 40)).shape == (1, 32, 40)


def test_other_data_is_packed_anew(root, tmp_path):
    shutil.copy(root / "multi_exposure.tar", tmp_path)
    for level in (100, 180):
        write_labelled(tmp_path, level)
        task = SclLleTask(recipe())
        task.prepare(tmp_path, tmp_path / "cache")
        assert int(task._pools["labelled"][0][0, 0, 0]) == level
    with tarfile.open(tmp_path / "multi_exposure.tar", "w") as archive:
        for scene in range(SCENES):
            add(archive, f"multi_exposure/{scene:03d}/00.png", np.full((48, 48, 3), 77, np.uint8))
    task.prepare(tmp_path, tmp_path / "cache")
    assert int(task._pools["dark"][0][0, 0, 0]) == 77


def test_labels_of_other_scenes_are_refused(root, tmp_path):
    shutil.copy(root / "multi_exposure.tar", tmp_path)
    write_labelled(tmp_path, first_label=1)
    with pytest.raises(SetError, match=r"0000\.png of nyu_images\.tar meets .*0001\.png.* same names"):
        SclLleTask(recipe()).prepare(tmp_path, tmp_path / "cache")


def test_unknown_loss_is_named():
    with pytest.raises(UnknownNameError, match="brightness"):
        SclLleTask(recipe(loss={"brightnes": 1}))


def test_the_loop_runs_and_keeps_weights(root, tmp_path):
    figures = fit(recipe(), Options(data=root, output=tmp_path / "run", cache=tmp_path, device="cpu"))
    assert figures["psnr"] > 0 and (tmp_path / "run" / "weights.safetensors").is_file()


def test_low_light_scales_linear_light_and_rounds():
    clear = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    dark = low_light(clear, 0.1)
    assert float(((dark * 255).round() / 255 - dark).abs().max()) == 0.0
    assert float((dark - clear * 0.1 ** (1 / 2.2)).abs().max()) <= 0.5 / 255 + 1e-6
    assert torch.equal(low_light(clear, 1.0), (clear * 255).round() / 255)


def test_low_light_noise_has_the_variance_of_photons():
    clear = torch.full((1, 3, 256, 256), 0.8)
    linear = 0.8**2.2 * 0.5
    noisy = low_light(clear, 0.5, shot=1 / 400, generator=torch.Generator().manual_seed(1)) ** 2.2
    assert float(noisy.mean()) == pytest.approx(linear, rel=0.01)
    assert float(noisy.var()) == pytest.approx(linear / 400, rel=0.05)
    with pytest.raises(ValueError, match="generator"):
        low_light(clear, 0.5, shot=0.01)
