"""Loss and validation of a haze CLIP run as a picture for docs/haze_estimation.md.

python scripts/haze_clip_curve.py runs/haze_clip [--output docs/images/haze_clip_training.png]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def columns(path: Path) -> dict[str, list[float]]:
    """Columns of a CSV of numbers; empty cells are NaN."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def main() -> None:
    """Draw losses on the left, figures on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "haze_clip_training.png")
    arguments = parser.parse_args()
    losses, figures = columns(arguments.run / "loss.csv"), columns(arguments.run / "validation.csv")
    sheet, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name in ("haze", "pairs", "order", "dense"):
        left.plot(losses["step"], losses[name], label=name, linewidth=1)
    left.set(xlabel="step", title="training losses", ylim=(0, 0.9))
    shown = {"spearman": "map: Spearman, patches", "auroc_haze": "haze: AUROC", "auroc_rain": "rain: AUROC"}
    for name, label in {**shown, "auroc_noise": "noise: AUROC"}.items():
        right.plot(figures["step"], figures[name], marker=".", label=label, linewidth=1)
    right.set(xlabel="step", title="validation, pictures never seen", ylim=(0.3, 1))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
