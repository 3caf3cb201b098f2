"""Weight files and folders that describe themselves; damage of every kind is an error, never a random network."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file as read_tensors
from safetensors.torch import save_file as write_tensors

from errors import UnknownNameError, UsageError, WeightsError
from hashing import sha256_of
from restorers import checkpoint, hub, networks, registry
from restorers.publish import write_folder
from tests.restorers import tiny


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))


@pytest.fixture
def model():
    return tiny.make(seed=3, width=6, slope=0.3)


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "tiny.safetensors"
    config = checkpoint.constructor_arguments(model)
    assert config == {"width": 6, "slope": 0.3}
    checkpoint.save_file(path, "tiny", config, model.state_dict(), {"title": "Tiny, trained", "trained_on": "noise"})
    return path


@pytest.fixture
def folder(model, tmp_path):
    write_folder(model, tmp_path / "model")
    return tmp_path / "model"


def same(a, b):
    x = torch.rand(1, 3, 20, 22)
    with torch.inference_mode():
        return torch.equal(a(x), b(x))


def test_a_file_comes_back_as_the_network_it_was(model, file):
    again = hub.load(file)
    assert same(model, again) and not again.training
    assert again.weights_sha256 == sha256_of(file)
    assert (again.card.title, again.card.trained_on) == ("Tiny, trained", "noise")
    assert again.card.figures == model.card.figures


def test_a_folder_comes_back_by_us_and_by_the_mixin(model, folder):
    again = hub.load(folder)
    assert same(model, again) and again.card == model.card
    assert again.weights_sha256 == sha256_of(folder / "model.safetensors")
    assert same(model, tiny.Tiny.from_pretrained(folder))


def test_the_model_card_of_a_folder_carries_the_figures(folder):
    from huggingface_hub import ModelCard

    card = ModelCard.load(folder / "README.md")
    facts = card.data.to_dict()
    assert (facts["license"], facts["library_name"]) == ("apache-2.0", "unveil")
    assert [(result.dataset_name, result.metric_type, result.metric_value) for result in card.data.eval_results] == [
        ("NYU 1349-1398", "psnr", 21.5)
    ]
    assert sha256_of(folder / "model.safetensors") in card.text
    assert "python -m eval score" in card.text


def refused(path, *words):
    with pytest.raises(WeightsError) as caught:
        hub.load(path)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_missing_files_and_folders(tmp_path, folder):
    refused(tmp_path / "none.safetensors", "no file or folder")
    refused("./none", "no file or folder")
    (folder / "model.safetensors").unlink()
    refused(folder, "no weight file", "model.safetensors")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no weights")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_files(file, folder, keep):
    for path in (file, folder / "model.safetensors"):
        path.write_bytes(path.read_bytes()[:keep])
    refused(file, "damaged or cut off")
    refused(folder, "damaged or cut off")


def test_another_hash_than_the_description_names(folder):
    weights = folder / "model.safetensors"
    tensors = read_tensors(weights)
    tensors["up.bias"] += 1
    write_tensors(tensors, weights)
    refused(folder, "not the file that its description names", "download it again")


def test_tensors_that_are_missing_unknown_or_of_another_shape(model, tmp_path):
    state = model.state_dict()
    config = checkpoint.constructor_arguments(model)
    faults = {
        "missing": {key: value for key, value in state.items() if key != "up.bias"},
        "unknown": {**state, "extra": torch.zeros(1)},
        "shape": {**state, "up.bias": torch.zeros(4)},
    }
    for word, tensors in faults.items():
        checkpoint.save_file(tmp_path / "x.safetensors", "tiny", config, tensors)
        refused(tmp_path / "x.safetensors", word)


def test_descriptions_that_do_not_fit(model, tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoint.save_file(path, "tiny", {"depth": 9}, model.state_dict())
    refused(path, "another version")
    checkpoint.save_file(path, "tinny", {}, model.state_dict())
    with pytest.raises(UnknownNameError, match="did you mean tiny"):
        hub.load(path)
    write_tensors(model.state_dict(), path, {"architecture": "tiny", "config": "{"})
    refused(path, "description", "damaged")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"tiling": "bogus"}, "tiling cannot be 'bogus'"),
        ({"task": "evil"}, "task cannot be 'evil'"),
        ({"task": ["sr"]}, "task cannot be"),
        ({"summary": 5}, "summary cannot be 5"),
        ({"paper_url": None}, "paper_url cannot be None"),
        ({"parameters": "many"}, "parameters cannot be 'many'"),
        ({"parameters": 10**400}, "parameters cannot be 1000"),
        ({"scale": 2.5}, "scale cannot be 2.5"),
        ({"scale": True}, "scale cannot be True"),
        ({"receptive_field": -50}, "receptive_field cannot be -50"),
        ({"figures": 3}, "figures cannot be 3"),
        ({"figures": ["good"]}, "figures cannot be 'good'"),
        ({"figures": [{"dataset": "x", "protocol": "y", "metric": "psnr", "value": "high"}]}, "value cannot be 'high'"),
        ({"figures": [{"dataset": "x", "protocol": "y", "metric": "psnr", "value": float("nan")}]}, "value cannot be"),
        ({"figures": [{"dataset": "x"}]}, "missing"),
        ("words", "card cannot be 'words'"),
    ],
)
def test_a_card_of_wrong_types_is_refused(folder, facts, words):
    config = json.loads((folder / "config.json").read_text())
    config["unveil"]["card"] = facts
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, words)


@pytest.mark.parametrize(("key", "value"), [("architecture", ["tiny"]), ("weights_sha256", 5)])
def test_a_description_of_wrong_types_is_refused(folder, key, value):
    config = json.loads((folder / "config.json").read_text())
    config["unveil"][key] = value
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, "config.json" if key == "architecture" else "not the file")


def test_facts_of_a_later_version_are_passed_over(model):
    figure = {"dataset": "x", "protocol": "y", "metric": "psnr", "value": 21, "machine": "z"}
    card = checkpoint.card_from(model.card, {"mood": 3, "weights": "a.safetensors", "figures": [figure]})
    assert (card.weights, card.figures[0].value) == (None, 21)


def test_a_config_that_is_no_json(folder):
    (folder / "config.json").write_text("{")
    refused(folder, "config.json", "damaged")
    (folder / "config.json").write_text(json.dumps([1]))
    refused(folder, "config.json", "not a JSON object")


def test_names_of_nothing():
    with pytest.raises(UnknownNameError, match="did you mean dark_channel"):
        hub.load("dark_chanel")


def test_classical_methods_have_nothing_to_save(tmp_path):
    with pytest.raises(WeightsError, match="no weights of it"):
        write_folder(hub.load("lime"), tmp_path)


def test_which_weights_of_a_folder_are_meant():
    assert hub.choose_weights(["a.pth", "b.safetensors", "README.md"], "x") == "b.safetensors"
    assert hub.choose_weights(["other.safetensors", "model.safetensors"], "x") == "model.safetensors"
    assert hub.choose_weights(["a.pth"], "x") == "a.pth"
    with pytest.raises(WeightsError, match=r"several weight files .*name one"):
        hub.choose_weights(["a.pth", "b.pth"], "x")


def test_what_the_mixin_saves_loads_by_name(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    assert same(hub.load(tmp_path / "model", device="cpu"), model)


def test_a_misspelt_path_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("rums/weights.safetensors", "runs/other/weights.safetensors"):
        with pytest.raises(WeightsError, match="no file or folder"):
            hub.load(name)


def test_what_follows_from_the_network_is_not_taken_from_a_file(model, folder):
    told = {"scale": 2, "size_multiple": 0, "min_size": 4000, "tiling": "whole", "receptive_field": 10**9}
    config = json.loads((folder / "config.json").read_text())
    config["unveil"]["card"].update(told, parameters=7, title="Said by the file")
    (folder / "config.json").write_text(json.dumps(config))
    again = hub.load(folder, device="cpu")
    assert again.card == replace(model.card, title="Said by the file") and same(model, again)


@pytest.mark.parametrize(("told", "padded"), [(8, 8), (64, 64), (0, 2), (3, 2), (128, 2)])
def test_a_file_may_ask_for_coarser_padding(model, told, padded):
    assert checkpoint.build("tiny", {}, {"size_multiple": told}).card.size_multiple == padded


@pytest.mark.parametrize("name", [card.name for card in registry.cards() if card.weights])
def test_embedded_weights_have_one_card_wherever_they_lie(name, tmp_path):
    model = registry.create(name)
    write_folder(model, tmp_path)
    assert hub.load(tmp_path, device="cpu").card == replace(model.card, weights=None, weights_sha256=None)
    of_file = hub.load(networks.WEIGHTS / model.card.weights, device="cpu").card
    assert (of_file.parameters, of_file.tiling) == (model.card.parameters, model.card.tiling)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("scl_lle", {"width": -3}),
        ("scl_lle", {"width": "abc"}),
        ("scl_lle", {"width": 8.5}),
        ("scl_lle", {"side": "abc"}),
        ("scl_lle", {"side": 0}),
        ("scl_lle", {"exposure": "x"}),
        ("scl_lle", {"exposure": 5.0}),
        ("scl_lle", {"denoise": 0}),
        ("aecr_net", {"side": [64, "x"]}),
        ("aecr_net", {"side": []}),
        ("aecr_net", {"attention_window": 3}),
        ("clip_haze", {"blocks": [1]}),
        ("clip_haze", {"side": 2}),
        ("crl_sr", {"upsampler": "none"}),
        ("ptg_rm", {"base_config": 5}),
        ("ptg_rm", {"side": 30, "guide": "none"}),
    ],
)
def test_arguments_that_no_network_can_have_are_one_sentence(name, config):
    with pytest.raises(WeightsError, match="does not fit") as caught:
        checkpoint.build(name, config, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["", " ", "local-dir:", "hf-hub:"])
def test_no_name_is_no_folder(word):
    with pytest.raises(UsageError, match="name of the model is empty"):
        hub.load(word)


def test_names_as_priors_and_pages_write_them(model, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert same(model, hub.load("local-dir:model", device="cpu"))
    with pytest.raises(WeightsError, match="no file or folder"):
        hub.load("local-dir:org/none")
    asked = []
    monkeypatch.setattr(hub, "_load_repository", lambda *given: asked.append(given) or model)
    (folder.parent / "me").mkdir()
    page = "https://huggingface.co/me/x"
    for name in ("hf-hub:me/x", page, f"{page}/", f"{page}/tree/v2"):
        hub.load(name, device="cpu")
    assert asked == [("me/x", None, None, False)] * 3 + [("me/x", "v2", None, False)]
