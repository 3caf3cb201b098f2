"""Evaluate a run: its weights, as they would be published, on every validation pair."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch

from errors import SetError
from restorers.base import flush_denormals, load_weights
from training.recipe import check_manifest, file_sha256, load_recipe
from training.task import create_task
from training.validate import some, validate


def evaluate(run: Path, root: Path, cache: Path, *, device: str = "auto", limit: int | None = None) -> dict[str, Any]:
    """Measure ``run/weights.safetensors`` and write ``evaluation.json`` and ``evaluation.csv`` beside it.

    Args:
        run: Folder of a run.
        root: Folder of the data.
        cache: Folder of packed data.
        device: ``auto``, ``cpu`` or ``cuda``.
        limit: At most so many pairs, drawn from all.

    Returns:
        Means, with what they were measured on.

    Raises:
        HubError: The run, its weights or the data are not there.
    """
    flush_denormals()
    recipe = check_manifest(load_recipe(run / "recipe.yaml"), root)
    task = create_task(recipe)
    task.prepare(root, cache)
    load_weights(task.model, run / "weights.safetensors")
    where = torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")
    model = task.model.to(where).eval()
    pairs = list(task.validation(full=True))
    if limit is not None:
        pairs = some(pairs, limit)
    if not pairs:
        raise SetError("There are no validation pairs; check the recipe's validation and --data.")
    rows = [{"image": pair.name, **validate(model, pair, where, task.protocol)} for pair in pairs]
    with (run / "evaluation.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    figures: dict[str, Any] = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0] if key != "image"}
    figures |= {
        "pairs": len(rows),
        "limit": limit,
        "dataset": str(recipe.card.get("validated_on", f"{recipe.name} validation")),
        "protocol": task.protocol,
        "weights_sha256": file_sha256(run / "weights.safetensors"),
    }
    (run / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures
