"""Pictures that tests score: noise, smooth scenes, and the pairs kept beside the project when they are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[4] / "shared"


def shared(path: str) -> Path:
    """A file or folder beside the project; the test is skipped, and says so, where it is absent."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs ../shared/{path}")
    return found


def load(path: str) -> np.ndarray:
    """A picture beside the project as uint8 RGB."""
    return np.asarray(Image.open(shared(path)).convert("RGB"))


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """White noise over the whole range."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Something with the statistics of a photograph: smooth shading, edges and texture at several scales."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.zeros((height, width, 3))
    for octave in range(6):
        step = 2**octave
        cells = rng.normal(size=(height // step + 2, width // step + 2, 3))
        image += cells[rows // step, columns // step] * step**0.8
    image += 25 * (rows + columns > rng.integers(height // 2, height))[..., None]
    return np.clip(np.rint(128 + 60 * (image - image.mean()) / image.std() / 1.5), 0, 255).astype(np.uint8)


def disturbed(image: np.ndarray, amount: float, seed: int = 0) -> np.ndarray:
    """The picture with Gaussian noise."""
    noisy = image + np.random.default_rng(seed).normal(0, amount, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
