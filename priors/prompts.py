"""Prompt sets: the words that say a degradation is there, and the words that say it is not.

A set is a frozen fact that can be written in an editor, kept as JSON, shared and compared. Each end is an ensemble:
every prompt goes through every template, the features of its sentences are averaged, and the prompts of one end are
averaged with their weights (Radford et al., "Learning Transferable Visual Models", 2021, section 3.1.4).
A learned set carries vectors instead (see ``priors.learn``) and is used everywhere a written one is.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from errors import PromptError, UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

    from priors.clip import ClipPrior

BUILT_IN = Path(__file__).parent.parent / "assets" / "prompts"
DEFAULT = "haze"
MAXIMUM_PROMPTS = 64
MAXIMUM_LENGTH = 300


@dataclass(frozen=True)
class PromptSet:
    """A positive and a negative end, in words or in learned vectors.

    Attributes:
        name: short, for tables and file names.
        positives: texts that say the degradation is there.
        negatives: texts that say it is not.
        templates: sentences with one ``{}`` each that every text is put into.
        positive_weights: one per positive, or empty for equal weights.
        negative_weights: one per negative, or empty for equal weights.
        note: where the set comes from, for people.
        learned: safetensors file with context vectors, or "" for a written set; only ``priors.learn.load`` sets it.

    Raises:
        PromptError: on construction, when a rule is broken; the message says which.

    Example:
        >>> PromptSet("mine", ("a hazy photo",), ("a clear photo",)).templates
        ('{}',)
    """

    name: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    templates: tuple[str, ...] = ("{}",)
    positive_weights: tuple[float, ...] = ()
    negative_weights: tuple[float, ...] = ()
    note: str = ""
    learned: str = ""

    def __post_init__(self) -> None:
        _check_text(self.name, "the name of a prompt set", 80)
        for end in ("positives", "negatives"):
            texts, weights = getattr(self, end), getattr(self, f"{end[:-1]}_weights")
            if not isinstance(texts, tuple) or not texts:
                raise PromptError(f"Prompt set {self.name!r} has no {end}; give at least one text.")
            if len(texts) > MAXIMUM_PROMPTS:
                raise PromptError(f"Prompt set {self.name!r} has {len(texts)} {end}; at most {MAXIMUM_PROMPTS} work.")
            for text in texts:
                _check_text(text, f"a text among the {end} of {self.name!r}", MAXIMUM_LENGTH)
            if weights and len(weights) != len(texts):
                raise PromptError(
                    f"Prompt set {self.name!r} has {len(texts)} {end} but {len(weights)} weights for them."
                )
            if any(not math.isfinite(w) or w < 0 for w in weights) or (weights and sum(weights) <= 0):
                raise PromptError(
                    f"Weights of {self.name!r} must be zero or more and not all zero, got {list(weights)}."
                )
        if not self.templates:
            raise PromptError(f"Prompt set {self.name!r} has no templates; '{{}}' alone leaves texts as they are.")
        for template in self.templates:
            _check_text(template, f"a template of {self.name!r}", MAXIMUM_LENGTH)
            if template.count("{}") != 1:
                raise PromptError(f"Template {template!r} of {self.name!r} must contain {{}} exactly once.")

    def sentences(self, text: str) -> list[str]:
        """A text in every template."""
        return [template.replace("{}", text) for template in self.templates]

    def with_texts(self, positives: list[str], negatives: list[str]) -> PromptSet:
        """The same set with other words: what editing in the browser does; weights that no longer fit are dropped."""
        return replace(
            self, positives=_lines(positives), negatives=_lines(negatives), positive_weights=(), negative_weights=(),
            learned="",
        )  # fmt: skip

    def to_json(self) -> str:
        """JSON text, stable and readable; defaults are left out.

        Raises:
            PromptError: the set was learned; JSON holds words, not vectors.
        """
        if self.learned:
            raise PromptError(f"Prompt set {self.name!r} was learned and JSON holds words only; copy {self.learned}.")
        values = {"format": "prompt-set/1", **asdict(self)}
        kept = {k: v for k, v in values.items() if k in ("format", "name", "positives", "negatives", "templates") or v}
        return json.dumps(kept, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "The prompt set") -> PromptSet:
        """Read ``to_json``'s output, or the same written by hand.

        Args:
            text: JSON.
            source: what to call it in errors.

        Raises:
            PromptError: not JSON, unknown or missing keys, or a rule of the set is broken.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise PromptError(f"{source} is not JSON: {error}.") from None
        if not isinstance(values, dict):
            raise PromptError(f"{source} must be a JSON object with name, positives and negatives.")
        form = values.pop("format", "prompt-set/1")
        if form != "prompt-set/1":
            raise PromptError(f"{source} has format {form!r}; this version reads 'prompt-set/1'.")
        known = {f.name for f in fields(cls)} - {"learned"}  # a path: whoever wrote the text must not choose one
        if unknown := sorted(set(values) - known):
            raise PromptError(f"{source} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
        if missing := sorted({"name", "positives", "negatives"} - set(values)):
            raise PromptError(f"{source} lacks {', '.join(missing)}.")
        for key in ("positives", "negatives", "templates", "positive_weights", "negative_weights"):
            if key in values:
                if not isinstance(values[key], list):
                    raise PromptError(f"{key} of {source} must be a list, got {type(values[key]).__name__}.")
                values[key] = tuple(values[key])
                if key.endswith("weights") and not all(isinstance(w, (int, float)) for w in values[key]):
                    raise PromptError(f"{key} of {source} must be numbers.")
        return cls(**values)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")


def names() -> list[str]:
    """Built-in sets, haze first."""
    found = sorted(path.stem for path in BUILT_IN.glob("*.json"))
    return sorted(found, key=lambda name: name != DEFAULT)


@cache
def get(name: str = DEFAULT) -> PromptSet:
    """A built-in set.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in names():
        raise UnknownNameError("prompt set", name, names())
    return load(BUILT_IN / f"{name}.json")


def load(source: str | Path) -> PromptSet:
    """A set by built-in name, from JSON, or learned (``.safetensors``).

    Raises:
        UnknownNameError: neither a built-in name nor a file.
        PromptError: the file is malformed.
    """
    path = Path(source)
    if path.suffix == ".safetensors" and path.is_file():
        from priors.learn import load as load_learned

        return load_learned(path)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise PromptError(f"{path} is not a prompt set: it is not text.") from None
        return PromptSet.from_json(text, source=str(path))
    if path.suffix in (".json", ".safetensors"):
        raise PromptError(f"There is no prompt set {path}.")
    return get(str(source))


def prompt_features(prior: ClipPrior, prompts: PromptSet) -> tuple[Tensor, Tensor]:
    """One feature per prompt: (positives, D) and (negatives, D), each the normalised mean over its templates."""
    import torch.nn.functional as F
    from torch import stack

    if prompts.learned:
        from priors.learn import context_features

        return context_features(prior, prompts)
    ends = (
        stack([prior.encode_text(prompts.sentences(text)).mean(0) for text in texts])
        for texts in (prompts.positives, prompts.negatives)
    )
    positive, negative = (F.normalize(end, dim=-1) for end in ends)
    return positive, negative


def end_features(prior: ClipPrior, prompts: PromptSet) -> Tensor:
    """(2,D): the positive and the negative end, each the normalised weighted mean of its prompts."""
    import torch.nn.functional as F
    from torch import stack

    ends = []
    weighted = (prompts.positive_weights, prompts.negative_weights)
    for features, weights in zip(prompt_features(prior, prompts), weighted, strict=True):
        scale = features.new_tensor(weights or (1.0,) * len(features))
        ends.append(F.normalize((features * scale[:, None]).sum(0), dim=-1))
    return stack(ends)


def _lines(texts: list[str]) -> tuple[str, ...]:
    return tuple(stripped for text in texts if (stripped := text.strip()))


def _check_text(text: object, what: str, limit: int) -> None:
    if not isinstance(text, str) or not text.strip():
        raise PromptError(f"Expected {what} to be text that is not empty, got {text!r}.")
    if len(text) > limit:
        raise PromptError(f"Expected {what} to have at most {limit} characters, got {len(text)}.")
