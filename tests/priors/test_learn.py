"""Learned prompts: they learn, they last, and they belong to their model."""

from __future__ import annotations

import gc
import json
from weakref import ref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from errors import PromptError
from priors import clip, prompts, sources
from priors.density import encode_many, scores_of
from priors.evaluate import auroc
from priors.learn import Settings, learn, learn_from_features
from priors.prompts import PromptSet, end_features
from tests.priors.tiny import picture, write_clip

START = PromptSet("start", ("a hazy photo",), ("a clear photo",))


@pytest.fixture(scope="module")
def sides():
    bright = [picture(32, 40, seed, level=0.75) for seed in range(8)]
    dark = [picture(32, 40, seed + 50, level=0.3) for seed in range(8)]
    return bright, dark


def test_learning_separates_pictures_it_did_not_see(prior, sides, tmp_path):
    bright, dark = sides
    learned = learn(prior, bright[:4], dark[:4], start=START, settings=Settings(steps=80, anchor=0.0))
    assert learned.curve[-1] < 0.7 * learned.curve[0]
    made = learned.save(tmp_path / "bright.safetensors")
    scores = scores_of(prior, encode_many(prior, [*bright[4:], *dark[4:]]), made)
    assert auroc(scores, np.repeat([True, False], 4)) == 1.0


def test_a_saved_set_is_used_everywhere_and_keeps_its_record(prior, sides, tmp_path):
    learned = learn(prior, *sides, start=START, settings=Settings(steps=5))
    path = tmp_path / "set.safetensors"
    made = learned.save(path)
    assert prompts.load(path) == made and made.name == "set" and "8 + 8 pictures" in made.note
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["facts"])["curve"] == pytest.approx(learned.curve, abs=1e-6)
    positive = prior.encode_context(learned.positive, "a hazy photo")
    torch.testing.assert_close(end_features(prior, made)[0], positive)


def test_the_same_seed_gives_the_same_vectors(prior, sides):
    first, second = (learn(prior, *sides, start=START, settings=Settings(steps=3)) for _ in range(2))
    assert torch.equal(first.positive, second.positive) and first.curve == second.curve
    other = learn(prior, *sides, start=START, settings=Settings(steps=3, seed=1))
    assert not torch.equal(first.positive, other.positive)


def test_the_anchor_keeps_features_near_the_words(prior):
    features = F.normalize(torch.randn(20, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(20) % 2
    words = end_features(prior, START)

    def distance(anchor):
        made = learn_from_features(prior, features, labels.float(), start=START, settings=Settings(anchor=anchor))
        return 1 - float(prior.encode_context(made.positive, START.positives[0]) @ words[0])

    assert distance(100.0) < 0.3 * distance(0.0)


def test_vectors_of_another_model_are_refused(prior, sides, tmp_path):
    made = learn(prior, *sides, start=START, settings=Settings(steps=1)).save(tmp_path / "set.safetensors")
    other = clip.load(f"local-dir:{write_clip(tmp_path / 'other', seed=9)}")
    with pytest.raises(PromptError, match="means nothing to"):
        end_features(other, made)


def test_files_that_hold_no_prompts(tmp_path, prior, sides):
    (tmp_path / "text.safetensors").write_text("words")
    with pytest.raises(PromptError, match="not a safetensors file"):
        prompts.load(tmp_path / "text.safetensors")
    save_file({"weight": torch.zeros(2)}, str(tmp_path / "weights.safetensors"))
    with pytest.raises(PromptError, match="holds no learned prompts"):
        prompts.load(tmp_path / "weights.safetensors")
    with pytest.raises(PromptError, match=r"saved as \.safetensors"):
        learn(prior, *sides, start=START, settings=Settings(steps=1)).save(tmp_path / "set.json")


@pytest.mark.parametrize(
    "changes",
    [{"name": None}, {"positives": "fog"}, {"negatives": []}, {"pictures": [1]}, {"prior_sha256": 5}, "{", "[]"],
)
def test_a_damaged_record_is_one_sentence(changes, tmp_path):
    facts = {"name": "n", "positives": ["a"], "negatives": ["b"], "pictures": [2, 2], "prior": "p", "prior_sha256": "0"}
    text = changes if isinstance(changes, str) else json.dumps({**facts, **changes})
    vectors = {"positive": torch.zeros(2, 4), "negative": torch.zeros(2, 4)}
    save_file(vectors, str(tmp_path / "set.safetensors"), {"format": "learned-prompts/1", "facts": text})
    with pytest.raises(PromptError, match="is damaged: it does not say"):
        prompts.load(tmp_path / "set.safetensors")


def test_what_a_file_lacks_is_noticed_when_it_is_read(tmp_path):
    path = str(tmp_path / "set.safetensors")
    vectors = {"positive": torch.zeros(2, 4), "negative": torch.zeros(2, 4)}
    save_file(vectors, path, {"format": "learned-prompts/1"})
    with pytest.raises(PromptError, match="learn them again"):
        prompts.load(path)


def test_remembered_features_do_not_keep_a_model_alive(folder, prior, sides, tmp_path):
    made = learn(prior, *sides, start=START, settings=Settings(steps=1)).save(tmp_path / "set.safetensors")
    other = clip.ClipPrior(sources.load(f"local-dir:{folder}"))
    torch.testing.assert_close(end_features(other, made), end_features(prior, made))
    gone = ref(other)
    del other
    gc.collect()
    assert gone() is None


def test_a_set_that_vanished(prior, sides, tmp_path):
    made = learn(prior, *sides, start=START, settings=Settings(steps=1)).save(tmp_path / "set.safetensors")
    (tmp_path / "set.safetensors").unlink()
    with pytest.raises(PromptError, match="are gone"):
        end_features(prior, made)


def test_one_picture_is_not_enough(prior, sides):
    with pytest.raises(PromptError, match="at least 2 pictures"):
        learn(prior, sides[0][:1], sides[1], start=START)
