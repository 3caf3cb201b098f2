"""Before and after, on the example pictures, for a method's page: input, result, ground truth in rows.

    python scripts/method_sheet.py dark_channel --examples haze --output docs/images/dark_channel.jpg
    python scripts/method_sheet.py crl_sr --examples small --output docs/images/crl_sr.jpg

``small`` makes its inputs: the clear pictures, blurred by a Gaussian of two pixels and reduced four times; shown are
the middles of bicubic enlargement, result and truth, pixel for pixel.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from images import Picture, list_pictures, read_picture, write_picture  # noqa: E402 - the script runs from anywhere
from resample import imresize  # noqa: E402
from restorers.base import Restorer  # noqa: E402
from restorers.hub import load  # noqa: E402
from restorers.pipeline import restore  # noqa: E402

SIDES = {
    "haze": ("haze/hazy", "haze/clear"),
    "lowlight": ("lowlight/low", "lowlight/normal"),
    "small": ("", "haze/clear"),
}
SCALE, BLUR = 4, 2.0
CELL = (240, 180)
"""Width and height of one picture on the sheet."""


def cell(pixels: np.ndarray, *, fit: bool) -> np.ndarray:
    """The middle of a picture with a white margin, scaled to fill the cell if asked."""
    height, width = pixels.shape[:2]
    if fit:
        scale = max(CELL[0] / width, CELL[1] / height)
        width, height = max(CELL[0], round(width * scale)), max(CELL[1], round(height * scale))
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (height - CELL[1]) // 2, (width - CELL[0]) // 2
    cut = pixels[top : top + CELL[1], left : left + CELL[0]]
    return np.pad(cut, ((2, 2), (2, 2), (0, 0)), constant_values=255)


def row(model: Restorer, truth: np.ndarray, degraded: Path) -> list[np.ndarray]:
    """Input, result and truth of one example; an input that is no file is made from the truth."""
    if degraded.is_file():
        picture = read_picture(degraded)
        return [cell(p, fit=True) for p in (picture.pixels, restore(model, picture).pixels, truth)]
    truth = truth[: len(truth) // SCALE * SCALE, : truth.shape[1] // SCALE * SCALE]
    blurred = cv2.GaussianBlur(truth, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE)
    small = Picture(_imresize(blurred, 1 / SCALE), "", degraded.name)
    shown = (_imresize(small.pixels, SCALE), restore(model, small).pixels, truth)
    return [cell(p, fit=False) for p in shown]


def _imresize(pixels: np.ndarray, scale: float) -> np.ndarray:
    return np.round(imresize(pixels / 255, scale).clip(0, 1) * 255).astype(np.uint8)


def main() -> int:
    """Make one sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="what 'python -m restorers run --model' takes")
    parser.add_argument("--examples", choices=tuple(SIDES), required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    model, examples = load(arguments.model), ROOT / "assets" / "examples"
    degraded, clear = (examples / side for side in SIDES[arguments.examples])
    rows = [
        np.concatenate(row(model, read_picture(path).pixels, degraded / path.name), axis=1)
        for path in list_pictures(clear)
        if (degraded / path.name).is_file() or degraded == examples
    ]
    if len(rows) % 2 == 0:
        half = len(rows) // 2
        gap = np.full((rows[0].shape[0], 16, 3), 255, np.uint8)
        rows = [np.concatenate([rows[i], gap, rows[i + half]], axis=1) for i in range(half)]
    write_picture(arguments.output, np.concatenate(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
