"""Before and after, on the example pictures, for a method's page: input, result, ground truth in rows.

python scripts/method_sheet.py dark_channel --examples haze --output docs/images/dark_channel.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from images import list_pictures, read_picture, write_picture  # noqa: E402 - the script runs from anywhere
from restorers.hub import load  # noqa: E402
from restorers.pipeline import restore  # noqa: E402

SIDES = {"haze": ("hazy", "clear"), "lowlight": ("low", "normal")}
CELL = (240, 180)
"""Width and height of one picture on the sheet."""


def cell(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture, scaled to fill a cell with a white margin."""
    height, width = pixels.shape[:2]
    scale = max(CELL[0] / width, CELL[1] / height)
    size = (max(CELL[0], round(width * scale)), max(CELL[1], round(height * scale)))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    top, left = (size[1] - CELL[1]) // 2, (size[0] - CELL[0]) // 2
    cut = pixels[top : top + CELL[1], left : left + CELL[0]]
    return np.pad(cut, ((2, 2), (2, 2), (0, 0)), constant_values=255)


def main() -> int:
    """Make one sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="what 'python -m restorers run --model' takes")
    parser.add_argument("--examples", choices=tuple(SIDES), required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    model, folder = load(arguments.model), ROOT / "assets" / "examples" / arguments.examples
    degraded, clear = (folder / side for side in SIDES[arguments.examples])
    rows = []
    for path in list_pictures(degraded):
        picture = read_picture(path)
        result = restore(model, picture).pixels
        truth = read_picture(clear / path.name).pixels
        rows.append(np.concatenate([cell(picture.pixels), cell(result), cell(truth)], axis=1))
    if len(rows) % 2 == 0:
        half = len(rows) // 2
        gap = np.full((rows[0].shape[0], 16, 3), 255, np.uint8)
        rows = [np.concatenate([rows[i], gap, rows[i + half]], axis=1) for i in range(half)]
    write_picture(arguments.output, np.concatenate(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
