"""Words: what is held out stays out, what is said is true, what is unknown stays unknown."""

from __future__ import annotations

import random

import pytest

from training import captions


def test_a_fifth_of_every_list_is_held_out_and_nothing_is_in_both():
    for pole in captions.vocabulary().poles:
        trained, held_out = (set(pole.phrases(h)) for h in (False, True))
        assert not trained & held_out
        assert trained | held_out == {(a, True) for a in pole.adjectives} | {(t, False) for t in pole.things}
    phrases = [len(p.phrases(h)) for h in (False, True) for p in captions.vocabulary().poles]
    half = len(phrases) // 2
    assert 0.15 < sum(phrases[half:]) / sum(phrases) < 0.22


def test_no_phrase_belongs_to_both_ends_of_a_degradation():
    for concept in (*captions.CONCEPTS, "clean"):
        said, denied = (
            {phrase for pole in captions.find(concept, present) for phrase in (*pole.adjectives, *pole.things)}
            for present in (True, False)
        )
        assert said and denied and not said & denied


def test_composed_captions_contain_their_phrase_whole():
    draw = random.Random(0)
    for _ in range(300):
        pole = draw.choice(captions.vocabulary().poles)
        phrase, adjective = draw.choice(pole.phrases(held_out=False))
        text = captions.compose(phrase, adjective, draw)
        assert phrase in text and "{" not in text
        assert " a a" not in text and "a image" not in text


def test_held_out_phrases_never_appear_in_training_texts():
    texts = set(captions.training_texts())
    for pole in captions.vocabulary().poles:
        trained = {p for other in captions.vocabulary().poles for p, _ in other.phrases(held_out=False)}
        for phrase, _ in pole.phrases(held_out=True):
            assert phrase not in texts or phrase in trained


@pytest.mark.parametrize("concept", [*captions.CONCEPTS, "clean"])
def test_draws_repeat_with_their_seed(concept):
    first, second = (captions.draw_phrases(concept, True, 6, random.Random(3)) for _ in range(2))
    assert first == second and len(first) == 6
    kinds = {kind for _, kind in captions.draw_phrases(concept, True, 80, random.Random(1))}
    assert kinds == ({"", "fog", "smog", "smoke"} if concept == "haze" else {""})


def test_captions_are_true():
    draw = random.Random(0)
    lists = {c: {p: set() for p in (True, False)} for c in (*captions.CONCEPTS, "clean")}
    for pole in captions.vocabulary().poles:
        lists[pole.concept][pole.present].update(p for p, _ in pole.phrases(held_out=False))
    for concept, index in zip(captions.CONCEPTS, range(7), strict=True):
        labels = [float(i == index) for i in range(7)]
        for _ in range(20):
            text, claim = captions.caption_of(labels, 2 if index == 0 else -1, draw)
            assert claim.present == (index,) and any(p in text for p in lists[concept][True])
            assert claim.kind in ("", "smog")
    for _ in range(40):
        text, claim = captions.caption_of([0.0] * 7, -1, draw)
        assert not claim.present and claim.absent and text
