"""Small stand-ins for the training tars: a few coloured scenes with a depth ramp."""

import io
import tarfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import squeezenet1_0

from training.losses.features import SQUEEZENET_FILE


def add(archive, name, pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    info = tarfile.TarInfo(name)
    info.size = stream.tell()
    stream.seek(0)
    archive.addfile(info, stream)


def scene(index, side=72):
    rng = np.random.default_rng(index)
    blocks = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    picture = np.kron(blocks, np.ones((side // 3, side // 3, 1), np.uint8))
    depth = np.tile(np.linspace(40, 230, side // 2).astype(np.uint8), (side // 2, 1))
    return picture, np.roll(depth, index, 1)


def write_nyu(root, training=4, validation=2):
    """Tars of scenes 0.. and 1349.., the names that the real ones use."""
    numbers = [*range(training), *range(1349, 1349 + validation)]
    with tarfile.open(root / "nyu_images.tar", "w") as images, tarfile.open(root / "nyu_depth.tar", "w") as depths:
        for number in numbers:
            picture, depth = scene(number)
            add(images, f"nyu_images/{number:04d}.png", picture)
            add(depths, f"nyu_depth/{number:04d}.png", depth)
    return root


def write_photographs(root, pictures):
    """The tar of photographs; the last 80 are held out."""
    with tarfile.open(root / "bsds400.tar", "w") as archive:
        for number, picture in enumerate(pictures):
            add(archive, f"bsds400/{number:05d}.png", picture)


def write_squeezenet(root):
    """SqueezeNet's feature layers with random weights, in the file that training looks for."""
    torch.manual_seed(0)
    tensors = {f"features.{key}": value.half() for key, value in squeezenet1_0().features.state_dict().items()}
    save_file(tensors, root / SQUEEZENET_FILE)


def recipe(**changes):
    """A recipe that trains in seconds."""
    values = {
        "name": "toy",
        "task": "dehaze",
        "seed": 5,
        "steps": 8,
        "batch": 4,
        "learning_rate": 2e-3,
        "ema": 0.9,
        "clip": 1.0,
        "precision": "fp32",
        "log_every": 2,
        "save_every": 3,
        "validate_every": 8,
        "sheet": 2,
        "network": {"architecture": "aecr_net", "width": 8, "attention_uses": 1, "deformable_uses": 1},
        "data": {"crop": 32, "sources": {"nyu": {"haze": {"beta": [0.6, 1.8], "airlight": [0.7, 1.0]}}}},
        "loss": {"l1": 1.0, "contrastive": 0.1, "features": "squeezenet"},
        "validation": {"source": "nyu", "pairs": 2},
        "manifest": {"nyu_images.tar": "", "nyu_depth.tar": ""},
    }
    values.update(changes)
    return values
