"""Samples and validation pairs: pure functions of a number, aligned, by the recipe, split without leaks."""

import numpy as np
import pytest
import torch

from errors import SetError, UnknownNameError, UsageError
from images import write_picture
from tests.training import toy_data
from training.degradations import haze
from training.dehaze import DehazeTask
from training.hazy_pairs import Folders, HazeRange, Scenes, open_source
from training.recipe import Recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_data.write_nyu(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(data, cache):
    task = DehazeTask(Recipe(**toy_data.recipe(loss={"l1": 1.0})))
    task.prepare(data, cache)
    return task


def rebuilt(task, data, cache, **changes):
    other = DehazeTask(Recipe(**toy_data.recipe(loss={"l1": 1.0}, **changes)))
    other.prepare(data, cache)
    return other


def test_a_sample_is_a_function_of_seed_and_number(task, data, cache):
    first, again = task.sample(7), rebuilt(task, data, cache).sample(7)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["hazy"], task.sample(8)["hazy"])
    assert not torch.equal(first["hazy"], rebuilt(task, data, cache, seed=6).sample(7)["hazy"])


def test_hazy_is_clear_under_one_airlight_and_falling_transmission(task):
    """With white airlight A, (I - A) / (J - A) is the transmission, the same in all three channels."""
    for index in range(3):
        sample = task.sample(index)
        hazy, clear = sample["hazy"], sample["clear"]
        assert hazy.shape == clear.shape == (3, 32, 32)
        found = False
        for airlight in np.linspace(0.7, 1.0, 601):
            t = (hazy - airlight) / (clear - airlight)
            known = (clear - airlight).abs().amin(0) > 0.1
            spread = (t.amax(0) - t.amin(0))[known]
            if len(spread) and spread.max() < 2e-2:
                found = True
                assert t[:, known].min() > np.exp(-1.8) - 0.02 and t[:, known].max() <= 1.02
                break
        assert found, "no airlight explains the picture"


def test_crops_stay_aligned(data, cache):
    """Without haze the two crops are the same picture, however they were turned."""
    none = HazeRange(beta=(0.0, 0.0))
    source = Scenes("nyu", data, cache, none, {})
    for seed in range(5):
        hazy, clear = source.draw(24, np.random.default_rng(seed))
        torch.testing.assert_close(hazy, clear, atol=1e-6, rtol=0)


def test_validation_is_the_sots_recipe_on_held_out_scenes(task):
    pairs = task.validation(full=True)
    assert len(pairs) == 2 * len(haze.SOTS_BETAS)
    picture, depth = toy_data.scene(1349)
    hazy, clear = pairs[3].make()
    assert hazy.shape == clear.shape == (1, 3, 52, 52)
    wanted_clear = torch.from_numpy(picture[10:-10, 10:-10].copy()).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(clear, wanted_clear)
    d = torch.from_numpy(depth / depth.max())[None, None].float()
    t = torch.exp(-haze.SOTS_BETAS[3] * torch.nn.functional.interpolate(d, (72, 72), mode="bilinear"))
    torch.testing.assert_close(hazy, wanted_clear * t[..., 10:-10, 10:-10] + 1 - t[..., 10:-10, 10:-10])


def test_the_quick_selection_spreads_over_haze_levels(data, cache):
    pairs = Scenes("nyu", data, cache, HazeRange(), {"pairs": 10}).pairs(full=False)
    assert sorted({float(pair.name.rsplit("-", 1)[1]) for pair in pairs}) == sorted(haze.SOTS_BETAS)


def test_uneven_validation_repeats_itself(data, cache):
    options = {"haze": {"beta": [0.8, 1.4], "patchy": 1.0, "noise": 2.0, "jpeg": 1.0, "tint": 0.04}, "draws": 2}
    first, second = (Scenes("nyu", data, cache, HazeRange(), options).pairs(full=True) for _ in range(2))
    assert len(first) == 4
    assert torch.equal(first[1].make()[0], second[1].make()[0])
    assert not torch.equal(first[0].make()[0], first[1].make()[0])


def test_patchy_haze_is_uneven_where_depth_is_not():
    generator = torch.Generator().manual_seed(0)
    clear, depth = torch.zeros(1, 3, 64, 64), torch.full((1, 1, 64, 64), 0.5)
    even = HazeRange().apply(clear, depth, generator)
    patchy = HazeRange(patchy=1.0).apply(clear, depth, generator)
    assert even.std() < 1e-6 < 0.02 < patchy.std()


def write_pairs(root, count=3, border=4):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for index in range(count):
            clear = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)
            inside = clear[border : 60 - border, border : 70 - border]
            write_picture(root / part / "clear" / f"{index:04d}.png", clear)
            write_picture(root / part / "hazy" / f"{index:04d}_1_0.8.png", inside)
    return {
        "hazy": "train/hazy", "clear": "train/clear", "validation_hazy": "test/hazy", "validation_clear": "test/clear"
    }  # fmt: skip


def test_folders_in_resides_layout_pair_and_crop_to_the_centre(tmp_path):
    source = Folders(tmp_path, write_pairs(tmp_path))
    pairs = source.pairs(full=True)
    assert len(pairs) == 3
    for pair in pairs:
        hazy, clear = pair.make()
        assert torch.equal(hazy, clear) and hazy.shape == (1, 3, 52, 62)
    for seed in range(4):
        hazy, clear = source.draw(40, np.random.default_rng(seed))
        assert torch.equal(hazy, clear) and hazy.shape == (3, 40, 40)


def test_what_cannot_be_trained_on_is_said(tmp_path, data, cache):
    with pytest.raises(UsageError, match="'clear'"):
        Folders(tmp_path, {"hazy": "x"})
    with pytest.raises(UnknownNameError, match="did you mean nyu"):
        open_source("nyuu", data, cache, {}, {})
    with pytest.raises(UnknownNameError, match="did you mean patchy"):
        HazeRange.of({"pachy": 1})
    with pytest.raises(SetError, match="is missing"):
        open_source("nyu", tmp_path, cache, {}, {})
    with pytest.raises(SetError, match="smaller than the crop"):
        Scenes("nyu", data, cache, HazeRange(), {}).draw(80, np.random.default_rng(0))
