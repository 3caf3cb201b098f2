"""Lay the weights of two points of one training over each other (a model soup, Wortsman et al. 2022).

    python scripts/average_weights.py runs/aecr_net_14400 runs/aecr_net --share 0.6

The second run's ``weights.safetensors`` become ``(1 - share)`` of the first's and ``share`` of its own; its description
stays and says so.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def main() -> None:
    """Read both, mix in single precision, write half precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder of a run")
    parser.add_argument("second", type=Path, help="folder of the run whose weights are replaced")
    parser.add_argument("--share", type=float, default=0.5, help="of the second (default 0.5)")
    arguments = parser.parse_args()
    paths = [folder / "weights.safetensors" for folder in (arguments.first, arguments.second)]
    first, second = (load_file(path) for path in paths)
    with safe_open(paths[1], framework="np") as stream:
        facts = stream.metadata() or {}
    mixed = {
        key: torch.lerp(first[key].float(), tensor.float(), arguments.share).half()
        if tensor.is_floating_point()
        else tensor
        for key, tensor in second.items()
    }
    part = paths[1].with_name(paths[1].name + ".part")
    save_file(mixed, part, facts | {"averaged": f"{arguments.share} of these and the rest of {arguments.first.name}"})
    os.replace(part, paths[1])


if __name__ == "__main__":
    main()
