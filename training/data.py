"""Photographs for training: tars and folders in, packed uint8 arrays and crops out.

Decoding JPEGs in every epoch would cost more than a step of a small network, so pictures are decoded once, reduced,
and packed into one flat array per pool (``PicturePool``), which maps from disk. The expected tars are those of the
NYUv2 labelled scenes (pictures and 8-bit depth), a multi-exposure set, and the BSDS500 photographs without ``val``;
folders of one's own are packed by ``open_folder``. Pairs that exist as pictures (RESIDE, data sets of the Hub) are left
where they are and decoded when they are drawn.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from errors import SetError
from eval.pairing import Pair
from eval.sets import open_set
from images import is_picture_name, list_pictures, read_picture, to_pixels
from training.recipe import data_sha256

NYU_SCENES = 1399
NYU_VALIDATION = range(1349, NYU_SCENES)
"""Kept out of every training run; scenes 1399 and up are RESIDE's SOTS and are not in the tars at all."""
NYU_STRIDE = 4
"""Every fourth scene is enough where variety counts; neighbours are often the same room."""

BSDS_VALIDATION = 80
MULTI_EXPOSURE_VALIDATION = 15
WELL_EXPOSED_LUMA = 118.0

MANY_FILES = 8
"""A pool made from more files has one hash of all of theirs in its name."""


def tar_pictures(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (member name, (H,W,3) or (H,W) uint8) for every picture of a tar, in name order.

    Raises:
        SetError: the tar is not there.
    """
    if not path.is_file():
        raise SetError(f"Training data {path} is missing; point --data at the folder that holds the tars.")
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            stream = archive.extractfile(member) if member.isfile() and is_picture_name(member.name) else None
            if stream is not None:
                with Image.open(io.BytesIO(stream.read())) as picture:
                    yield member.name, np.array(picture if picture.mode == "L" else picture.convert("RGB"))


def nyu(root: Path, *, validation: bool = False) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (scene, picture (480,640,3) uint8, depth (240,320) uint8) of the training or the validation scenes."""
    pairs = zip(tar_pictures(root / "nyu_images.tar"), tar_pictures(root / "nyu_depth.tar"), strict=True)
    for (name, picture), (depth_name, depth) in pairs:
        scene = int(Path(name).stem)
        if scene != int(Path(depth_name).stem):
            raise SetError(f"NYU tars do not match: picture {name} came with depth {depth_name}.")
        if (scene in NYU_VALIDATION) == validation:
            yield scene, picture, depth


def bsds(root: Path, *, validation: bool = False) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, picture) of the photographs; the last 80 by name are the validation part."""
    pictures = list(tar_pictures(root / "bsds400.tar"))
    yield from pictures[-BSDS_VALIDATION:] if validation else pictures[:-BSDS_VALIDATION]


def multi_exposure(root: Path, *, validation: bool = False) -> Iterator[tuple[str, float, bool, np.ndarray]]:
    """Yield (name, mean luma, is the scene's best exposed, picture); the last 15 scenes are the validation part."""
    path = root / "multi_exposure.tar"
    pictures = dict(tar_pictures(path))
    scenes = sorted({Path(name).parent.name for name in pictures})
    held_out = set(scenes[-MULTI_EXPOSURE_VALIDATION:])
    luma = {name: float(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).mean()) for name, p in pictures.items()}
    for scene in scenes:
        if (scene in held_out) != validation:
            continue
        names = [name for name in pictures if Path(name).parent.name == scene]
        best = min(names, key=lambda name: abs(luma[name] - WELL_EXPOSED_LUMA))
        for name in names:
            yield name, luma[name], name == best, pictures[name]


