"""Density maps on the example pictures, hazy and clear, for docs/haze_estimation.md.

python scripts/haze_sheet.py [--clip embedded] [--prompts haze] [--output docs/images/haze_maps.jpg]
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
from priors.clip import load  # noqa: E402
from priors.density import encode_picture  # noqa: E402
from priors.prompts import load as load_prompts  # noqa: E402

CELL = (240, 180)
COLUMNS = 6
CLEAR = ("rocket", "raccoon", "cameraman", "coffee")
"""Clear pictures that could be taken for hazy: plain skies, grey fur, pale walls, no colour."""


def cell(pixels: np.ndarray) -> np.ndarray:
    """A picture squeezed into a cell with a white margin."""
    return np.pad(cv2.resize(pixels, CELL, interpolation=cv2.INTER_AREA), ((2, 2), (2, 2), (0, 0)), constant_values=255)


def main() -> int:
    """Make the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="embedded")
    parser.add_argument("--prompts", default="haze")
    parser.add_argument("--examples", type=Path, default=ROOT / "assets" / "examples" / "haze")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "haze_maps.jpg")
    arguments = parser.parse_args()
    prior, prompts = load(arguments.clip), load_prompts(arguments.prompts)
    paths = list_pictures(arguments.examples / "hazy")
    paths += [p for p in list_pictures(arguments.examples / "clear") if p.stem in CLEAR]
    cells = []
    for path in paths:
        picture = read_picture(path)
        encoded = encode_picture(prior, picture)
        heat = cv2.applyColorMap(np.round(encoded.map(prompts) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        shown = cell(picture.pixels)
        text = f"{encoded.score(prompts):.2f}"
        cv2.putText(shown, text, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(shown, text, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA)
        cells.append(np.vstack([shown, cell(heat)]))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % COLUMNS)
    rows = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(arguments.output, np.ascontiguousarray(np.vstack(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
