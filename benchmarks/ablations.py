"""What do a method's parts add? The same samples, steps and seed with and without them.

    python benchmarks/ablations.py guidance --data ROOT --steps 300         CLIPHaze: none, density, semantic, both
    python benchmarks/ablations.py positions --data ROOT --steps 300        CRL-SR: L1 alone, with each contrastive loss
    python benchmarks/ablations.py contrastive --data ROOT --of RUN         AECR-Net: L1 alone, with its regularisation

Every line is a run of its own by the method's recipe. CLIPHaze and CRL-SR start from random weights and their rate's
cosine ends with the last step. What contrastive regularisation does to AECR-Net cannot be seen in so short a run: both
lines go on from ``RUN``, a run by the recipe that was stopped at the step that adds it (``--stop-after``), to the
recipe's end. PSNR and SSIM are means over ``--pairs`` drawn validation pairs, always the same, of the recipe's
protocol. Lines that are there already are kept, so that a long table can be made in several sittings; if they were
made in another way they are refused (``--again`` makes them anew).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import machine, report  # noqa: E402 - the script runs from anywhere
from errors import UnveilError, UsageError  # noqa: E402


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


def main(arguments: Sequence[str] | None = None) -> int:
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
    args = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(args.threads)
    ablation = ABLATIONS[args.table]
    if ablation.goes_on and not args.of:
        parser.error(f"the table {args.table!r} goes on from a run; name its folder with --of")
    try:
        lines = [_Line(ablation, name, args) for name in ablation.arms]
        kept = [None if args.again else line.kept() for line in lines]
        rows: list[dict[str, object]] = []
        for line, found in zip(lines, kept, strict=True):
            rows.append({"trained": line.name, **(found or line.make())})
            report(f"ablation_{args.table}", rows, "torch")
    except UnveilError as error:
        print(f"ablations: {error}", file=sys.stderr)
        return 1
    return 0


class _Line:
    """One line of a table: what it is made of, and where it is kept."""

    def __init__(self, ablation: Ablation, name: str, args: argparse.Namespace) -> None:
        from hashing import sha256_of
        from training.fit import STATE
        from training.recipe import check_manifest, load_recipe

        self.name, self.args, self.goes_on = name, args, ablation.goes_on
        stem = args.of.name if self.goes_on else str(args.steps)
        self.run = args.runs / f"{args.table}_{stem}" / name.replace(" ", "_")
        every = args.steps
        short = {"steps": every, "warmup": max(every // 10, 1), "validate_every": every, "validation.pairs": 1}
        changes = {**ablation.common, **ablation.arms[name], "sheet": 0, **({} if self.goes_on else short)}
        recipe = load_recipe(ROOT / "training" / "recipes" / ablation.recipe, changes)
        self.recipe = check_manifest(recipe, args.data)
        self.made_of: dict[str, object] = {"recipe": self.recipe.to_yaml(), "pairs": args.pairs}
        if self.goes_on:
            if not (args.of / STATE).is_file():
                raise UsageError(f"{args.of} holds no saved state to go on from; name another run with --of.")
            self.made_of["of"] = sha256_of(args.of / STATE)

    def kept(self) -> dict[str, object] | None:
        """The line of an earlier sitting, if there is one.

        Raises:
            UsageError: It was made in another way.
        """
        file = self.run / "line.json"
        if not file.exists():
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
        other = [key for key, value in self.made_of.items() if found.get(key) != value]
        if other:
            what = " and ".join({"recipe": "recipe or data", "of": "run to go on from"}.get(key, key) for key in other)
            raise UsageError(f"The line {self.name!r} that is kept was made with other {what}; remake it with --again.")
        return {**found["line"], **found["machine"]}

    def make(self) -> dict[str, object]:
        """Train and measure."""
        from restorers.base import count_parameters
        from training.evaluate import evaluate
        from training.fit import Options, fit
        from training.task import create_task

        args, run = self.args, self.run
        shutil.rmtree(run, ignore_errors=True)
        if self.goes_on:
            shutil.copytree(args.of, run)
        options = Options(
            data=args.data, output=run, cache=args.cache, device="cpu", tensorboard=False,
            resume=self.goes_on, changed=self.goes_on,
        )  # fmt: skip
        started = time.process_time()
        fit(self.recipe, options)
        seconds = time.process_time() - started
        figures = evaluate(run, args.data, args.cache, device="cpu", limit=args.pairs)
        line = {
            "steps": self.recipe.steps,
            "psnr": round(figures["psnr"], 2),
            "ssim": round(figures["ssim"], 4),
            "input_psnr": round(figures["input_psnr"], 2),
            "pairs": figures["pairs"],
            "parameters": count_parameters(create_task(self.recipe).model),
            "cpu_seconds": round(seconds),
        }
        facts = machine("torch")
        text = json.dumps({**self.made_of, "machine": facts, "line": line}, indent=1)
        (run / "line.json").write_text(text + "\n", encoding="utf-8")
        return {**line, **facts}


if __name__ == "__main__":
    sys.exit(main())
