"""A tiny random CLIP in a folder, as open_clip would save it: 32 pixels, two layers, open_clip's own tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from images import Picture

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
PREPROCESS = {
    "size": [32, 32],
    "mode": "RGB",
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "squash",
    "fill_color": 0,
}


def write_clip(folder: Path, *, model: dict | None = None, preprocess: dict | None = None, seed: int = 0) -> Path:
    """Write configuration and weights; the same seed gives the same bytes."""
    torch.manual_seed(seed)
    config = model or MODEL
    network = open_clip.model.CLIP(**config)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": config, "preprocess_cfg": {**PREPROCESS, **(preprocess or {})}})
    (folder / "open_clip_config.json").write_text(text)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, str(folder / "open_clip_model.safetensors"))
    return folder


def picture(height: int = 48, width: int = 64, seed: int = 0, level: float = 0.5) -> Picture:
    """A random picture whose brightness is about ``level``."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 4, 5, generator=generator) * 0.4 + level - 0.2
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    pixels = (smooth[0].permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
    return Picture(pixels, f"{seed:064x}", f"picture-{seed}.png")
