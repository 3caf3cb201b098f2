"""Words for degradations: phrases with known meaning, from which captions and prompts are composed.

A ``Pole`` is one end of one degradation ("hazy ..." or "haze-free ..."): adjectives that go before a noun, and things
that go after "with" or "in". A caption is a phrase in a template with a noun. Nouns are drawn without looking at the
picture, so that what a picture shows carries no weight; one noun is a string of bytes that no training caption uses
otherwise and whose embedding stays zero, so the text tower learns to read past words it does not know.

Every fifth phrase of every list is kept out of training (``held_out=True`` gives exactly those): the lists start
with the core words and then vary them, and the figures on held-out phrases tell how far understanding carries.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

HAZE_KINDS = ("haze", "fog", "smog", "smoke")
CONCEPTS = ("haze", "lowlight", "overexposed", "noise", "blur", "rain", "jpeg")
UNKNOWN = "□"
HOLD_OUT_EVERY = 5


@dataclass(frozen=True)
class Pole:
    """One end of one degradation in words.

    Attributes:
        concept: one of CONCEPTS, or "clean" for pictures free of all of them.
        present: whether these words say that the degradation is there.
        adjectives: go before a noun: "a hazy street".
        things: go after "with", "in", "covered by": "a street with thick fog".
        kind: for haze, which kind the words mean; "" when they fit all.
    """

    concept: str
    present: bool
    adjectives: tuple[str, ...]
    things: tuple[str, ...]
    kind: str = ""

    def phrases(self, held_out: bool) -> list[tuple[str, bool]]:
        """(phrase, is adjective) of the training part or of the held-out fifth."""
        lists = ((self.adjectives, True), (self.things, False))
        return [
            (phrase, adjective)
            for words, adjective in lists
            for index, phrase in enumerate(words)
            if (index % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1) == held_out
        ]


@dataclass(frozen=True)
class Vocabulary:
    """All words: the poles, the sentences they go into, and the nouns that fill those."""

    poles: tuple[Pole, ...]
    adjective_templates: tuple[str, ...]
    thing_templates: tuple[str, ...]
    nouns: tuple[str, ...]
    others: tuple[str, ...]


@cache
def vocabulary() -> Vocabulary:
    """Read ``vocabulary.yaml`` once."""

    def words(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(","))

    raw = yaml.safe_load((Path(__file__).parent / "vocabulary.yaml").read_text(encoding="utf-8"))
    poles = (
        Pole(p["concept"], p["present"], words(p["adjectives"]), words(p["things"]), p.get("kind", ""))
        for p in raw["poles"]
    )
    return Vocabulary(
        tuple(poles),
        words(raw["adjective_templates"]),
        words(raw["thing_templates"]),
        (*words(raw["nouns"]), *(UNKNOWN,) * 6),
        (*words(raw["others"]), UNKNOWN, UNKNOWN, f"a {UNKNOWN}"),
    )


def compose(phrase: str, adjective: bool, draw: random.Random) -> str:
    """Put a phrase into a random template with random nouns."""
    words = vocabulary()
    template = draw.choice(words.adjective_templates if adjective else words.thing_templates)
    article = "an" if phrase[0] in "aeiou" else "a"
    noun, other = draw.choice(words.nouns), draw.choice(words.others)
    text = template.format(a=phrase, an=f"{article} {phrase}", t=phrase, noun=noun, other=other)
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def find(concept: str, present: bool) -> list[Pole]:
    """All poles of one end of a degradation."""
    return [p for p in vocabulary().poles if p.concept == concept and p.present == present]


def draw_phrases(
    concept: str, present: bool, count: int, draw: random.Random, *, held_out: bool = False, bare: bool = False
) -> list[tuple[str, str]]:
    """Draw (text, haze kind) for one end of a degradation; the kind is "" when the words fit all kinds.

    Args:
        concept: one of CONCEPTS or "clean".
        present: the end that says the degradation is there.
        count: how many texts.
        draw: source of randomness.
        held_out: draw from the phrases kept out of training.
        bare: only the plainest template ("a hazy photo", "haze"), for reproducible reports.
    """
    poles = find(concept, present)
    weights = [4 if len(poles) > 1 and not p.kind else 1 for p in poles]
    texts = []
    for _ in range(count):
        pole = draw.choices(poles, weights)[0]
        phrase, adjective = draw.choice(pole.phrases(held_out))
        texts.append((plain(phrase, adjective) if bare else compose(phrase, adjective, draw), pole.kind))
    return texts


def plain(phrase: str, adjective: bool) -> str:
    """The phrase in the plainest sentence: "a hazy photo", "a photo with haze"."""
    if not adjective:
        return f"a photo with {phrase}"
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase} photo"


def training_texts() -> list[str]:
    """Every phrase, template word and noun of the training part, to find which tokens training can reach."""
    everything = vocabulary()
    phrases = [phrase for pole in everything.poles for phrase, _ in pole.phrases(held_out=False)]
    frames = [
        template.format(a="a", an="an", t="a", noun="a", other="a")
        for template in (*everything.adjective_templates, *everything.thing_templates)
    ]
    fillers = [noun for noun in (*everything.nouns, *everything.others) if UNKNOWN not in noun]
    return [*phrases, *frames, *fillers, "a", "an", "the"]


@dataclass(frozen=True)
class Claim:
    """What a caption says.

    Attributes:
        present: indices into CONCEPTS of what it says is there.
        absent: of what it says is not.
        kind: the kind of haze it names, or "".
    """

    present: tuple[int, ...]
    absent: tuple[int, ...]
    kind: str


def caption_of(labels: Sequence[float], kind: int, draw: random.Random) -> tuple[str, Claim]:
    """A true caption of a picture: one or two of its degradations, the absence of one, or its cleanness.

    Args:
        labels: one number in [0,1] for each of CONCEPTS; from 0.5 on it is there, below 0.1 it is not.
        kind: index into HAZE_KINDS, -1 without haze.
        draw: source of randomness.
    """
    present = [i for i, value in enumerate(labels) if value >= 0.5]
    if not present:
        faint = max(labels) > 0.1
        if draw.random() < 0.6 and not faint:
            text, _ = draw_phrases("clean", True, 1, draw)[0]
            return text, Claim((), tuple(range(len(CONCEPTS))), "")
        absent = draw.choice([i for i, value in enumerate(labels) if value < 0.1])
        text, _ = draw_phrases(CONCEPTS[absent], False, 1, draw)[0]
        return text, Claim((), (absent,), "")
    chosen = draw.sample(present, min(len(present), draw.choice((1, 1, 2))))
    kinds_said, texts = "", []
    for index in chosen:
        text, said = draw_phrases(CONCEPTS[index], True, 1, draw)[0]
        if said and said != HAZE_KINDS[kind]:
            fitting = [p for p in find("haze", True) if p.kind in ("", HAZE_KINDS[kind])]
            phrase, adjective = draw.choice(draw.choice(fitting).phrases(held_out=False))
            text, said = compose(phrase, adjective, draw), ""
        kinds_said = kinds_said or said
        texts.append(text)
    return draw.choice((" and ", ", ")).join(texts), Claim(tuple(chosen), (), kinds_said)
