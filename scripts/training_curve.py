"""Draw a run's losses and its validation for a method's page.

python scripts/training_curve.py runs/haze_clip --losses haze pairs order dense --figures spearman auroc_haze auroc_rain
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

NAMES = {"psnr": "PSNR of the held-out pairs, dB", "spearman": "map: Spearman, patches"}


def table(path: Path) -> dict[str, list[float]]:
    """Columns of a run's log by name; what was not logged yet is NaN."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {key: [float(row[key] or "nan") for row in rows] for key in rows[0]}


def main() -> None:
    """Read the run's two logs and draw them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, with validation.csv and train.csv")
    parser.add_argument("--losses", nargs="+", default=["loss"], help="columns of the training log")
    parser.add_argument("--figures", nargs="+", default=["psnr"], help="columns of validation.csv")
    parser.add_argument("--output", type=Path, help="the picture (default: curve.png in the run's folder)")
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train = table(arguments.run / "train.csv")
    validation = table(arguments.run / "validation.csv")
    sheet, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for key in arguments.losses:
        left.plot(train["step"], train[key], label=key, linewidth=1)
    left.set(xlabel="step", ylabel="losses, before their weights", ylim=(0, None))
    for key in arguments.figures:
        right.plot(validation["step"], validation[key], marker=".", label=NAMES.get(key, key.replace("_", ": ")))
    if arguments.figures == ["psnr"]:
        right.axhline(validation["input_psnr"][0], color="grey", linestyle=":", label="input")
    right.set(xlabel="step", ylabel="pictures never trained on")
    for side in (left, right):
        side.locator_params(axis="x", nbins=6)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    output = arguments.output or arguments.run / "curve.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.savefig(output, dpi=110)


if __name__ == "__main__":
    main()
