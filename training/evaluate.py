"""Evaluate a run or an embedded method: its weights, as published, on every validation pair."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml

from devices import choose_device
from errors import SetError, UsageError, WeightsError
from hashing import sha256_of
from restorers.base import flush_denormals, load_weights
from restorers.networks import WEIGHTS
from training.recipe import Recipe, check_manifest, load_recipe
from training.restorer_task import WEIGHTS_FILE, RestorerTask
from training.task import create_task, task_type
from training.validate import quick_selection, validate


def evaluate(
    run: Path,
    root: Path,
    cache: Path,
    *,
    device: str = "auto",
    limit: int | None = None,
    output: Path | None = None,
    assets: Path = WEIGHTS,
) -> dict[str, Any]:
    """Measure weights on the validation pairs of the recipe that they were trained by.

    Args:
        run: Folder of a run, or the name of an embedded method.
        root: Folder of the data.
        cache: Folder of packed data.
        device: ``auto``, ``cpu`` or ``cuda``.
        limit: At most so many pairs, drawn from all.
        output: Where ``evaluation.json`` and ``evaluation.csv`` are written; default: the run's folder. Figures of an
            embedded method are written nowhere else.
        assets: Folder of embedded weights.

    Returns:
        Means, with what they were measured on.

    Raises:
        UnveilError: The run, its weights or the data are not there.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}; it has to be a number of pairs, at least 1.")
    flush_denormals()
    recipe, weights, digest = _measured(run, assets)
    output = output or (run if run.is_dir() else None)
    recipe = check_manifest(recipe, root)
    task = create_task(recipe)
    task.prepare(root, cache)
    load_weights(task.model, weights)
    where = choose_device(device)
    model = task.model.to(where).eval()
    pairs = list(task.validation(full=True))
    if limit is not None:
        pairs = quick_selection(pairs, limit)
    if not pairs:
        raise SetError("There are no validation pairs; check the recipe's validation and --data.")
    rows = [{"image": pair.name, **validate(model, pair, where, task.protocol)} for pair in pairs]
    figures: dict[str, Any] = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0] if key != "image"}
    figures |= {
        "pairs": len(rows),
        "limit": limit,
        "dataset": str(recipe.card.get("validated_on", f"{recipe.name} validation")),
        "protocol": task.protocol,
        "weights_sha256": digest,
    }
    if output is not None:
        _write(output, rows, figures)
    return figures


def _measured(run: Path, assets: Path) -> tuple[Recipe, Path, str]:
    """Recipe, weight file and its sha256: of a run's folder, or else of the embedded method of that name."""
    if run.is_dir():
        recipe, weights = load_recipe(run / "recipe.yaml"), run / WEIGHTS_FILE
        if not issubclass(task_type(recipe.task), RestorerTask):
            raise UsageError(f"{recipe.name} restores nothing; its run's figures are in {run / 'validation.csv'}.")
        if not weights.is_file():
            raise WeightsError(f"There is no weight file {str(weights)!r}; train the run to its end first.")
        return recipe, weights, sha256_of(weights)
    description = assets / f"{run}.json"
    if run.name != str(run) or not description.is_file():
        raise UsageError(f"{str(run)!r} is neither the folder of a run nor an embedded method; check the path.")
    try:
        facts = json.loads(description.read_text(encoding="utf-8"))
        recipe = Recipe(**yaml.safe_load(facts["recipe"]))
        weights, expected = assets / facts["card"]["weights"], facts["card"]["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise WeightsError(f"{description.name} is damaged ({error}); check it out again.") from error
    if not weights.is_file() or (digest := sha256_of(weights)) != expected:
        raise WeightsError(
            f"{weights.name} is missing or is not what {description.name} describes; check it out again."
        )
    return recipe, weights, digest


def _write(folder: Path, rows: list[dict[str, Any]], figures: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "evaluation.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
