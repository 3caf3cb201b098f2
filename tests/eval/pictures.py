"""Small pictures for tests, and sets of them in every layout."""

from __future__ import annotations

import csv
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from images import encode_picture, write_picture


def picture(seed: int, height: int = 104, width: int = 112) -> np.ndarray:
    """Smooth structure plus texture, uint8 (H, W, 3): enough for NIQE to have sharp blocks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 16
    waves = 128 + 60 * np.sin(y * rng.uniform(0.5, 2) + x * rng.uniform(0.5, 2))
    noise = rng.normal(0, 18, (height, width, 3))
    return np.clip(waves[..., None] + noise, 0, 255).astype(np.uint8)


def degraded(clear: np.ndarray, seed: int) -> np.ndarray:
    """Haze of constant transmission, and a little noise."""
    rng = np.random.default_rng(seed + 1000)
    hazy = 0.6 * clear + 0.4 * 230 + rng.normal(0, 2, clear.shape)
    return np.clip(hazy, 0, 255).astype(np.uint8)


def files(count: int = 4) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Encoded inputs and references by name, ``0001.png`` on."""
    inputs, references = {}, {}
    for index in range(1, count + 1):
        clear = picture(index)
        references[f"{index:04d}.png"] = encode_picture(clear)
        inputs[f"{index:04d}.png"] = encode_picture(degraded(clear, index))
    return inputs, references


def write_folders(root: Path, count: int = 4, inputs: str = "hazy", references: str = "clear") -> tuple[Path, Path]:
    """The set as two folders."""
    for folder, content in zip((inputs, references), files(count), strict=True):
        for name, data in content.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / name).write_bytes(data)
    return root / inputs, root / references


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    """A zip with these members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, content: dict[str, bytes], mode: str = "w") -> Path:
    """A tar with these members."""
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_csv(path: Path, heads: list[str], lines: list[list[str]]) -> Path:
    """A table."""
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([heads, *lines])
    return path


def write_noise(path: Path, height: int, width: int, seed: int = 0) -> Path:
    """A picture of noise."""
    write_picture(path, np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    return path
