"""Samples and validation pairs: pure functions of a number, aligned, by the recipe, split without leaks."""

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from errors import SetError, UnknownNameError, UsageError
from images import encode_picture, write_picture
from tests.standin_hub import StandInHub
from tests.training import toy_data
from training.data import reduce_picture
from training.degradations import haze
from training.dehaze import DehazeTask
from training.hazy_pairs import Folders, HazeRange, Mixture, PairSource, Scenes, Sets, _drawn_depth, open_source
from training.recipe import Recipe
from training.validate import quick_selection
from training.views import View


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
        hazy, clear = source.draw(View(24), np.random.default_rng(seed))
        torch.testing.assert_close(hazy, clear, atol=1e-6, rtol=0)


@pytest.mark.parametrize("turns", [True, False])
def test_wide_crops_stay_wide_and_aligned(data, cache, turns):
    source = Scenes("nyu", data, cache, HazeRange(beta=(0.0, 0.0)), {}, turns=turns)
    for seed in range(6):
        hazy, clear = source.draw(View(24, (2.0, 3.0), aspect=1.5), np.random.default_rng(seed))
        assert clear.shape == (3, 24, 36)
        torch.testing.assert_close(hazy, clear, atol=1e-6, rtol=0)


def test_of_several_depth_fields_a_sample_has_one_or_a_mean_of_two():
    fields = np.stack([np.full((8, 12), 0), np.full((8, 12), 255)], -1).astype(np.uint8)
    fields[0, 0] = 255
    drawn = [_drawn_depth([fields], 0, (8, 12), np.random.default_rng(seed))[0, 0, 4, 4] for seed in range(60)]
    assert min(drawn) == 0 and max(drawn) == 1
    assert 5 < sum(0.05 < float(value) < 0.95 for value in drawn) < 30
    one = np.full((8, 12), 100, np.uint8)
    assert float(_drawn_depth([one], 0, (8, 12), np.random.default_rng(0)).min()) == 1


def test_views_set_crop_and_zoom_by_step(data, cache):
    """Two pictures a step: steps 0 and 1 show scenes reduced to the crop's size, later ones follow the source."""
    recipe = toy_data.recipe(loss={"l1": 1.0}, batch=2)
    recipe["data"] = {**recipe["data"], "views": [{"until": 2, "crop": 24, "zoom": [3.0, 3.0]}]}
    recipe["data"]["sources"]["nyu"] = {"haze": {"beta": [0.0, 0.0]}, "turns": False}
    task = DehazeTask(Recipe(**recipe))
    task.prepare(data, cache)
    assert [task.sample(index)["clear"].shape[-1] for index in range(6)] == [24, 24, 24, 24, 32, 32]
    whole = [reduce_picture(toy_data.scene(number)[0], 24) for number in range(4)]
    whole = [torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255 for picture in whole]
    for index in range(4):
        clear = task.sample(index)["clear"]
        assert any(torch.equal(clear, turned) for scene in whole for turned in (scene, scene.flip(-1)))


def test_a_mixture_draws_by_shares_and_validates_by_its_judge():
    class Constant(PairSource):
        def __init__(self, value):
            self.value = value

        def draw(self, view, rng):
            return (torch.full((3, view.crop, view.crop), self.value),) * 2

        def pairs(self, *, full):
            return [self.value]

    mixture = Mixture([(Constant(0.0), 1.0), (Constant(1.0), 3.0)], Constant(7.0))
    drawn = [float(mixture.draw(View(2), np.random.default_rng(seed))[0].mean()) for seed in range(400)]
    assert 0.67 < np.mean(drawn) < 0.83
    assert mixture.pairs(full=True) == [7.0]


def test_a_recipe_may_start_from_a_registered_method(data, cache, monkeypatch):
    wanted = DehazeTask(Recipe(**toy_data.recipe(loss={"l1": 1.0}))).model
    with torch.no_grad():
        wanted.up3.bias.fill_(0.25)
    asked = []
    monkeypatch.setattr("restorers.registry.create", lambda name: asked.append(name) or wanted)
    recipe = toy_data.recipe(loss={"l1": 1.0})
    recipe["data"] = {**recipe["data"], "start": "aecr_net"}
    task = DehazeTask(Recipe(**recipe))
    task.prepare(data, cache)
    assert asked == []
    task.start()
    assert asked == ["aecr_net"]
    assert torch.equal(task.model.up3.bias, torch.full((3,), 0.25))


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


