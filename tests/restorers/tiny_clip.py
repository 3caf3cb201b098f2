"""A CLIP small enough for tests, as an open_clip folder with random weights."""

import json

import open_clip
import torch
from safetensors.torch import save_file


def write_tiny_clip(folder, width=12):
    """A two-layer tower on 32 pixels in patches of 8; returns its name for ``priors``."""
    config = {
        "embed_dim": width,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    }
    torch.manual_seed(3)
    model = open_clip.CLIP(**{**config, "vision_cfg": dict(config["vision_cfg"]), "text_cfg": dict(config["text_cfg"])})
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"
