"""Start weights from wherever a model lies, folders of one's own, and the recipe of the page on training."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from errors import UsageError, WeightsError
from images import write_picture
from restorers import registry
from restorers.networks.aecr_net import AecrNet
from tests.training import toy_data
from training import data as pictures
from training.__main__ import main
from training.crl_sr import CrlSrTask
from training.dark_noise import DarkNoiseTask
from training.dehaze import DehazeTask
from training.ptg_rm import PtgRmTask
from training.recipe import Recipe
from training.restorer_task import write_weights
from training.scl_lle import SclLleTask

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
SMALL = {"architecture": "aecr_net", "width": 8, "attention_uses": 1, "deformable_uses": 1}
LOW_LIGHT = {"architecture": "scl_lle", "side": 16, "denoise": 8}
NOISE = {"crop": 32, "start": "scl_lle", "gain": [0.05, 0.1], "electrons": [300, 900], "read": [1e-4, 1e-3]}
SR = {"architecture": "crl_sr", "width": 8, "encoder_blocks": 1, "generator_blocks": 1}


def recipe(start, **changes):
    values = toy_data.recipe(loss={"l1": 1.0}, network=SMALL)
    values["data"] = {**values["data"], "start": start}
    return Recipe(**values | changes)


def grain(count, side=48, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side + 8, 3), dtype=np.uint8)


def write_folder(folder, pixels):
    for number, picture in enumerate(pixels):
        write_picture(folder / f"{number:02d}.png", picture)


def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("form", ["file", "folder", "local-dir"])
def test_a_network_starts_from_weights_of_ones_own(form, tmp_path):
    torch.manual_seed(7)
    model = AecrNet(width=8, attention_uses=1, deformable_uses=1)
    model.load_state_dict({key: value.half().float() for key, value in model.state_dict().items()})
    place = tmp_path / "weights.safetensors"
    if form == "file":
        write_weights(place, model, recipe(None), 1, {})
    else:
        place = tmp_path / "model"
        model.save_pretrained(place)
    task = DehazeTask(recipe(f"local-dir:{place}" if form == "local-dir" else str(place)))
    assert not equal(task.model, model)
    task.start()
    assert equal(task.model, model)


def test_a_model_that_does_not_fit_is_named_with_what_differs(tmp_path):
    model = AecrNet(width=12, attention_uses=1, deformable_uses=1)
    model.save_pretrained(tmp_path / "wide")
    task = DehazeTask(recipe(str(tmp_path / "wide")))
    before = {key: value.clone() for key, value in task.model.state_dict().items()}
    with pytest.raises(
        WeightsError, match=r"AecrNet cannot start from .*wide: .* of another shape \(first: down1"
    ) as e:
        task.start()
    assert "\n" not in str(e.value) and "network that model's arguments" in str(e.value)
    assert all(torch.equal(value, before[key]) for key, value in task.model.state_dict().items())
    with pytest.raises(WeightsError, match=r"missing .*unknown"):
        DehazeTask(recipe("scl_lle")).start()
    with pytest.raises(WeightsError, match="no file or folder"):
        DehazeTask(recipe("nothing.safetensors")).start()


@pytest.mark.parametrize(
    ("kind", "changes", "start"),
    [
        (SclLleTask, {"task": "scl_lle", "network": {"architecture": "scl_lle"}, "loss": {"colour": 1}}, "scl_lle"),
        (
            DarkNoiseTask,
            {"task": "dark_noise", "network": {**LOW_LIGHT, "denoise": 32}, "loss": {}, "data": NOISE},
            "scl_lle-denoise",
        ),
        (PtgRmTask, {"task": "ptg_rm", "network": {"architecture": "scl_lle"}, "loss": {}}, "scl_lle"),
        (
            CrlSrTask,
            {
                "task": "crl_sr",
                "network": {
                    "architecture": "crl_sr",
                    "encoder_blocks": 3,
                    "generator_blocks": 6,
                    "upsampler": "direct",
                },
                "data": {"patch": 12, "mix": {"bicubic": 1}},
            },
            "crl_sr",
        ),
    ],
)
def test_every_restorers_task_starts_from_an_embedded_method(kind, changes, start):
    values = {"data": {"crop": 32}, "validation": {}} | changes
    task = kind(recipe(None, **values | {"data": {**values["data"], "start": start}}))
    task.start()
    assert equal(task.model, registry.create(start))


def test_a_base_starts_alone_and_the_module_with_it(tmp_path):
    network = {"architecture": "ptg_rm", "base": "scl_lle", "guide": "none", "width": 8, "dimension": 4}
    values = {"task": "ptg_rm", "network": network, "loss": {}, "validation": {}}
    first = PtgRmTask(recipe(None, **values, data={"crop": 32, "start": "scl_lle"}))
    first.start()
    assert equal(first.model.base, registry.create("scl_lle"))
    write_weights(tmp_path / "own.safetensors", first.model.half().float(), first.recipe, 1, {})
    second = PtgRmTask(recipe(None, **values, data={"crop": 32, "start": str(tmp_path / "own.safetensors")}))
    second.start()
    assert equal(second.model, first.model)


def test_the_pages_recipe_trains_on_folders_of_pairs(tmp_path, capsys):
    text = PAGE.read_text(encoding="utf-8").split("## Fine-tune on your own pairs")[1].split("\n## ")[0]
    path = tmp_path / "my_haze.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    for part, count in (("train", 3), ("held_out", 2)):
        clear = grain(count, side=96)
        write_folder(tmp_path / "own" / part / "clear", clear)
        write_folder(tmp_path / "own" / part / "hazy", clear // 2 + 120)
    commands = re.findall(r"^python -m training (.*)$", text, re.MULTILINE)
    assert len(commands) == 2
    places = {"my_haze.yaml": str(path), "FOLDER": str(tmp_path / "own"), "runs/my_haze": str(tmp_path / "run")}
    for command, more in zip(commands, (["--steps", "1", "--set", "batch=2", "--set", "warmup=0"], []), strict=True):
        line = [places.get(word, word) for word in command.split()]
        assert main([*line, "--device", "cpu", "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["pairs"] == 2
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_large_pictures_of_ones_own(tmp_path):
    write_folder(tmp_path / "mine" / "deep", grain(3))
    write_folder(tmp_path / "held", grain(12, seed=1))
    options = {"patch": 12, "mix": {"bicubic": 1}, "pictures": "mine"}
    values = {"task": "crl_sr", "network": SR, "manifest": {}, "data": options}
    task = CrlSrTask(recipe(None, **values, validation={"pictures": "held", "pairs": 4}))
    task.prepare(tmp_path, tmp_path / "cache")
    shown = {picture.tobytes() for picture in (task._pool[index] for index in range(3))}
    assert shown == {picture.tobytes() for picture in grain(3)}
    assert task.sample(5)["high"].shape == (3, 48, 48) and torch.equal(task.sample(5)["low"], task.sample(5)["low"])
    assert [pair.name for pair in task.validation()] == ["00", "01", "02", "03"]
    assert len(task.validation(full=True)) == 12
    low, high = task.validation()[0].make()
    assert torch.equal(high[0], pictures.to_tensor(grain(12, seed=1)[0])) and low.shape == (1, 3, 12, 14)
    with pytest.raises(Exception, match=r"48 pixels a side.*lower data\.patch"):
        large = CrlSrTask(recipe(None, **values | {"data": {**options, "patch": 13}}, validation={}))
        large.prepare(tmp_path, tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="no pictures in"):
        pictures.open_folder(tmp_path / "empty", tmp_path / "cache")


def test_exposures_of_ones_own_need_not_show_the_same(tmp_path):
    levels = {"dark": 20, "normal": 118, "over": 210}
    for group, level in levels.items():
        write_folder(tmp_path / group, np.full((2, 300, 320, 3), level, np.uint8))
    write_folder(tmp_path / "pairs" / "dark", grain(3) // 8)
    write_folder(tmp_path / "pairs" / "clear", grain(3))
    own = {"crop": 32, "references": 2, "folders": {group: group for group in levels}}
    values = {"task": "scl_lle", "network": {"architecture": "scl_lle"}, "loss": {"colour": 1.0}, "manifest": {}}
    task = SclLleTask(recipe(None, **values, data=own, validation={"dark": "pairs/dark", "clear": "pairs/clear"}))
    task.prepare(tmp_path, tmp_path / "cache")
    sample = task.sample(0)
    assert {key: round(255 * float(sample[key].mean())) for key in ("dark", "normal", "under", "over")} == {
        **levels, "under": 20
    }  # fmt: skip
    assert min(task._pools["dark"][0].shape[:2]) == 256
    assert len(task.validation()) == 3
    bare = SclLleTask(recipe(None, **values, data=own, validation={}))
    bare.prepare(tmp_path, tmp_path / "cache")
    assert bare.validation() == []
    with pytest.raises(UsageError, match="has to name dark, normal, over"):
        SclLleTask(recipe(None, **values, data={**own, "folders": {"dark": "dark"}}, validation={}))
