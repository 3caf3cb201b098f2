"""From a run's checkpoint to the folder that any open_clip loads: configuration, half-precision weights, manifest.

Run: ``python -m training.haze_clip_export runs/haze_clip training/recipes/haze_clip.yaml``
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from priors.sources import CONFIG, EMBEDDED, WEIGHTS, hash_file
from training.haze_clip import MEAN, STD, Recipe, Words

TRAINED_ON = (
    "NYUv2 labelled scenes 0000-1348 with true depth, 320 BSDS500 photographs with drawn depth fields, "
    "132 multi-exposure scenes; all degradations synthetic except the exposure series"
)


def export(run: Path, recipe_path: Path, folder: Path) -> None:
    """Write ``open_clip_config.json``, ``open_clip_model.safetensors`` and ``manifest.json``.

    Args:
        run: folder with ``last.pt`` and ``validation.csv``.
        recipe_path: the recipe of that run.
        folder: where to; existing files are replaced.
    """
    recipe = Recipe.load(recipe_path)
    saved = torch.load(run / "last.pt", weights_only=True)
    state = dict(saved["average"])
    state["token_embedding.weight"] = Words(recipe.model["text_cfg"]["context_length"]).expand(
        state["token_embedding.weight"]
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in state.items()}, str(folder / WEIGHTS), {"format": "pt"})
    preprocess = {
        "size": [recipe.model["vision_cfg"]["image_size"]] * 2, "mode": "RGB", "mean": list(MEAN), "std": list(STD),
        "interpolation": "bicubic", "resize_mode": "squash", "fill_color": 0,
    }  # fmt: skip
    config = {"model_cfg": recipe.model, "preprocess_cfg": preprocess}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    manifest = {
        "sha256": {name: hash_file(folder / name) for name in (CONFIG, WEIGHTS)},
        "parameters": sum(v.numel() for v in state.values()),
        "trained_on": TRAINED_ON,
        "steps": saved["step"],
        "recipe": yaml.safe_load(recipe_path.read_text()),
        "validation": last_row(run / "validation.csv"),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def last_row(path: Path) -> dict[str, Any]:
    """The last row of a CSV of numbers."""
    with path.open(newline="") as stream:
        return {name: float(value) for name, value in list(csv.DictReader(stream))[-1].items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--output", type=Path, default=EMBEDDED)
    arguments = parser.parse_args()
    export(arguments.run, arguments.recipe, arguments.output)


if __name__ == "__main__":
    main()