def pairs_at(root: Path, place: str) -> tuple[Pair, ...]:
    """Degraded and clear pictures that belong together.

    Args:
        root: Folder that relative places start from.
        place: ``hf://datasets/ORG/NAME[@REVISION][/FOLDER]``, or a path: a folder in RESIDE's layout (``hazy`` beside
            ``clear`` or ``gt``, whatever else lies there), or any other set that :func:`eval.sets.open_set` can pair.
            A data set of the Hub is downloaded once; name a revision, so that the recipe says what was trained on.

    Raises:
        SetError: There is no such place, or its pictures do not pair.
        UsageError: The address is malformed.
    """
    if place.startswith("hf://"):
        opened = open_set(place)
    else:
        path = root / place
        sides = [path / name for name in ("clear", "gt", "GT")] if (path / "hazy").is_dir() else []
        clear = next((side for side in sides if side.is_dir()), None)
        opened = open_set(path) if clear is None else open_set(path / "hazy", clear)
    if not opened.has_references:
        raise SetError(
            f"{place} does not say which clear picture belongs to which hazy one; lay it out as hazy/ and clear/ (or "
            "gt/), or give two folders with the data source 'folders'."
        )
    return opened.pairs


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8, also mirrored, turned or mapped from disk, to (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().div_(255)


def reduce_picture(picture: np.ndarray, short: int) -> np.ndarray:
    """Area-average a picture or map so that its short side is ``short``; smaller ones are left alone."""
    height, width = picture.shape[:2]
    scale = short / min(height, width)
    if scale >= 1:
        return np.ascontiguousarray(picture)
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, eq=False)
class PicturePool:
    """Pictures of different sizes in one flat uint8 array that maps from disk.

    Attributes:
        flat: every array's bytes, one after another.
        shapes: shape of each array.
        offsets: where each array starts; one more entry than ``shapes``.
        facts: one JSON-able record per array (name, source, luma, ...).
    """

    flat: np.ndarray
    shapes: tuple[tuple[int, ...], ...]
    offsets: np.ndarray
    facts: tuple[dict, ...]

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> np.ndarray:
        start, stop = self.offsets[index], self.offsets[index + 1]
        return self.flat[start:stop].reshape(self.shapes[index])

    @classmethod
    def build(cls, arrays: Iterable[tuple[np.ndarray, dict]]) -> PicturePool:
        """Pack (uint8 array, facts) pairs."""
        pieces, shapes, facts = [], [], []
        for array, fact in arrays:
            pieces.append(np.ascontiguousarray(array, dtype=np.uint8).ravel())
            shapes.append(array.shape)
            facts.append(fact)
        offsets = np.concatenate([[0], np.cumsum([p.size for p in pieces], dtype=np.int64)])
        return cls(np.concatenate(pieces) if pieces else np.zeros(0, np.uint8), tuple(shapes), offsets, tuple(facts))

    def save(self, stem: Path) -> None:
        """Write ``stem.npy`` and ``stem.json``; the JSON last, so a half-written pool is never opened."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        np.save(stem.with_suffix(".npy"), self.flat)
        stem.with_suffix(".json").write_text(json.dumps({"shapes": self.shapes, "facts": self.facts}))

    @classmethod
    def open(cls, stem: Path) -> PicturePool:
        """Map a saved pool."""
        header = json.loads(stem.with_suffix(".json").read_text())
        shapes = tuple(tuple(shape) for shape in header["shapes"])
        offsets = np.concatenate([[0], np.cumsum([np.prod(s, dtype=np.int64) for s in shapes])])
        return cls(np.load(stem.with_suffix(".npy"), mmap_mode="r"), shapes, offsets, tuple(header["facts"]))


def packed(
    cache: Path,
    name: str,
    files: Sequence[Path],
    make: Callable[[], Iterable[tuple[Any, ...]]],
    parts: Sequence[str] = (),
) -> tuple[PicturePool, ...]:
    """Open packed pools, packing them on first use.

    A pool's name carries the hashes of the files it was made from, so one cache serves any number of data roots.

    Args:
        cache: Folder of packed pools.
        name: What is packed, and how.
        files: What it is packed from.
        make: Gives one array for each pool and the facts that they share, entry by entry.
        parts: What distinguishes the pools where there are several.

    Returns:
        One pool for each part; a single one without parts.

    Raises:
        SetError: A file is not there.
    """
    stamp = "-".join(data_sha256(file)[:8] for file in files)
    if len(files) > MANY_FILES:
        stamp = hashlib.sha256(stamp.encode()).hexdigest()[:16]
    stems = [cache / "-".join((name, stamp, part)) for part in parts] or [cache / f"{name}-{stamp}"]
    if not all(stem.with_suffix(".json").exists() for stem in stems):
        pools: list[list[tuple[np.ndarray, dict]]] = [[] for _ in stems]
        for *arrays, facts in make():
            for pool, array in zip(pools, arrays, strict=True):
                pool.append((array, facts))
        for stem, pool in zip(stems, pools, strict=True):
            PicturePool.build(pool).save(stem)
    return tuple(PicturePool.open(stem) for stem in stems)


def open_folder(folder: Path, cache: Path, short: int | None = None) -> PicturePool:
    """Pictures of one's own, packed: (H, W, 3) uint8, in the order of their names.

    Args:
        folder: Where they are, at any depth.
        cache: Folder of packed pools.
        short: Larger pictures are reduced to this short side; None leaves them as they are.

    Raises:
        SetError: There are none.
        ImageError: There is no such folder, or a picture cannot be read.
    """
    files = list_pictures(folder)
    if not files:
        raise SetError(f"There are no pictures in {folder}; name a folder below --data that has some.")

    def pictures() -> Iterator[tuple[np.ndarray, dict[str, str]]]:
        for file in files:
            picture = to_pixels(read_picture(file).to_tensor())
            yield reduce_picture(picture, short or min(picture.shape[:2])), {"name": file.stem}

    return packed(cache, f"pictures-{short or 'full'}", files, pictures)[0]


def crop_box(
    height: int, width: int, aspect: float, scale: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a crop (top, left, height, width) of width/height ``aspect`` and ``scale`` of the largest such size."""
    crop_height = min(height, width / aspect) * scale
    crop_width = min(width, round(crop_height * aspect))
    crop_height = min(height, round(crop_height))
    top = int(rng.integers(0, height - crop_height + 1))
    left = int(rng.integers(0, width - crop_width + 1))
    return top, left, crop_height, int(crop_width)


