"""Recipe: everything that decides what a training run does, in one YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from errors import SetError, UsageError, check_names
from hashing import sha256_of
from training.entries import number

LARGEST_SEED = 2**31 - 1
"""What is drawn in a step is seeded by the recipe's seed and the step, in 32 bits each."""

_LEAST = {
    "seed": 0,
    "steps": 1,
    "batch": 1,
    "final_learning_rate": 0,
    "warmup": 0,
    "weight_decay": 0,
    "muon": 0,
    "clip": 0,
    "ema": 0,
    "log_every": 1,
    "save_every": 1,
    "validate_every": 1,
    "sheet": 0,
}


@dataclass(frozen=True)
class Recipe:
    """One run. The same recipe, data and machine give the same weights.

    Attributes:
        name: What the weights will be called.
        task: Name of the training task (see ``training/task.py``).
        seed: Of every draw: start weights, pictures, crops, haze.
        steps: Optimiser steps.
        batch: Samples a step, over all processes together.
        learning_rate: At the start.
        final_learning_rate: Where the cosine ends.
        warmup: Steps over which the rate rises linearly to the start value.
        restarts: Steps at which the rate rises and falls anew, with the rate it rises to.
        weight_decay: Of matrices and kernels only; 0 is plain Adam.
        muon: Step from which matrices and kernels are stepped by Muon (``training/muon.py``) in place of AdamW; absent
            for never, 0 for the whole run.
        clip: Largest gradient norm; 0 leaves gradients alone.
        ema: Decay of the exponential moving average of the weights, which is what is validated and kept; 0 for none.
        precision: ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 where the machine has units for it.
        log_every: Steps between rows of the training log.
        save_every: Steps between saved states, from which a killed run resumes.
        validate_every: Steps between validations.
        sheet: Validation pictures on the sample sheet; 0 for none.
        network: ``architecture`` and its constructor arguments.
        data: What to train on; the task defines the keys.
        loss: Weights and options of the losses; the task defines the keys.
        validation: What to validate on; the task defines the keys.
        manifest: File name below the data root to its sha256: the run refuses other data.
        card: Fields for the card of published weights (title, summary, trained_on, licence), and ``validated_on``, what
            its figures were measured on.

    Raises:
        UsageError: A value is of another kind, or out of its range.
    """

    name: str
    task: str
    seed: int
    steps: int
    batch: int
    learning_rate: float
    final_learning_rate: float = 0.0
    warmup: int = 0
    restarts: Mapping[int, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    muon: int | None = None
    clip: float = 0.0
    ema: float = 0.999
    precision: str = "auto"
    log_every: int = 50
    save_every: int = 1000
    validate_every: int = 5000
    sheet: int = 4
    network: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in fields(self):
            self._check_type(kind.name, str(kind.type))
        try:  # JSON has text for keys, and YAML 1.1 for rates without a dot
            restarts = {int(step): number(rate, "restarts", above=0) for step, rate in self.restarts.items()}
        except (TypeError, ValueError) as error:
            raise UsageError(f"Recipe {self.name}: restarts are steps with their rates ({error}).") from error
        object.__setattr__(self, "restarts", restarts)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise UsageError(f"Recipe {self.name}: {name} is {value}; it has to be at least {least}.")
        number(self.learning_rate, "learning_rate", above=0)
        if self.ema >= 1:
            raise UsageError(f"Recipe {self.name}: ema is {self.ema:g}; it has to be below 1, or no weight would move.")
        if self.seed > LARGEST_SEED:
            raise UsageError(f"Recipe {self.name}: seed is {self.seed}; it has to be at most {LARGEST_SEED}.")
        for table in ("card", "manifest"):
            for key, value in getattr(self, table).items():
                if not isinstance(value, str):
                    raise UsageError(
                        f"Recipe {self.name}: {table}.{key} is {value!r}; it has to be text, so put it in quotes."
                    )
        if self.precision not in ("auto", "fp32", "bf16"):
            raise UsageError(f"Recipe {self.name}: precision is {self.precision!r}; use auto, fp32 or bf16.")

    def _check_type(self, name: str, kind: str) -> None:
        """Numbers may be written as YAML 1.1 does not know them: ``2e-4`` without a dot."""
        value = getattr(self, name)
        wanted = {"int": int, "float": float, "str": str, "int | None": int}.get(kind, Mapping)
        if value is None and kind == "int | None":
            return
        if wanted is float and isinstance(value, (int, str)) and not isinstance(value, bool):
            with suppress(ValueError):
                value = float(value)
                object.__setattr__(self, name, value)
        if not isinstance(value, wanted) or isinstance(value, bool):
            what = {int: "a whole number", float: "a number", str: "text"}.get(wanted, "a table")
            raise UsageError(f"Recipe {self.name}: {name} is {value!r}; it has to be {what}.")

    def to_yaml(self) -> str:
        """The recipe as it would be written by hand."""
        return yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)


def load_recipe(path: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: The YAML file.
        changes: Values that replace the file's; dots reach inside (``{"loss.contrastive": 0}``).

    Raises:
        UsageError: The file is missing, malformed, or has keys that mean nothing.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no recipe {str(path)!r}; see training/recipes/.") from error
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"Recipe {path.name} cannot be read ({error}).") from error
    if not isinstance(values, dict):
        raise UsageError(f"Recipe {path.name} is not a table of names and values; see training/recipes/.")
    for key, value in (changes or {}).items():
        inner, parts = values, key.split(".")
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"Cannot set {key}: {part} is a value, not a table.")
        inner[parts[-1]] = value
    known = [f.name for f in fields(Recipe)]
    check_names("recipe entry", values, known)
    try:
        return Recipe(**values)
    except TypeError as error:
        raise UsageError(f"Recipe {path.name} is not complete ({error}).") from error


def check_manifest(recipe: Recipe, root: Path) -> Recipe:
    """Compare the data with the recipe's manifest; a recipe without one gets the hashes of what is there.

    Raises:
        SetError: A file is missing or is not the one the recipe was written for.
    """
    found = {name: data_sha256(root / name) for name in recipe.manifest}
    for name, digest in found.items():
        if recipe.manifest[name] not in ("", digest):
            raise SetError(
                f"{name} is not the file this recipe was written for (sha256 {digest[:12]} instead of "
                f"{recipe.manifest[name][:12]}); use that file, or empty the hash in the recipe to train on yours."
            )
    return replace(recipe, manifest=found)


def data_sha256(path: Path) -> str:
    """Hash of a file of training data, in hex.

    Raises:
        SetError: It is not there.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise SetError(f"Training data {path} is missing; point --data at the folder that holds it.") from error
