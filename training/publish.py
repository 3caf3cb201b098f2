"""Publish a run: its weights become an embedded method, with a description from which its card is made."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from errors import UsageError, WeightsError
from hashing import sha256_of
from restorers.base import count_parameters
from restorers.classical import entries
from restorers.networks import architecture, card_of, create_embedded
from restorers.registry import check_name
from training.recipe import load_recipe
from training.restorer_task import WEIGHTS_FILE

LARGEST = 12_000_000
"""Bytes that an embedded weight file may have."""

_CARD_FIELDS = ("title", "summary", "trained_on", "licence")


def publish(run: Path, folder: Path, *, name: str | None = None) -> dict[str, Any]:
    """Copy the weights, load the copy once to be sure, and give it its name together with ``NAME.json``.

    Args:
        run: Folder of a run with ``evaluation.json``.
        folder: Where embedded weights live.
        name: Of the method; default: the recipe's.

    Raises:
        UsageError: No method can have this name.
        WeightsError: The run was not evaluated, its weights changed since, are too large or do not fit. What was
            published under this name before is then left as it was.
    """
    weights, evaluation = run / WEIGHTS_FILE, run / "evaluation.json"
    if not weights.is_file() or not evaluation.is_file():
        raise WeightsError(f"{run} has no measured weights; run 'python -m training evaluate {run} --data ROOT' first.")
    recipe = load_recipe(run / "recipe.yaml")
    name = name or recipe.name
    _check_name(name)
    figures = json.loads(evaluation.read_text(encoding="utf-8"))
    digest = sha256_of(weights)
    if figures["weights_sha256"] != digest:
        raise WeightsError(
            f"{weights} changed after it was measured; run 'python -m training evaluate {run} --data ROOT' again."
        )
    if weights.stat().st_size > LARGEST:
        raise WeightsError(f"{weights} has {weights.stat().st_size / 1e6:.1f} MB; embedded files have at most 12 MB.")
    options = dict(recipe.network)
    arch = str(options.pop("architecture"))
    model = architecture(arch).load()(**options)
    with safe_open(weights, "pt") as file:
        step = int(file.metadata()["step"])
    limit = f" --limit {figures['limit']}" if figures.get("limit") else ""
    command = f"python -m training evaluate {name} --data ROOT{limit}"
    facts: dict[str, Any] = {
        "architecture": arch,
        "config": options,
        "card": {
            **{key: value for key, value in recipe.card.items() if key in _CARD_FIELDS},
            "name": name,
            "task": model.card.task,
            "parameters": count_parameters(model),
            "scale": model.card.scale,
            "size_multiple": model.card.size_multiple,
            "min_size": model.card.min_size,
            "tiling": model.card.tiling,
            "receptive_field": model.card.receptive_field,
            "weights": f"{name}.safetensors",
            "weights_sha256": digest,
            "figures": [
                {
                    "dataset": f"{figures['dataset']} ({figures['pairs']} pairs)",
                    "protocol": figures["protocol"],
                    "metric": metric,
                    "value": round(figures[metric], 4),
                    "command": command,
                }
                for metric in ("psnr", "ssim")
            ],
        },
        "steps": step,
        "recipe": recipe.to_yaml(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    card = card_of(facts)
    weights_part, facts_part = folder / f"{name}.safetensors.part", folder / f"{name}.json.part"
    try:
        shutil.copyfile(weights, weights_part)
        create_embedded(replace(card, weights=weights_part.name), facts, folder)
        facts_part.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        weights_part.replace(folder / f"{name}.safetensors")
        facts_part.replace(folder / f"{name}.json")
    finally:
        weights_part.unlink(missing_ok=True)
        facts_part.unlink(missing_ok=True)
    return facts


def _check_name(name: str) -> None:
    others = [card.name for card, _ in entries()]
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(
            f"No method can be called {name!r}; use lower case without spaces, '=', ',' and '/', with --name."
        ) from error
    if name in others:
        raise UsageError(f"{name!r} is a method without weights already; choose another one with --name.")
