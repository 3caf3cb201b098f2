"""Every dehazer that is offered, on the held-out pictures of the three dehazing recipes.

    python benchmarks/dehazers.py --data ROOT [--pairs 50] [--methods dark_channel aecr_net]

even     rooms with even haze, RESIDE's recipe of SOTS-indoor (training/recipes/aecr_net.yaml)
outdoor  photographs with drawn depth, some patchy, coloured, noisy, JPEG-coded (training/recipes/aecr_net-real.yaml)
patchy   rooms with uneven haze (training/recipes/clip_haze.yaml)

The pairs are drawn from all of a set, always the same. PSNR and SSIM are those of the protocol dehaze-rgb. Pictures of
all three sets were kept from all training; the haze is synthetic.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from restorers import registry  # noqa: E402
from training.recipe import load_recipe  # noqa: E402
from training.task import create_task  # noqa: E402
from training.validate import ValidationPair, quick_selection, validate  # noqa: E402

SETS = {"even": "aecr_net", "outdoor": "aecr_net-real", "patchy": "clip_haze"}


def held_out(name: str, data: Path, cache: Path, count: int) -> list[ValidationPair]:
    """``count`` validation pairs of a recipe."""
    task = create_task(load_recipe(ROOT / "training" / "recipes" / f"{name}.yaml", {"loss": {"l1": 1.0}}))
    task.prepare(data, cache)
    return quick_selection(task.validation(full=True), count)


def main() -> int:
    """Measure all, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the training data"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "cache", help="packed data")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments = parser.parse_args()
    recipes = [load_recipe(ROOT / "training" / "recipes" / f"{SETS[name]}.yaml") for name in arguments.sets]
    for file in (file for recipe in recipes for file in recipe.manifest):
        if not (arguments.data / file).is_file():
            print(f"skipped: there is no {file} in {arguments.data}; name its folder with --data")
            return 0
    rows = []
    for name in arguments.sets:
        pairs = held_out(SETS[name], arguments.data, arguments.cache, arguments.pairs)
        for method in arguments.methods or registry.names("dehaze"):
            model = registry.create(method).eval()
            started = time.process_time()
            found = [validate(model, pair, torch.device("cpu"), "dehaze-rgb") for pair in pairs]
            seconds = time.process_time() - started
            mean = {key: sum(row[key] for row in found) / len(found) for key in found[0]}
            rows.append({"set": name, "method": method, "pairs": len(found), "input psnr": round(mean["input_psnr"], 2),
                         "psnr": round(mean["psnr"], 2), "ssim": round(mean["ssim"], 4),
                         "cpu seconds each": round(seconds / len(found), 2)})  # fmt: skip
            print(rows[-1], flush=True)
    some_only = arguments.methods or len(arguments.sets) < len(SETS)
    report("dehazers", rows, "torch", key=("set", "method") if some_only else ())
    return 0


if __name__ == "__main__":
    sys.exit(main())
