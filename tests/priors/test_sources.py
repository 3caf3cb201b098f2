"""Loading a CLIP: the real weights or one clear sentence, never a random network."""

from __future__ import annotations

import json
import subprocess
import sys

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from errors import PromptError, UnknownNameError, UsageError
from hashing import sha256_of
from priors import sources
from tests.priors.tiny import MODEL, write_clip
from tests.standin_hub import StandInHub


def names(folder):
    return f"local-dir:{folder}"


def test_a_folder_gives_its_weights(folder):
    loaded = sources.load(names(folder))
    stored = load_file(folder / sources.WEIGHTS)
    for key, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, stored[key])
    assert loaded.sha256 == sha256_of(folder / sources.WEIGHTS)
    assert not loaded.model.training


def test_the_state_hash_is_of_the_values(folder, tmp_path):
    first = sources.load(names(folder)).model
    assert sources.hash_state(first) == sources.hash_state(sources.load(names(folder)).model)
    other = sources.load(names(write_clip(tmp_path / "other", seed=1))).model
    assert sources.hash_state(first) != sources.hash_state(other)


@pytest.mark.parametrize("name", ["", "haze", "ViT-B-32", "local-dir:"])
def test_names_without_a_known_form(name):
    with pytest.raises(UsageError, match="hf-hub:ORG/NAME"):
        sources.load(name)


def test_unknown_architectures_and_tags_offer_near_ones():
    with pytest.raises(UnknownNameError, match="ViT-B-32"):
        sources.load("ViT-B-33:openai")
    with pytest.raises(UnknownNameError, match="laion2b_s34b_b79k"):
        sources.load("ViT-B-32:laion2b_s34b_b79")


def test_missing_folder_configuration_and_weights(tmp_path):
    with pytest.raises(PromptError, match=r"There is no folder .*open_clip_config\.json and open_clip_model"):
        sources.load(names(tmp_path / "nowhere"))
    with pytest.raises(PromptError, match=r"has no open_clip_config\.json"):
        sources.load(names(tmp_path))
    folder = write_clip(tmp_path / "half")
    (folder / sources.WEIGHTS).unlink()
    with pytest.raises(PromptError, match=r"no weights; put open_clip_model\.safetensors"):
        sources.load(names(folder))
    # What open_clip itself does here is the reason for all of this: a random network and no error.
    assert open_clip.create_model(names(folder)) is not None


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00"])
def test_a_configuration_that_is_none(tmp_path, text):
    folder = write_clip(tmp_path / "clip")
    (folder / sources.CONFIG).write_text(text)
    with pytest.raises(PromptError, match="not an open_clip configuration"):
        sources.load(names(folder))


def test_weights_of_other_shapes(tmp_path):
    folder = write_clip(tmp_path / "clip")
    wider = {**MODEL, "embed_dim": 24}
    config = json.loads((folder / sources.CONFIG).read_text())
    (folder / sources.CONFIG).write_text(json.dumps({**config, "model_cfg": wider}))
    with pytest.raises(PromptError, match="do not fit the configured architecture"):
        sources.load(names(folder))


def test_weights_with_a_tensor_missing(tmp_path):
    folder = write_clip(tmp_path / "clip")
    state = load_file(folder / sources.WEIGHTS)
    del state["visual.proj"]
    save_file(state, str(folder / sources.WEIGHTS))
    with pytest.raises(PromptError, match=r"do not fit .*visual\.proj"):
        sources.load(names(folder))


def test_damaged_weights(tmp_path):
    folder = write_clip(tmp_path / "clip")
    data = (folder / sources.WEIGHTS).read_bytes()
    (folder / sources.WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(PromptError, match="replace the damaged file"):
        sources.load(names(folder))


def test_a_tokenizer_of_another_model(tmp_path):
    small = {**MODEL, "text_cfg": {**MODEL["text_cfg"], "vocab_size": 1000}}
    with pytest.raises(PromptError, match="tokenizer is another model's"):
        sources.load(names(write_clip(tmp_path / "clip", model=small)))
    foreign = {**MODEL, "text_cfg": {**MODEL["text_cfg"], "hf_tokenizer_name": "lab/words"}}
    folder = write_clip(tmp_path / "foreign")
    config = json.loads((folder / sources.CONFIG).read_text())
    (folder / sources.CONFIG).write_text(json.dumps({**config, "model_cfg": foreign}))
    with pytest.raises(PromptError, match="no tokenizer files"):
        sources.load(names(folder))


CHILD = """
import sys
from errors import UnveilError
from priors.clip import load
for name in sys.argv[1:]:
    try:
        print(name, "sha256", load(name).sha256)
    except UnveilError as error:
        print(name, type(error).__name__, error)
"""


def in_child(names_, environment):
    """What loading says in a fresh process, because the Hub client reads its settings when it is imported."""
    command = [sys.executable, "-c", CHILD, *names_]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(names_)
    return lines


def test_the_hub_gives_the_same_model_and_its_failures_are_sentences(folder, tmp_path):
    files = {f.name: f.read_bytes() for f in folder.iterdir()}
    with StandInHub() as hub:
        hub.add("model", "lab/tiny", files)
        hub.add("model", "lab/headless", {sources.CONFIG: files[sources.CONFIG]})
        environment = hub.environment(tmp_path)
        good, *bad = in_child(["hf-hub:lab/tiny", "hf-hub:lab/headless", "hf-hub:lab/nothing"], environment)
        assert good.endswith(sources.hash_state(sources.load(names(folder)).model))
        assert any(path.startswith("/lab/tiny/resolve/") for _, path in hub.requests)
        for said in bad:
            assert "PromptError" in said and "could not be fetched" in said and "local-dir:FOLDER" in said
    # The Hub is gone: what was fetched is in the cache, what was not is a sentence.
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    cached, absent = in_child(["hf-hub:lab/tiny", "ViT-B-32:laion2b_s34b_b79k"], offline)
    assert cached == good
    assert "PromptError" in absent and "local-dir:FOLDER" in absent
