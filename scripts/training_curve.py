"""Draw a run's losses and its validation for a method's page.

python scripts/training_curve.py runs/scl_lle --losses brightness gram --output docs/images/scl_lle_training.png
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def table(path: Path) -> dict[str, list[float]]:
    """Columns of a run's log by name."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {key: [float(row[key]) for row in rows] for key in rows[0]}


def main() -> None:
    """Read the run's two logs and draw them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run, with train.csv and validation.csv")
    parser.add_argument("--losses", nargs="+", default=["loss"], help="columns of train.csv")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train, validation = table(arguments.run / "train.csv"), table(arguments.run / "validation.csv")
    sheet, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for key in arguments.losses:
        left.plot(train["step"], train[key], label=key)
    left.set(xlabel="step", ylabel="losses, before their weights", ylim=(0, None))
    left.legend(frameon=False)
    right.plot(validation["step"], validation["psnr"], marker="o", label="restored")
    right.axhline(validation["input_psnr"][0], color="grey", linestyle=":", label="input")
    right.set(xlabel="step", ylabel="PSNR of the held-out pairs, dB")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
