"""Make the example pictures in ``assets/examples`` from public-domain photographs.

Two steps, both deterministic:

1. ``--originals DIR`` (rarely needed) cuts the clear photographs out of their originals. The originals are
   named in ``assets/examples/SOURCES.md``; the cut photographs are committed, so this step needs no network.
2. The clear photographs are degraded. Haze follows the atmospheric scattering model
   ``I = J t + A (1 - t)``, ``t = exp(-beta d)``, in linear light, with a depth field laid out by hand for each
   picture (ground plane, background, subject), its subject outlined by GrabCut and its edges pulled to the
   photograph by a guided filter; some pictures get fractal, non-homogeneous haze. Low light is a lower exposure
   in linear light with shot and read noise. Everything is seeded: the same machine writes the same bytes.

Run ``python scripts/make_examples.py``; then look at every picture (``--sheet FILE`` writes them side by side).
"""

from __future__ import annotations

import argparse
import bz2
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent / "assets" / "examples"
JPEG_QUALITY = 93
Array = np.ndarray


@dataclass(frozen=True)
class Haze:
    """How one photograph is fogged.

    Attributes:
        photograph: stem of the clear picture.
        beta: scattering coefficient; depth is in arbitrary units where the subject is near 1.
        airlight: linear-light RGB of the haze.
        depth: builds the depth field (H, W) from the picture's height, width and clear pixels.
        patchiness: 0 = homogeneous, up to 1 = strongly non-homogeneous (fractal) haze.
    """

    photograph: str
    beta: float
    airlight: tuple[float, float, float]
    depth: Callable[[Array], Array]
    patchiness: float = 0.0


@dataclass(frozen=True)
class LowLight:
    """How one photograph is darkened: exposure in linear light, then shot and read noise."""

    photograph: str
    exposure: float
    shot: float = 0.0012
    read: float = 0.003


# ---------------------------------------------------------------------------------------------- small parts


def to_linear(srgb: Array) -> Array:
    """Gamma-coded sRGB uint8 (H, W, 3) to linear light in [0, 1] (IEC 61966-2-1)."""
    value = srgb.astype(np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Array) -> Array:
    """Linear light to sRGB uint8."""
    value = np.clip(linear, 0, 1)
    value = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)


def grid(picture: Array) -> tuple[Array, Array]:
    """Row and column coordinates in [0, 1], row 0 at the top."""
    height, width = picture.shape[:2]
    return np.mgrid[0:height, 0:width][0] / (height - 1), np.mgrid[0:height, 0:width][1] / (width - 1)