@pytest.mark.parametrize("draws", [1, 2, 3, 4, 6])
def test_the_quick_selection_spreads_over_draws(data, cache, draws):
    pairs = Scenes("nyu", data, cache, HazeRange(), {"pairs": 12, "draws": draws, "haze": {}}).pairs(full=False)
    assert {int(pair.name.rsplit("-", 1)[1]) for pair in pairs} == set(range(draws))


def test_some_of_the_pairs_meet_every_haze_level(task):
    """Ten levels follow each other: every tenth pair would always be the same level."""
    pairs = list(task.validation(full=True)) * 25
    chosen = quick_selection(pairs, 50)
    assert chosen == quick_selection(pairs, 50) and len(chosen) == 50
    assert len({pair.name.rsplit("-", 1)[1] for pair in chosen}) == len(haze.SOTS_BETAS)
    assert quick_selection(pairs, 1000) == pairs


def test_uneven_validation_repeats_itself(data, cache):
    options = {"haze": {"beta": [0.8, 1.4], "patchy": 1.0, "noise": 2.0, "jpeg": 1.0, "tint": 0.04}, "draws": 2}
    first, second = (Scenes("nyu", data, cache, HazeRange(), options).pairs(full=True) for _ in range(2))
    assert len(first) == 4
    assert torch.equal(first[1].make()[0], second[1].make()[0])
    assert not torch.equal(first[0].make()[0], first[1].make()[0])


def test_patchy_haze_is_uneven_where_depth_is_not():
    generator = torch.Generator().manual_seed(0)
    clear, depth = torch.zeros(1, 3, 64, 64), torch.full((1, 1, 64, 64), 0.5)
    even, _ = HazeRange().apply(clear, depth, generator)
    patchy, _ = HazeRange(patchy=1.0).apply(clear, depth, generator)
    assert even.std() < 1e-6 < 0.02 < patchy.std()


def test_varied_tone_is_in_the_wanted_picture_too():
    """Without haze both pictures are the toned one; with haze, the airlight's weight is that of the untoned run."""
    clear, depth = torch.rand(1, 3, 24, 24), torch.full((1, 1, 24, 24), 0.5)
    hazy, wanted = HazeRange(beta=(0.0, 0.0), tone=1.0).apply(clear, depth, torch.Generator().manual_seed(1))
    torch.testing.assert_close(hazy, wanted, atol=1e-6, rtol=0)
    assert (wanted - clear).abs().mean() > 0.01
    half = HazeRange(beta=(1.0, 1.0), airlight=(1.0, 1.0), tone=1.0)
    hazy, wanted = half.apply(clear, depth, torch.Generator().manual_seed(2))
    t = np.exp(-0.5)
    torch.testing.assert_close(hazy, wanted * t + 1 - t, atol=1e-5, rtol=0)


def test_exchanged_colours_are_the_pictures_own_and_stronger():
    """A picture of grey and one blue corner keeps its greys; the corner is of one strong colour, not always blue."""
    clear = torch.full((1, 3, 16, 16), 0.5)
    clear[:, 2, :8, :8] = 0.7
    strongest, strength = set(), []
    for seed in range(24):
        _, wanted = HazeRange(beta=(0.0, 0.0), colours=1.0).apply(
            clear, torch.zeros(1, 1, 16, 16), torch.Generator().manual_seed(seed)
        )
        torch.testing.assert_close(wanted[..., 8:, :], clear[..., 8:, :], atol=1e-6, rtol=0)
        corner = wanted[0, :, 0, 0]
        strongest.add(int(corner.argmax()))
        strength.append(float(corner.max() - corner.min()))
    assert strongest == {0, 1, 2}
    assert min(strength) > 0.17
    assert max(strength) > 0.4


def test_exposures_in_daylight_become_photographs_with_depth(tmp_path):
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "multi_exposure.tar", "w") as archive:
        for scene in range(17):
            for number, level in enumerate((30, 110, 140, 220)):
                picture = np.clip(level + rng.integers(-20, 20, (48, 64, 3)), 0, 255).astype(np.uint8)
                toy_data.add(archive, f"multi_exposure/{scene:03d}/{number:02d}.png", picture)
    source = open_source("exposures", tmp_path, tmp_path / "cache", {"haze": {"beta": [0.5, 1.0]}}, {})
    names = [fact["name"] for fact in source.training[0].facts]
    assert names == [f"multi_exposure/{scene:03d}/{number:02d}.png" for scene in range(2) for number in (1, 2)]
    hazy, clear = source.draw(View(32), np.random.default_rng(0))
    assert hazy.shape == clear.shape == (3, 32, 32) and hazy.mean() > clear.mean()


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
    source = Folders(tmp_path, write_pairs(tmp_path), {})
    pairs = source.pairs(full=True)
    assert len(pairs) == 3
    for pair in pairs:
        hazy, clear = pair.make()
        assert torch.equal(hazy, clear) and hazy.shape == (1, 3, 52, 62)
    for seed in range(4):
        hazy, clear = source.draw(View(40), np.random.default_rng(seed))
        assert torch.equal(hazy, clear) and hazy.shape == (3, 40, 40)


