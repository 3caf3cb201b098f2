"""How often the bootstrap interval of a mean holds the true mean, for the score distributions that occur.

    python benchmarks/bootstrap_coverage.py [--trials 4000] [--output benchmarks/results/bootstrap_coverage.csv]

A 95% interval should hold the truth in 95 of 100 sets. The simulation draws sets of n images from known distributions,
builds the interval with the code of the leaderboard, and counts. The BCa interval without the expansion for small sets
and Student's t interval stand beside it as yardsticks.
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from eval import stats  # noqa: E402 - the script runs from anywhere
from version import __version__  # noqa: E402

SIZES = (5, 10, 15, 20, 50, 100, 500)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "psnr: normal, 20 dB, sd 3": (lambda rng, shape: rng.normal(20, 3, shape), 20.0),
    "ssim: beta(18, 2), skewed to the left": (lambda rng, shape: rng.beta(18, 2, shape), 0.9),
    "niqe: 2.5 + gamma(2, 0.7), skewed to the right": (lambda rng, shape: 2.5 + rng.gamma(2, 0.7, shape), 3.9),
    "outliers: lognormal, sigma 1": (lambda rng, shape: rng.lognormal(0, 1, shape), math.exp(0.5)),
}
"""Name -> how a set is drawn, and the true mean."""


def coverage(draw: Draw, truth: float, images: int, trials: int, seed: int) -> dict[str, float]:
    """Share of `trials` sets whose interval holds `truth`, and the mean width of the intervals over the t interval's.

    The sets are columns of one table, as methods are on a leaderboard, so all of a trial block see the same bootstrap
    draws; blocks of 50 with a seed each keep the trials' errors from moving together.
    """
    rng = np.random.default_rng([seed, images])
    held = dict.fromkeys(("bca", "plain", "t"), 0)
    width = dict.fromkeys(held, 0.0)
    for block in range(trials // 50):
        values = draw(rng, (images, 50))
        half = student.ppf(0.975, images - 1) * values.std(axis=0, ddof=1) / math.sqrt(images)
        ends = {
            "t": np.stack([values.mean(axis=0) - half, values.mean(axis=0) + half], axis=1),
            "bca": stats.bootstrap_intervals(values, seed=block),
            "plain": stats.bootstrap_intervals(values, seed=block, expand=False),
        }
        for kind, pairs in ends.items():
            held[kind] += int(((pairs[:, 0] <= truth) & (truth <= pairs[:, 1])).sum())
            width[kind] += float((pairs[:, 1] - pairs[:, 0]).sum())
    total = trials // 50 * 50
    return {kind: held[kind] / total for kind in held} | {"width": width["bca"] / width["t"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print a table, write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4000, help="sets per line (default 4000)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="images a set")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "bootstrap_coverage.csv")
    args = parser.parse_args(arguments)
    start = time.perf_counter()
    lines = []
    print("| distribution | images | expanded BCa (ours) | plain BCa | Student t | our width / t width |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (draw, truth) in DISTRIBUTIONS.items():
        for images in args.sizes:
            found = coverage(draw, truth, images, args.trials, seed=20)
            shown = " | ".join(f"{100 * found[kind]:.1f}%" for kind in ("bca", "plain", "t"))
            print(f"| {name} | {images} | {shown} | {found['width']:.2f} |", flush=True)
            lines.append({"distribution": name, "images": images, **{k: round(v, 4) for k, v in found.items()}})
    spread = 100 * 1.96 * math.sqrt(0.95 * 0.05 / args.trials)
    print(
        f"\n{args.trials} sets a line: a true 95% shows as 95.0% +- {spread:.1f}; {time.perf_counter() - start:.0f} s"
    )
    versions = {
        "trials": args.trials,
        "code": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*lines[0], *versions], lineterminator="\n")
        writer.writeheader()
        writer.writerows(line | versions for line in lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