def guided(guide: Array, field: Array, radius: int = 12, epsilon: float = 2e-4) -> Array:
    """Guided filter (He, Sun, Tang 2010) of ``field`` with a grey guide in [0, 1]."""

    def box(x: Array) -> Array:
        return cv2.boxFilter(x, -1, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_field = box(guide), box(field)
    slope = (box(guide * field) - mean_guide * mean_field) / (box(guide * guide) - mean_guide**2 + epsilon)
    return box(slope) * guide + box(mean_field - slope * mean_guide)


def subject(picture: Array, sure: list[tuple[float, ...]], maybe: list[tuple[float, ...]]) -> Array:
    """Soft outline in [0, 1] of the subject: GrabCut from hand-laid ellipses (cx, cy, rx, ry as fractions)."""
    height, width = picture.shape[:2]
    mask = np.full((height, width), cv2.GC_BGD, np.uint8)
    for label, ellipses in ((cv2.GC_PR_FGD, maybe), (cv2.GC_FGD, sure)):
        for cx, cy, rx, ry in ellipses:
            centre, axes = (int(cx * width), int(cy * height)), (int(rx * width), int(ry * height))
            cv2.ellipse(mask, centre, axes, 0, 0, 360, int(label), -1)
    cv2.setRNGSeed(7)
    work = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(picture[..., ::-1]), mask, None, *work, 6, cv2.GC_INIT_WITH_MASK)
    outline = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    outline = cv2.morphologyEx(outline, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    outline = cv2.morphologyEx(outline, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(np.float64)
    return np.clip(guided(grey(picture), outline, radius=6), 0, 1)


def grey(picture: Array) -> Array:
    """Luma in [0, 1]."""
    return picture.astype(np.float64) @ (0.299, 0.587, 0.114) / 255


def ground_plane(rows: Array, horizon: float, near: float, far: float) -> Array:
    """Depth of a flat ground seen by an upright camera: ``near`` at the bottom row, 1/(row - horizon) above."""
    below = np.maximum(rows - horizon, near * (1 - horizon) / far)
    return near * (1 - horizon) / below


def fractal(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Smooth noise of four octaves with mean 0 and standard deviation 1."""
    total = np.zeros(shape)
    for octave in range(4):
        cells = rng.standard_normal((3 * 2**octave, 4 * 2**octave))
        total += cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return (total - total.mean()) / total.std()


# ------------------------------------------------------------------------------------ depth, picture by picture


def depth_cameraman(picture: Array) -> Array:
    """A man and his tripod on a lawn, buildings across it, sky above."""
    rows, _ = grid(picture)
    field = ground_plane(rows, horizon=0.40, near=1.0, far=9.0)
    man = subject(
        picture,
        sure=[
            (0.26, 0.55, 0.12, 0.25),
            (0.43, 0.26, 0.08, 0.09),
            (0.42, 0.15, 0.08, 0.075),
            (0.2, 0.85, 0.1, 0.12),
            (0.06, 0.75, 0.1, 0.2),
        ],
        maybe=[(0.28, 0.6, 0.27, 0.5), (0.58, 0.3, 0.09, 0.1), (0.62, 0.65, 0.16, 0.34)],
    )
    return field * (1 - man) + 1.0 * man


def depth_dandelion(picture: Array) -> Array:
    """One seed head close to the lens, a meadow behind it that runs to the light."""
    rows, columns = grid(picture)
    field = ground_plane(rows, horizon=0.02, near=1.4, far=8.0)
    distance = np.hypot((columns - 0.395) / 0.215, (rows - 0.32) / 0.255)
    stem = (np.abs(columns - 0.395) < 0.018) & (rows > 0.5)
    head = guided(grey(picture), np.maximum(distance < 1, stem).astype(np.float64), radius=5, epsilon=1e-3)
    return field * (1 - head) + 0.9 * head


def depth_raccoon(picture: Array) -> Array:
    """Leaves in front, the animal among them, more leaves behind."""
    rows, columns = grid(picture)
    return 1.0 + 1.7 * (1 - rows) + 0.6 * columns


def depth_portrait(picture: Array) -> Array:
    """A sitter near the camera and a wall well behind."""
    rows, _ = grid(picture)
    sitter = subject(
        picture,
        sure=[(0.37, 0.22, 0.11, 0.13), (0.38, 0.62, 0.2, 0.2), (0.35, 0.85, 0.28, 0.12), (0.8, 0.85, 0.16, 0.12)],
        maybe=[(0.38, 0.2, 0.17, 0.2), (0.4, 0.75, 0.42, 0.42), (0.78, 0.84, 0.22, 0.2)],
    )
    return (3.0 + 0.4 * (1 - rows)) * (1 - sitter) + 1.0 * sitter


def depth_officer(picture: Array) -> Array:
    """A sitter near the camera, a flag behind."""
    sitter = subject(
        picture,
        sure=[(0.50, 0.38, 0.13, 0.2), (0.5, 0.82, 0.3, 0.15), (0.08, 0.95, 0.12, 0.12), (0.92, 0.95, 0.12, 0.12)],
        maybe=[(0.5, 0.3, 0.24, 0.3), (0.5, 0.85, 0.5, 0.32)],
    )
    return 2.6 * (1 - sitter) + 1.0 * sitter


def depth_coffee(picture: Array) -> Array:
    """A table seen from above at a slant: near at the bottom, further at the top."""
    rows, _ = grid(picture)
    return 1.0 + 1.6 * (1 - rows)


def depth_cat(picture: Array) -> Array:
    """A cat's face, and a room out of focus behind it."""
    head = subject(
        picture,
        sure=[(0.42, 0.45, 0.37, 0.42), (0.12, 0.6, 0.2, 0.5), (0.3, 0.95, 0.35, 0.2), (0.9, 0.1, 0.05, 0.12)],
        maybe=[(0.42, 0.5, 0.46, 0.62)],
    )
    return 2.8 * (1 - head) + 1.0 * head


def depth_rocket(picture: Array) -> Array:
    """Ground fog at dusk: it lies low and thins with height."""
    rows, _ = grid(picture)
    return 0.7 + 2.6 * np.exp(-(1 - rows) / 0.35)


HAZE = (
    Haze("cameraman", 0.24, (0.80, 0.80, 0.80), depth_cameraman),
    Haze("dandelion", 0.22, (0.86, 0.80, 0.70), depth_dandelion),
    Haze("raccoon", 0.52, (0.74, 0.78, 0.82), depth_raccoon, patchiness=0.45),
    Haze("astronaut", 0.42, (0.82, 0.82, 0.80), depth_portrait),
    Haze("officer", 0.62, (0.78, 0.77, 0.74), depth_officer),
    Haze("coffee", 0.42, (0.70, 0.70, 0.70), depth_coffee, patchiness=0.6),
    Haze("cat", 0.50, (0.76, 0.74, 0.70), depth_cat),
    Haze("rocket", 0.40, (0.30, 0.33, 0.42), depth_rocket, patchiness=0.2),
)
LOW_LIGHT = (
    LowLight("coffee", 0.05),
    LowLight("raccoon", 0.07),
    LowLight("astronaut", 0.055),
    LowLight("cat", 0.08),
    LowLight("officer", 0.045),
)


# -------------------------------------------------------------------------------------------- degradation


def transmission(clear: Array, haze: Haze, rng: np.random.Generator) -> Array:
    """``t = exp(-beta d)`` in (0, 1], with ``beta`` modulated by fractal noise where the haze is patchy."""
    depth = guided(grey(clear), haze.depth(clear), radius=4, epsilon=1e-3)
    density = 1 + haze.patchiness * fractal(clear.shape[:2], rng) if haze.patchiness else np.ones(clear.shape[:2])
    return np.exp(-haze.beta * np.maximum(density, 0.05) * np.maximum(depth, 0.2))


def add_haze(clear: Array, haze: Haze, rng: np.random.Generator) -> Array:
    """The scattering model in linear light, with a little sensor noise so that it is a photograph again."""
    t = transmission(clear, haze, rng)[..., None]
    hazy = to_linear(clear) * t + np.array(haze.airlight) * (1 - t)
    return to_srgb(hazy + rng.normal(0, 0.0015, hazy.shape))


def darken(clear: Array, recipe: LowLight, rng: np.random.Generator) -> Array:
    """A short exposure: scaled linear light, Poisson-like shot noise, Gaussian read noise."""
    dark = to_linear(clear) * recipe.exposure
    noise = np.sqrt(recipe.shot * dark * 0.12) * rng.standard_normal(dark.shape)
    return to_srgb(dark + noise + recipe.read * 0.35 * rng.standard_normal(dark.shape))


# ------------------------------------------------------------------------------------------------- files


def read(path: Path) -> Array:
    """RGB uint8 pixels of a file."""
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def write(path: Path, pixels: Array) -> None:
    """A JPEG at a quality that keeps small files honest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    cv2.imwrite(str(path), pixels[..., ::-1], options)


def cut_originals(folder: Path) -> None:
    """Cut the clear photographs from their originals.

    Args:
        folder: holds ``face.dat`` (from scipy <= 1.9) and ``dandelion.jpg``; the others come from the installed
            scikit-image and matplotlib.
    """
    import matplotlib
    import skimage

    skimage_data = Path(skimage.__file__).parent / "data"
    hopper = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    face = np.frombuffer(bz2.decompress((folder / "face.dat").read_bytes()), np.uint8).reshape(768, 1024, 3)
    cuts: dict[str, tuple[Array, tuple[int, int, int, int], tuple[int, int]]] = {
        # name: picture, crop (top, bottom, left, right), size (width, height)
        "cameraman": (read(skimage_data / "camera.png"), (28, 412, 0, 512), (512, 384)),
        "dandelion": (read(folder / "dandelion.jpg"), (0, 2988, 0, 3984), (512, 384)),
        "raccoon": (face, (0, 768, 0, 1024), (512, 384)),
        "astronaut": (read(skimage_data / "astronaut.png"), (0, 480, 0, 480), (480, 480)),
        "officer": (read(hopper), (0, 560, 16, 496), (360, 420)),
        "coffee": (read(skimage_data / "coffee.png"), (0, 400, 34, 567), (512, 384)),
        "cat": (read(skimage_data / "chelsea.png"), (0, 300, 40, 440), (400, 300)),
        "rocket": (read(skimage_data / "rocket.jpg"), (0, 427, 35, 605), (512, 384)),
    }
    for name, (pixels, (top, bottom, left, right), size) in cuts.items():
        cut = pixels[top:bottom, left:right]
        scaled = cut if cut.shape[1::-1] == size else cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
        write(ROOT / "haze" / "clear" / f"{name}.jpg", scaled)


def make_examples() -> list[tuple[Path, Path]]:
    """Write every degraded picture; returns (degraded, reference) paths."""
    pairs = []
    clear_folder = ROOT / "haze" / "clear"
    for index, haze in enumerate(HAZE):
        reference = clear_folder / f"{haze.photograph}.jpg"
        degraded = ROOT / "haze" / "hazy" / reference.name
        write(degraded, add_haze(read(reference), haze, np.random.default_rng(100 + index)))
        pairs.append((degraded, reference))
    for index, recipe in enumerate(LOW_LIGHT):
        source = clear_folder / f"{recipe.photograph}.jpg"
        reference = ROOT / "lowlight" / "normal" / source.name
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_bytes(source.read_bytes())
        degraded = ROOT / "lowlight" / "low" / source.name
        write(degraded, darken(read(source), recipe, np.random.default_rng(200 + index)))
        pairs.append((degraded, reference))
    return pairs


def contact_sheet(pairs: list[tuple[Path, Path]], target: Path) -> None:
    """All pairs side by side, for the eye."""
    cells = [np.hstack([cv2.resize(read(path), (400, 300)) for path in pair]) for pair in pairs]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % 2)
    rows = [np.hstack(cells[i : i + 2]) for i in range(0, len(cells), 2)]
    write(target, np.vstack(rows))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--originals", type=Path, help="folder with face.dat and dandelion.jpg: cut anew")
    parser.add_argument("--sheet", type=Path, help="also write all pairs side by side to this file")
    arguments = parser.parse_args()
    if arguments.originals:
        cut_originals(arguments.originals)
    pairs = make_examples()
    if arguments.sheet:
        contact_sheet(pairs, arguments.sheet)
    size = sum(path.stat().st_size for pair in pairs for path in pair)
    print(f"{len(pairs)} pairs in {ROOT}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
