"""Prompt sets: rules, JSON, built-ins and features."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from errors import PromptError, UnknownNameError
from priors import prompts
from priors.prompts import PromptSet, end_features, prompt_features

HAZE = PromptSet("mine", ("a hazy photo", "fog"), ("a clear photo",))
TEXT = st.text(min_size=1, max_size=40).filter(str.strip)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=4), st.booleans())
def test_json_round_trip(name, positives, negatives, weighted):
    weights = tuple(float(i + 1) for i in range(len(positives))) if weighted else ()
    made = PromptSet(name, tuple(positives), tuple(negatives), ("a {}", "{}"), weights)
    assert PromptSet.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positives": []}, "has no positives"),
        ({"negatives": "clear"}, "negatives of .* must be a list"),
        ({"positives": ["  "]}, "not empty"),
        ({"positives": [3]}, "to be text"),
        ({"positives": ["x" * 301]}, "at most 300 characters"),
        ({"positives": ["x"] * 65}, "at most 64"),
        ({"templates": ["no place"]}, "exactly once"),
        ({"templates": ["{} and {}"]}, "exactly once"),
        ({"templates": []}, "no templates"),
        ({"positive_weights": [1.0]}, "2 positives but 1 weights"),
        ({"positive_weights": [1.0, -1.0]}, "zero or more"),
        ({"positive_weights": [0.0, 0.0]}, "not all zero"),
        ({"positive_weights": ["1", "2"]}, "must be numbers"),
        ({"format": "prompt-set/9"}, "this version reads"),
        ({"positivs": ["x"]}, "unknown keys positivs"),
        ({"name": ""}, "not empty"),
    ],
)
def test_broken_sets_say_what_is_wrong(changes, message):
    good = {"name": "n", "positives": ["a", "b"], "negatives": ["c"]}
    with pytest.raises(PromptError, match=message):
        PromptSet.from_json(json.dumps({**good, **changes}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": "n"}'])
def test_what_is_no_set(text):
    with pytest.raises(PromptError, match=r"JSON|lacks"):
        PromptSet.from_json(text)


def test_built_in_sets_are_there_and_valid():
    wanted = {"haze", "fog", "smog", "smoke", "low-light", "noise", "blur", "rain", "jpeg", "over-exposure"}
    assert set(prompts.names()) >= wanted and prompts.names()[0] == prompts.DEFAULT
    for name in prompts.names():
        assert prompts.get(name).name == name
    with pytest.raises(UnknownNameError, match="did you mean haze"):
        prompts.get("hase")


def test_loading_by_name_file_and_missing(tmp_path):
    HAZE.save(tmp_path / "mine.json")
    assert prompts.load(tmp_path / "mine.json") == HAZE
    assert prompts.load("fog") == prompts.get("fog")
    with pytest.raises(PromptError, match="There is no prompt set"):
        prompts.load(tmp_path / "other.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptError, match="not text"):
        prompts.load(tmp_path / "bytes.json")


def test_editing_words_drops_what_no_longer_fits():
    weighted = PromptSet("w", ("a", "b"), ("c",), positive_weights=(1.0, 2.0))
    assert weighted.with_texts([" x ", ""], ["y"]) == PromptSet("w", ("x",), ("y",))


def test_ends_are_weighted_means_over_templates(prior):
    prompt_set = PromptSet("t", ("fog", "haze"), ("clear",), ("a {}", "{} here"), (3.0, 1.0))
    encode = lambda *texts: prior.encode_text(list(texts)).mean(0)  # noqa: E731
    fog, haze = (F.normalize(encode(f"a {w}", f"{w} here"), dim=0) for w in ("fog", "haze"))
    positive, negative = prompt_features(prior, prompt_set)
    torch.testing.assert_close(positive, torch.stack([fog, haze]))
    torch.testing.assert_close(end_features(prior, prompt_set)[0], F.normalize(3 * fog + haze, dim=0))
    torch.testing.assert_close(end_features(prior, prompt_set)[1], negative[0])


def test_a_weight_of_zero_leaves_a_prompt_out(prior):
    both = PromptSet("b", ("fog", "haze"), ("clear",), positive_weights=(1.0, 0.0))
    one = PromptSet("o", ("fog",), ("clear",))
    torch.testing.assert_close(end_features(prior, both), end_features(prior, one))


def test_json_names_no_file_to_open(tmp_path):
    """A visitor uploads JSON; a path in it would be opened on the server."""
    text = json.dumps({"name": "n", "positives": ["a"], "negatives": ["b"], "learned": "/etc/passwd"})
    with pytest.raises(PromptError, match="unknown keys learned"):
        PromptSet.from_json(text)
    with pytest.raises(PromptError, match=r"JSON holds words only; copy mine\.safetensors"):
        PromptSet("mine", ("a",), ("b",), learned="mine.safetensors").save(tmp_path / "mine.json")
