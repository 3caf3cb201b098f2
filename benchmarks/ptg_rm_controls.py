"""What does PTG-RM's prior add? The same pairs, steps and seed with and without its parts, and the base trained alone.

    python benchmarks/ptg_rm_controls.py --data ROOT [--steps 100] [--runs runs/ptg_rm_controls]

Every line starts from the same embedded base and sees the same samples in the same order. PSNR and SSIM are those of
the validation pairs at full size (protocol dehaze-rgb). "given g of other pictures" is the trained module with every
picture's vector exchanged for the next picture's: if that costs nothing, the module does not use what g says.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from restorers import registry  # noqa: E402
from restorers.base import Restorer, count_parameters, load_weights  # noqa: E402
from restorers.networks import architecture  # noqa: E402
from restorers.networks.ptg_rm import PtgRm  # noqa: E402
from training.fit import Options, fit  # noqa: E402
from training.recipe import Recipe, load_recipe  # noqa: E402
from training.restorer_task import RestorerTask  # noqa: E402
from training.task import create_task  # noqa: E402
from training.validate import validate  # noqa: E402

RECIPE = ROOT / "training" / "recipes" / "scl_lle+ptg_rm.yaml"


def controls(network: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Changes of the recipe, by what a reader calls them."""
    base = {"architecture": network["base"], **network.get("base_config", {})}
    return {
        "base and module": {},
        "base alone": {"network": base},
        "g = 0": {"network.guide": "none"},
        "one random g": {"network.guide": "random"},
        "without SVE": {"network.sve": False},
        "without CSA": {"network.csa": False},
    }


class Exchanged(Restorer):
    """A trained module that is told about another picture."""

    def __init__(self, model: PtgRm, g: Tensor) -> None:
        super().__init__()
        self.model, self.g, self.card = model, g, model.card

    def enhance(self, x: Tensor) -> Tensor:
        """The refined result under the given vector."""
        return self.model.stages(x, self.g)[1]


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Rounded means of PSNR and SSIM."""
    return {key: round(sum(row[key] for row in rows) / len(rows), 3 + (key == "ssim")) for key in ("psnr", "ssim")}


@torch.no_grad()
def exchanged(task: RestorerTask) -> dict[str, float]:
    """Validate with every picture's vector exchanged for the next picture's."""
    model = task.model.eval()
    assert isinstance(model, PtgRm)
    pairs = list(task.validation(full=True))
    vectors = [model.vector(pair.make()[0]) for pair in pairs]
    return means(
        [
            validate(Exchanged(model, vectors[(index + 1) % len(pairs)]).eval(), pair, torch.device("cpu"))
            for index, pair in enumerate(pairs)
        ]
    )


def main() -> int:
    """Train all of them, one after the other, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="folder of the training data")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "cache", help="packed data")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--crops", type=int, nargs="+", help="side lengths in place of the recipe's")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "ptg_rm_controls")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    common: dict[str, Any] = {
        "steps": arguments.steps, "validate_every": arguments.steps, "restarts": {}, "sheet": 0
    }  # fmt: skip
    if arguments.crops:
        common["data.crop"] = arguments.crops
    recipe = load_recipe(RECIPE, common)
    rows = [{"trained": "nothing: the base", "steps": 0, **_as_embedded(recipe, arguments)}]
    for name, changes in controls(recipe.network).items():
        run = arguments.runs / name.replace(" ", "_").replace("=", "")
        changed = load_recipe(RECIPE, common | changes)
        shutil.rmtree(run, ignore_errors=True)
        figures = fit(changed, Options(data=arguments.data, output=run, cache=arguments.cache, device="cpu"))
        task = create_task(changed)
        rows.append({"trained": name, "steps": arguments.steps, **means([figures]),
                     "parameters": count_parameters(task.model)})  # fmt: skip
        if not changes:
            task.prepare(arguments.data, arguments.cache)
            load_weights(task.model, run / "weights.safetensors")
            rows.append({"trained": "... given g of other pictures", "steps": arguments.steps, **exchanged(task),
                         "parameters": rows[-1]["parameters"]})  # fmt: skip
        report("ptg_rm_controls", rows, "torch")  # after every run: the last ones can take long
    return 0


def _as_embedded(recipe: Recipe, arguments: argparse.Namespace) -> dict[str, float]:
    task = create_task(recipe)
    task.prepare(arguments.data, arguments.cache)
    base = architecture(recipe.network["base"]).load()(**recipe.network.get("base_config", {})).eval()
    base.load_state_dict(registry.create(str(recipe.data["start"])).state_dict())
    scores = [validate(base, pair, torch.device("cpu")) for pair in task.validation(full=True)]
    return {**means(scores), "parameters": count_parameters(base)}


if __name__ == "__main__":
    sys.exit(main())
