"""What do a method's parts add? The same samples, steps and seed with and without them.

    python benchmarks/ablations.py guidance --data ROOT --steps 300         CLIPHaze: none, density, semantic, both
    python benchmarks/ablations.py positions --data ROOT --steps 300        CRL-SR: L1 alone, with each contrastive loss
    python benchmarks/ablations.py contrastive --data ROOT --of RUN         AECR-Net: L1 alone, with its regularisation

Every line is a run of its own by the method's recipe. CLIPHaze and CRL-SR start from random weights and their rate's
cosine ends with the last step. What contrastive regularisation does to AECR-Net cannot be seen in so short a run: both
lines go on from ``RUN``, a run by the recipe that was stopped at the step that adds it (``--stop-after``), to the
recipe's end. PSNR and SSIM are means over ``--pairs`` drawn validation pairs, always the same, of the recipe's
protocol. Lines that are there already are kept (``--again`` makes them anew), so that a long table can be made in
several sittings.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere


@dataclass(frozen=True)
class Ablation:
    """One table.

    Attributes:
        recipe: File below ``training/recipes``.
        arms: What a reader calls a line, to its changes of the recipe.
        common: Changes that all lines share.
        goes_on: Whether the lines go on from a run, to its recipe's end.
    """

    recipe: str
    arms: Mapping[str, Mapping[str, Any]]
    common: Mapping[str, Any] = field(default_factory=dict)
    goes_on: bool = False


_NOT_BIDIRECTIONAL = {"loss.bidirectional": 0}
_NOT_CONDITIONAL = {"loss.conditional": 0, "loss.reconstruction": 0}

ABLATIONS = {
    "guidance": Ablation(
        "clip_haze.yaml",
        {kind: {"network.guidance": kind} for kind in ("none", "density", "semantic", "both")},
        {"batch": 4, "data.crop": 64, "data.zoom": [3.0, 6.0], "data.views": []},
    ),
    "contrastive": Ablation(
        "aecr_net.yaml",
        {"L1 alone": {"loss.contrastive": 0}, "with contrastive regularisation": {}},
        goes_on=True,
    ),
    "positions": Ablation(
        "crl_sr.yaml",
        {
            "L1 alone": _NOT_BIDIRECTIONAL | _NOT_CONDITIONAL,
            "with the bidirectional loss": _NOT_CONDITIONAL,
            "with the conditional loss": _NOT_BIDIRECTIONAL,
            "with both": {},
        },
        {"loss.after": 0, "loss.every": 1},
    ),
}


def main() -> int:
    """Train all lines of a table, one after the other, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=ABLATIONS)
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="folder of the training data")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "cache", help="packed data")
    parser.add_argument("--steps", type=int, default=300, help="of lines that start anew")
    parser.add_argument("--of", type=Path, metavar="RUN", help="the run that 'contrastive' goes on from")
    parser.add_argument("--pairs", type=int, default=20, help="validation pairs of the figures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "ablations")
    parser.add_argument("--again", action="store_true", help="make lines anew that are there already")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    ablation = ABLATIONS[arguments.table]
    if ablation.goes_on and not arguments.of:
        parser.error(f"the table {arguments.table!r} goes on from a run; name its folder with --of")
    rows: list[dict[str, object]] = []
    for name, changes in ablation.arms.items():
        stem = arguments.of.name if ablation.goes_on else str(arguments.steps)
        run = arguments.runs / f"{arguments.table}_{stem}" / name.replace(" ", "_")
        if arguments.again:
            shutil.rmtree(run, ignore_errors=True)
        rows.append({"trained": name, **_line(ablation, changes, run, arguments)})
        report(f"ablation_{arguments.table}", rows, "torch")
    return 0


def _line(
    ablation: Ablation, changes: Mapping[str, Any], run: Path, arguments: argparse.Namespace
) -> dict[str, object]:
    from restorers.base import count_parameters
    from training.evaluate import evaluate
    from training.fit import Options, fit
    from training.recipe import load_recipe
    from training.task import create_task

    kept = run / "line.json"
    if kept.exists():
        return json.loads(kept.read_text())
    steps = arguments.steps
    short = {"steps": steps, "warmup": max(steps // 10, 1), "validate_every": steps, "validation.pairs": 1}
    changes = {**ablation.common, **changes, "sheet": 0, **({} if ablation.goes_on else short)}
    recipe = load_recipe(ROOT / "training" / "recipes" / ablation.recipe, changes)
    if ablation.goes_on:
        shutil.copytree(arguments.of, run, dirs_exist_ok=True)
    options = Options(
        data=arguments.data, output=run, cache=arguments.cache, device="cpu", tensorboard=False,
        resume=ablation.goes_on, changed=ablation.goes_on,
    )  # fmt: skip
    started = time.process_time()
    fit(recipe, options)
    seconds = time.process_time() - started
    figures = evaluate(run, arguments.data, arguments.cache, device="cpu", limit=arguments.pairs)
    line = {
        "steps": recipe.steps,
        "psnr": round(figures["psnr"], 2),
        "ssim": round(figures["ssim"], 4),
        "input_psnr": round(figures["input_psnr"], 2),
        "pairs": figures["pairs"],
        "parameters": count_parameters(create_task(recipe).model),
        "cpu_seconds": round(seconds),
    }
    kept.write_text(json.dumps(line))
    return line


if __name__ == "__main__":
    sys.exit(main())
