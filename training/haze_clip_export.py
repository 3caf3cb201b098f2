"""The haze CLIP as the folder that any open_clip loads: configuration, half-precision weights, manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml
from safetensors.torch import save_file
from torch import nn

from hashing import sha256_of
from priors.sources import CONFIG, WEIGHTS
from training.haze_clip_model import MEAN, STD, Words
from training.recipe import Recipe


def export(
    folder: Path, model: nn.Module, words: Words, recipe: Recipe, step: int, figures: Mapping[str, float]
) -> None:
    """Write ``open_clip_config.json``, ``open_clip_model.safetensors`` and ``manifest.json``, all or none.

    Args:
        folder: Where to; replaced if it is there.
        model: The network, over ``words``.
        words: What turns its compact vocabulary into CLIP's.
        recipe: Of the run.
        step: How many steps were taken.
        figures: Of the validation.
    """
    state = {key: value.half().cpu().contiguous() for key, value in model.state_dict().items()}
    state["token_embedding.weight"] = words.expand(state["token_embedding.weight"])
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    save_file(state, part / WEIGHTS, {"format": "pt"})
    network = dict(recipe.network)
    preprocess = {
        "size": [network["vision_cfg"]["image_size"]] * 2, "mode": "RGB", "mean": list(MEAN), "std": list(STD),
        "interpolation": "bicubic", "resize_mode": "squash", "fill_color": 0,
    }  # fmt: skip
    _write_json(part / CONFIG, {"model_cfg": network, "preprocess_cfg": preprocess})
    manifest = {
        "sha256": {name: sha256_of(part / name) for name in (CONFIG, WEIGHTS)},
        "parameters": sum(value.numel() for value in state.values()),
        "trained_on": recipe.card.get("trained_on", ""),
        "steps": step,
        "recipe": yaml.safe_load(recipe.to_yaml()),
        "validation": {"step": step, **{name: round(value, 6) for name, value in figures.items()}},
    }
    _write_json(part / "manifest.json", manifest)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _write_json(path: Path, record: Mapping[str, object]) -> None:
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
