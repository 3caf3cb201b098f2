"""Lay the weights of two points of one training over each other (a model soup, Wortsman et al. 2022).

    python scripts/average_weights.py runs/aecr_net_14400 runs/aecr_net --share 0.6 --output runs/aecr_net_mean

The new run has ``(1 - share)`` of the first's weights, ``share`` of the second's, and the second's recipe; evaluate and
publish it like any other.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from restorers.checkpoint import read_metadata, save_file  # noqa: E402 - the script runs from anywhere

DESCRIBED = ("architecture", "config", "card", "code_version", "format")
"""Metadata that the writer of weights makes itself."""


def main() -> None:
    """Read both, mix in single precision, write half precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder of a run")
    parser.add_argument("second", type=Path, help="folder of a run")
    parser.add_argument("--share", type=float, default=0.5, help="of the second (default 0.5)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new run")
    arguments = parser.parse_args()
    paths = [folder / "weights.safetensors" for folder in (arguments.first, arguments.second)]
    first, second = (load_file(path) for path in paths)
    mixed = {key: torch.lerp(first[key].float(), tensor.float(), arguments.share) for key, tensor in second.items()}
    known = read_metadata(paths[1])
    save_file(
        arguments.output / paths[1].name,
        known["architecture"],
        json.loads(known["config"]),
        {key: tensor.to(second[key].dtype) for key, tensor in mixed.items()},
        json.loads(known["card"]),
        **{key: value for key, value in known.items() if key not in DESCRIBED},
        averaged=f"{arguments.share} of these and the rest of {arguments.first.name}",
    )
    shutil.copy(arguments.second / "recipe.yaml", arguments.output)


if __name__ == "__main__":
    main()