def take(
    array: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int], flip: bool, mode: int | None = None
) -> np.ndarray:
    """Cut a box (top, left, height, width), in pixels, and resize it to (height, width); ``flip`` mirrors it.

    The mode is OpenCV's; None averages where the box is reduced and interpolates where it is enlarged.
    """
    top, left, height, width = box
    cut = array[top : top + height, left : left + width]
    if mode is None:
        mode = cv2.INTER_AREA if height >= size[0] else cv2.INTER_LINEAR
    cut = cv2.resize(cut, (size[1], size[0]), interpolation=mode)
    return cut[:, ::-1] if flip else cut


def random_square(
    pictures: Sequence[np.ndarray], size: int, least: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """The same square of pictures that show the same, reduced to ``size`` and perhaps mirrored.

    Args:
        pictures: (H, W, 3) uint8 of one size; colours are averaged. A fourth channel holds labels, the nearest pixel's.
        size: In pixels.
        least: Smallest share of the short side that the square has; it has at least ``size`` pixels.
        rng: Source of randomness.
    """
    height, width = pictures[0].shape[:2]
    short = min(height, width)
    side = int(rng.integers(max(min(size, short), round(least * short)), short + 1))
    top, left = (int(rng.integers(0, length - side + 1)) for length in (height, width))
    box, flip = (top, left, side, side), bool(rng.random() < 0.5)
    squares = []
    for picture in pictures:
        square = take(np.ascontiguousarray(picture[..., :3]), box, (size, size), flip)
        if picture.shape[2] == 4:
            labels = take(np.ascontiguousarray(picture[..., 3]), box, (size, size), flip, cv2.INTER_NEAREST)
            square = np.dstack((square, labels))
        squares.append(square)
    return squares
