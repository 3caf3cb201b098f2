"""``python -m priors density``: where is the haze, as a picture and as numbers."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from priors.commands import arguments as shared

SUMMARY = "draw the haze-density map of a picture, 1 = densest"
DESCRIPTION = "Draw the density map of a picture: white, or 1 in --map, is the densest."
EXAMPLES = """examples:
  python -m priors density street.jpg --output map.png --map map.npy
  python -m priors density street.jpg --output fog.png --prompts fog --grid 24 --route dense
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--output", required=True, metavar="MAP.png", help="the map as a grey picture, white = densest")
    parser.add_argument("--map", metavar="MAP.npy", help="the map as float32 (H,W) in [0,1]")
    parser.add_argument("--grid", default="auto", metavar="N", help="patches along the short side, or auto")
    parser.add_argument(
        "--route",
        default="auto",
        choices=("auto", "dense", "tiles", "both"),
        help="one pass with patch features, overlapping tiles, or both (default: both for small towers, dense for "
        "others that can, tiles for the rest)",
    )
    shared.add_prompts(parser)
    shared.add_clip(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Compute and write the map."""
    import numpy as np

    from images import read_picture, write_picture
    from priors.density import encode_picture
    from priors.inputs import find_input

    prompts, picture = shared.prompts_of(arguments), read_picture(find_input(arguments.image))
    prior = shared.clip_of(arguments)
    began = time.perf_counter()
    encoded = encode_picture(prior, picture, grid=arguments.grid, route=arguments.route)
    density = encoded.map(prompts)
    seconds = time.perf_counter() - began
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    grey = np.round(density * 255).astype(np.uint8)
    write_picture(arguments.output, np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2)))
    if arguments.map:
        Path(arguments.map).parent.mkdir(parents=True, exist_ok=True)
        with Path(arguments.map).open("wb") as file:
            np.save(file, density)
    record = {"path": arguments.image, "haze": encoded.score(prompts), "mean_density": float(density.mean()),
              "output": arguments.output, "map": arguments.map, "width": picture.width, "height": picture.height,
              **shared.words(prompts), "clip": prior.name, "clip_sha256": prior.sha256, "seconds": seconds}  # fmt: skip
    if arguments.json:
        shared.print_json(record)
    else:
        print(
            f"haze {record['haze']:.4f}, mean density {record['mean_density']:.4f}, {seconds:.2f} s: {arguments.output}"
        )
    return 0