def test_ones_own_pairs_have_a_quick_selection(tmp_path):
    folders = write_pairs(tmp_path, count=24)
    for name, options in (("folders", folders), ("sets", {"training": "train", "validation": "test"})):
        source = open_source(name, tmp_path, tmp_path, options, {"pairs": 5})
        every, some = ([pair.name for pair in source.pairs(full=full)] for full in (True, False))
        assert len(every) == 24 and len(some) == 5 and some == sorted(set(some) & set(every))
        assert len(open_source(name, tmp_path, tmp_path, options, {}).pairs(full=False)) == 20


def test_pairs_from_files_are_reduced_alike_before_they_are_cropped(tmp_path):
    source = Folders(tmp_path, write_pairs(tmp_path, count=1), {})
    clear = source.pairs(full=True)[0].make()[1]
    source.training = source.held_out
    whole = F.interpolate(clear, (26, 31), mode="area")[0]
    places = [turned for left in range(6) for turned in _turns(whole[..., left : left + 26])]
    for seed in range(8):
        hazy, clear = source.draw(View(26, (2.0, 2.0)), np.random.default_rng(seed))
        assert torch.equal(hazy, clear) and any(torch.equal(clear, place) for place in places)


def _turns(picture):
    return [side.rot90(k, (-2, -1)) for side in (picture, picture.flip(-1)) for k in range(4)]


