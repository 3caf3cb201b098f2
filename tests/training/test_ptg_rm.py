"""Training a base with the refinement module, and the base alone: pairs, both losses, the start."""

import tarfile

import numpy as np
import pytest
import torch

from errors import UnknownNameError
from tests.training.toy_data import add
from training.fit import Options, fit
from training.ptg_rm import PtgRmTask
from training.recipe import Recipe

LEVELS = (25, 118, 210)
MODULE = {
    "architecture": "ptg_rm",
    "base": "scl_lle",
    "base_config": {"width": 4},
    "guide": "none",
    "width": 8,
    "dimension": 4,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Eighteen scenes, each a flat grey with its own grain: fifteen for validation, three to train on."""
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    with tarfile.open(folder / "multi_exposure.tar", "w") as archive:
        for scene in range(18):
            grain = rng.integers(0, 10, (48, 48, 3))
            for exposure, level in enumerate(LEVELS):
                add(archive, f"multi_exposure/{scene:03d}/{exposure:02d}.png", (level + grain).astype(np.uint8))
    return folder


def recipe(**changes):
    values = {
        "name": "toy",
        "task": "ptg_rm",
        "seed": 2,
        "steps": 2,
        "precision": "fp32",
        "batch": 2,
        "learning_rate": 1e-3,
        "validate_every": 2,
        "sheet": 0,
        "network": MODULE,
        "data": {"crop": [16, 24]},
        "loss": {"kind": "l1"},
        "validation": {"pairs": 2},
    }
    return Recipe(**(values | changes))


def made(root, tmp_path, **changes):
    torch.manual_seed(0)
    task = PtgRmTask(recipe(**changes))
    task.prepare(root, tmp_path)
    task.start()
    return task


def test_pairs_are_of_one_scene_and_aligned(root, tmp_path):
    task = made(root, tmp_path)
    assert len(task.source.members) == 3
    for index in range(8):
        sample = task.sample(index)
        offset = sample["reference"] - sample["degraded"]
        assert float((offset - (118 - 25) / 255).abs().max()) < 1.1 / 255
        assert torch.equal(sample["degraded"], task.sample(index)["degraded"])


def test_crop_sizes_alternate_by_step(root, tmp_path):
    task = made(root, tmp_path)
    assert [task.sample(i)["degraded"].shape[-1] for i in range(6)] == [16, 16, 24, 24, 16, 16]


@pytest.mark.parametrize("kind", ["l1", "charbonnier"])
def test_the_loss_counts_both_outputs(root, tmp_path, kind):
    task = made(root, tmp_path, loss={"kind": kind, "refined": 0.5})
    batch = {key: value[None] for key, value in task.sample(0).items()}
    losses = task(batch)
    # A fresh module returns the base's result.
    assert float(losses["first"].detach()) == pytest.approx(float(losses["refined"].detach()), rel=1e-5)
    assert float(losses["loss"].detach()) == pytest.approx(1.5 * float(losses["first"].detach()), rel=1e-5)
    losses["loss"].backward()
    assert float(task.model.base.e_conv7.weight.grad.abs().max()) > 0


def test_the_control_trains_the_base_alone(root, tmp_path):
    task = made(root, tmp_path, network={"architecture": "scl_lle", "width": 4})
    losses = task({key: value[None] for key, value in task.sample(0).items()})
    assert set(losses) == {"loss", "first"}


def test_the_base_starts_from_registered_weights(root, tmp_path, monkeypatch):
    from restorers.networks.scl_lle import SclLle

    torch.manual_seed(9)
    ready = SclLle(width=4)
    monkeypatch.setattr("restorers.registry.create", lambda name: ready)
    data = {"crop": 16, "start": "scl_lle"}
    task = made(root, tmp_path, data=data)
    assert all(torch.equal(a, b) for a, b in zip(task.model.base.parameters(), ready.parameters(), strict=True))


def test_the_loop_runs_and_weights_hold_base_and_module(root, tmp_path):
    from safetensors import safe_open

    fit(recipe(), Options(data=root, output=tmp_path / "run", cache=tmp_path, device="cpu"))
    with safe_open(tmp_path / "run" / "weights.safetensors", "pt") as file:
        assert {key.split(".")[0] for key in file.keys()} == {"base", "refine"}  # noqa: SIM118


def test_unknown_options_are_named(root):
    with pytest.raises(UnknownNameError, match="refined"):
        PtgRmTask(recipe(loss={"refind": 1}))
    with pytest.raises(UnknownNameError, match="charbonnier"):
        PtgRmTask(recipe(loss={"kind": "charbonier"}))
