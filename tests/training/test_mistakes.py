"""Ordinary mistakes in a recipe end in one sentence that names the entry, before anything is packed or trained."""

from pathlib import Path

import pytest
import yaml

from errors import UsageError
from training.__main__ import main
from training.hazy_pairs import open_sources
from training.recipe import load_recipe
from training.task import create_task

RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"

MISTAKES = {
    "aecr_net": [
        ("data={}", "no crop and no sources"),
        ("data.crop=abc", "data.crop is 'abc'.*whole number"),
        ("data.crop=0", "data.crop is 0.*at least 1"),
        ("data.crop=[]", "crops and aspects"),
        ("data.zoom=3", "data.zoom is 3.*least, greatest"),
        ("data.aspect=0", "data.aspect is 0.*above 0"),
        ("data.shows=0.5", "data.shows is 0.5"),
        ("data.views=3", "data.views is 3.*list of tables"),
        ("data.views=[3]", "list of tables"),
        ("data.growth=[{until: 5, attention_uses: abc}]", "attention_uses is 'abc'"),
        ("data.settle=-1", "data.settle is -1"),
        ("loss={}", "nothing would be learned.*l1"),
        ("loss.l1=abc", "loss.l1 is 'abc'"),
        ("loss.l1=-1", "loss.l1 is -1.*at least 0"),
        ("loss.after=abc", "loss.after is 'abc'"),
        ("loss.negatives=0", "loss.negatives is 0"),
        ("network.width=-8", "network cannot be built"),
        ("seed=-1", "seed is -1"),
        ("learning_rate=nan", "learning_rate is nan"),
        ("learning_rate=-1", "learning_rate is -1"),
        ("ema=2", "ema is 2"),
        ("warmup=-4", "warmup is -4"),
        ("restarts={2: abc}", "restarts is 'abc'"),
        ("card.title=2024", "card.title is 2024.*quotes"),
        ("validation.pairs=abc", "validation.pairs is 'abc'"),
    ],
    "scl_lle": [
        ("data={}", "no crop"),
        ("loss={}", "nothing would be learned"),
        ("data.references=0", "data.references is 0"),
        ("data.labelled=2", "data.labelled is 2.*at most 1"),
        ("data.gain=3", "data.gain is 3"),
        ("data.gain=[0.3, 0.1]", "least, greatest"),
        ("loss.alignment=rang", "loss.alignment called 'rang'; did you mean rank"),
    ],
    "scl_lle-denoise": [
        ("data.start=null", "no start"),
        ("data.gain=[0, 1]", "data.gain is 0.*above 0"),
        ("data.jpeg=abc", "data.jpeg is 'abc'"),
    ],
    "scl_lle+ptg_rm": [
        ("data.darkened=2", "data.darkened is 2"),
        ("loss.epsilon=0", "loss.epsilon is 0"),
        ("loss.refined=-1", "loss.refined is -1"),
    ],
    "crl_sr": [
        ("data={}", "no patch and no mix"),
        ("loss={}", "nothing would be learned"),
        ("data.mix=3", "data.mix is 3.*table"),
        ("data.reduce=0.5", "data.reduce is 0.5"),
        ("loss.every=0", "loss.every is 0"),
        ("loss.vectors=nope", "loss.vectors called 'nope'"),
        ("validation.set=nope", "validation.set called 'nope'"),
    ],
    "haze_clip": [
        ("loss={}", "nothing would be learned"),
        ("data.stages=3", "data.stages is 3"),
        ("loss.captions_per_pole=0", "captions_per_pole is 0"),
    ],
}


@pytest.mark.parametrize(
    ("name", "change", "sentence"), [(name, *mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]
)
def test_a_mistake_is_named(name, change, sentence):
    key, _, value = change.partition("=")
    with pytest.raises(UsageError, match=sentence) as found:
        create_task(load_recipe(RECIPES / f"{name}.yaml", {key: yaml.safe_load(value)}))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ({}, "No source"),
        (3, "data.sources is 3"),
        ({"nyu": 3}, "data.sources.nyu is 3"),
        ({"folders": {"share": 0}}, "No source .* share above 0"),
        ({"nyu": {"share": "abc"}}, "nyu.share is 'abc'"),
        ({"nyu": {"haze": {"beta": [1]}}}, "haze.beta is"),
        ({"nyu": {"haze": {"jpeg": "abc"}}}, "haze.jpeg is 'abc'"),
    ],
)
def test_a_mistake_in_the_sources_is_named_before_they_are_opened(sources, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        open_sources(sources, tmp_path, tmp_path, {})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit", str(RECIPES / "aecr_net.yaml"), "--set", "a=[1"], "--set a: '[1'"),
        (["fit", str(RECIPES / "aecr_net.yaml"), "--stop-after", "0"], "--stop-after is 0"),
        (["fit", str(RECIPES / "aecr_net.yaml"), "--stop-after", "-1"], "--stop-after is -1"),
        (["fit", str(RECIPES / "aecr_net.yaml"), "--workers", "-1"], "--workers is -1"),
        (["evaluate", "aecr_net", "--limit", "-1"], "--limit is -1"),
        (["evaluate", "aecr_net", "--limit", "0"], "--limit is 0"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(arguments, sentence, tmp_path, capsys):
    output = ["--output", str(tmp_path / "run")]
    assert main([*arguments, "--data", str(tmp_path), *output]) == 2
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1