@pytest.mark.parametrize("clear", ["clear", "gt"])
def test_resides_own_folders(tmp_path, clear):
    """ITS comes as hazy, clear and trans, SOTS as hazy and gt; several hazy pictures share a clear one."""
    rng = np.random.default_rng(1)
    for part, scenes in (("ITS", (1, 2)), ("SOTS/indoor", (1400,))):
        for scene in scenes:
            picture = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            write_picture(tmp_path / part / clear / f"{scene}.png", picture)
            for level in (1, 2, 3):
                write_picture(tmp_path / part / "hazy" / f"{scene}_{level}_0.9{level}.png", picture // 2 + 100)
                write_picture(tmp_path / part / "trans" / f"{scene}_{level}.png", picture)
    source = open_source("sets", tmp_path, tmp_path, {"training": "ITS", "validation": "SOTS/indoor"}, {})
    assert len(source.training) == 6 and len(source.pairs(full=True)) == 3
    for seed in range(4):
        hazy, clear_crop = source.draw(View(32), np.random.default_rng(seed))
        assert ((hazy - clear_crop / 2 - 100 / 255).abs() <= 0.5 / 255 + 1e-6).all()


def test_the_last_pairs_are_held_out(tmp_path):
    write_pairs(tmp_path, count=5)
    source = Sets(tmp_path, {"training": "train", "held_out": 2}, {})
    assert [pair.key for pair in source.training] == [f"{i:04d}_1_0.8" for i in range(3)]
    assert [pair.name for pair in source.pairs(full=True)] == [f"{i:04d}_1_0.8" for i in (3, 4)]
    for options in ({"held_out": 5}, {"held_out": 0}, {}, {"validation": "test", "held_out": 1}):
        with pytest.raises(UsageError, match="held_out"):
            Sets(tmp_path, {"training": "train", **options}, {})


ON_THE_HUB = """
import sys
from pathlib import Path
import numpy as np
from errors import UnveilError
from tests.training import toy_data
from training.dehaze import DehazeTask
from training.recipe import Recipe
for training, validation in zip(sys.argv[1::2], sys.argv[2::2]):
    data = {"crop": 32, "sources": {"sets": {"training": training, "validation": validation}}}
    task = DehazeTask(Recipe(**toy_data.recipe(loss={"l1": 1.0}, data=data, validation={}, manifest={})))
    try:
        task.prepare(Path("nowhere"), Path("nowhere"))
    except UnveilError as error:
        print(error)
    else:
        sample = task.sample(3)
        same = bool(((sample["hazy"] + sample["clear"] - 1).abs() < 1e-6).all())
        print(len(task.source.judge.training), tuple(sample["hazy"].shape), same, len(task.validation(full=True)))
"""


def test_data_sets_of_the_hub(tmp_path):
    """Folders and Parquet files with image columns, pinned and unpinned; the real client, a Hub on loopback."""
    rng = np.random.default_rng(2)
    clear = [rng.integers(0, 256, (40, 44, 3), dtype=np.uint8) for _ in range(3)]
    png = [(encode_picture(255 - picture), encode_picture(picture)) for picture in clear]
    files = {}
    for part, chosen in (("train", png[:2]), ("test", png[2:])):
        for index, (hazy_bytes, clear_bytes) in enumerate(chosen):
            files[f"{part}/hazy/{index}.png"], files[f"{part}/gt/{index}.png"] = hazy_bytes, clear_bytes
    cells = [
        {name: {"bytes": side, "path": None} for name, side in zip(("hazy", "clear"), p, strict=True)} for p in png
    ]
    pq.write_table(pa.Table.from_pylist(cells), tmp_path / "pairs.parquet")
    with StandInHub() as hub:
        commit = hub.add("dataset", "lab/haze", files)
        hub.add("dataset", "lab/table", {"data/pairs.parquet": (tmp_path / "pairs.parquet").read_bytes()})
        hub.add("dataset", "lab/alone", {"0.png": png[0][0]})
        addresses = [
            f"hf://datasets/lab/haze@{commit}/train", f"hf://datasets/lab/haze@{commit}/test",
            "hf://datasets/lab/table", "hf://datasets/lab/haze/test",
            "hf://datasets/lab/alone", "hf://datasets/lab/haze/test",
            "hf://datasets/lab/none", "hf://datasets/lab/haze/test",
        ]  # fmt: skip
        command = [sys.executable, "-c", ON_THE_HUB, *addresses]
        root = Path(__file__).parents[2]
        done = subprocess.run(
            command, env=hub.environment(tmp_path / "home"), cwd=root, capture_output=True, text=True, timeout=240
        )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["2 (3, 32, 32) True 1", "3 (3, 32, 32) True 1"]
    assert "does not say which clear picture" in lines[2] and "There is no data set" in lines[3]


def test_what_cannot_be_trained_on_is_said(tmp_path, data, cache):
    with pytest.raises(UsageError, match="'clear'"):
        Folders(tmp_path, {"hazy": "x"}, {})
    with pytest.raises(UnknownNameError, match="did you mean nyu"):
        open_source("nyuu", data, cache, {}, {})
    with pytest.raises(UnknownNameError, match="did you mean patchy"):
        HazeRange.of({"pachy": 1})
    with pytest.raises(UnknownNameError, match="zoom"):
        open_source("nyu", data, cache, {"zoom": [1.0, 2.0]}, {})
    with pytest.raises(SetError, match="is missing"):
        open_source("nyu", tmp_path, cache, {}, {})
    with pytest.raises(SetError, match="smaller than the crop"):
        Scenes("nyu", data, cache, HazeRange(), {}).draw(View(80), np.random.default_rng(0))


def test_pairs_from_files_stay_upright_if_asked(tmp_path):
    options = write_pairs(tmp_path, count=1)
    source = open_source("folders", tmp_path, tmp_path, options | {"turns": False}, {})
    clear = source.pairs(full=True)[0].make()[1][0]
    source.training = source.held_out
    for seed in range(8):
        drawn = source.draw(View(52), np.random.default_rng(seed))[1]
        windows = [clear[..., left : left + 52] for left in range(11)]
        assert any(torch.equal(drawn, w) or torch.equal(drawn, w.flip(-1)) for w in windows)
    with pytest.raises(UnknownNameError, match="turnz"):
        open_source("folders", tmp_path, tmp_path, options | {"turnz": False}, {})


@pytest.mark.parametrize("table", ["data", "loss", "validation"])
def test_a_misspelt_entry_of_a_recipe_is_named(table):
    values = toy_data.recipe()
    with pytest.raises(UnknownNameError, match="vews"):
        DehazeTask(Recipe(**values | {table: {**values[table], "vews": []}}))


def test_a_network_that_cannot_be_built_is_said():
    with pytest.raises(UsageError, match="widht"):
        DehazeTask(Recipe(**toy_data.recipe(network={"architecture": "aecr_net", "widht": 3})))
