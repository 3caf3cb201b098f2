"""The denoiser's task: what it draws, what its loss is, and that the denoiser alone learns."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from errors import UsageError
from images import to_pixels
from restorers import registry
from tests.training.toy_data import write_nyu, write_photographs
from training.dark_noise import DarkNoiseTask
from training.fit import Options, fit
from training.recipe import Recipe

DATA = {
    "crop": 32, "start": "scl_lle", "gain": [0.05, 0.1], "electrons": [300, 900], "read": [1e-4, 1e-3], "spread": 1.0,
    "jpeg": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Well exposed photographs of large flats."""
    folder = write_nyu(tmp_path_factory.mktemp("noise"))
    rng = np.random.default_rng(0)
    blocks = rng.integers(60, 180, (84, 6, 6, 3), dtype=np.uint8)
    write_photographs(folder, blocks.repeat(8, axis=1).repeat(8, axis=2))
    return folder


def recipe(**changes):
    values = {
        "name": "toy", "task": "dark_noise", "seed": 3, "steps": 2, "precision": "fp32", "batch": 4, "sheet": 0,
        "learning_rate": 2e-3, "ema": 0.9, "muon": 0, "validate_every": 2, "validation": {"pairs": 3}, "data": DATA,
        "network": {"architecture": "scl_lle", "side": 16, "denoise": 8, "exposure": 0.45},
    }  # fmt: skip
    return Recipe(**(values | changes))


@pytest.fixture(scope="module")
def task(root, tmp_path_factory):
    torch.manual_seed(0)
    made = DarkNoiseTask(recipe())
    made.prepare(root, tmp_path_factory.mktemp("cache"))
    return made


def test_samples_are_dark_twice_and_repeat(task):
    noisy, clean = (torch.stack([task.sample(i)[key] for i in range(24)]) for key in ("noisy", "clean"))
    assert noisy.shape == clean.shape == (24, 3, 32, 32)
    for dark in (noisy, clean):
        assert torch.equal(torch.from_numpy(to_pixels(dark[:1])).permute(2, 0, 1) / 255, dark[0])
        assert 0.05 < float(dark.mean()) < 0.3
    flat_noisy, flat_clean = (float((x[..., 1:] == x[..., :-1]).float().mean()) for x in (noisy, clean))
    assert float((noisy - clean).std()) > 0.01 and flat_clean > 0.8 and flat_noisy < 0.4
    assert abs(float((noisy - clean).mean())) < 0.01
    assert torch.equal(task.sample(5)["noisy"], noisy[5])


def test_validation_meets_the_same_noise_every_time(task):
    pairs = task.validation()
    assert len(pairs) == 3 < len(task.validation(full=True))
    dark, clear = pairs[0].make()
    assert torch.equal(dark, pairs[0].make()[0]) and clear.mean() > dark.mean() + 0.1


def test_the_loss_is_the_distance_to_what_the_curves_make_of_the_clean_picture(task):
    batch = {key: value[None] for key, value in task.sample(0).items()}
    assert float(task.forward(batch)["loss"]) > 0.01
    batch["noisy"] = batch["clean"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task.model.denoiser, "forward", lambda x: x)
        assert float(task.forward(batch)["loss"]) == 0


def test_the_denoiser_learns_and_the_curves_stay(root, tmp_path):
    run = tmp_path / "run"
    fit(recipe(), Options(data=root, output=run, cache=tmp_path / "cache", device="cpu"))
    untrained, trained = DarkNoiseTask(recipe()).model.state_dict(), load_file(run / "weights.safetensors")
    for name, value in registry.create("scl_lle").state_dict().items():
        assert torch.equal(trained[name].float(), value)
    learned = [name for name in trained if name.startswith("denoiser.")]
    assert all(not torch.equal(trained[name].float(), untrained[name].half().float()) for name in learned)
    assert len(trained) == 14 + len(learned) == 14 + 20


def test_a_network_without_a_denoiser_is_refused():
    with pytest.raises(UsageError, match=r"network\.denoise"):
        DarkNoiseTask(recipe(network={"architecture": "scl_lle"}))
