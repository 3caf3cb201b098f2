"""PTG-RM's task: a restorer and the module behind it, trained together on pairs (eq. 8), and its controls.

``L = L_g(first, reference) + refined * L_g(refined result, reference)``. The architecture may also be a bare restorer,
which then has one output and one term: the control that shows what training on these pairs alone is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from restorers.base import Restorer
from restorers.networks.ptg_rm import PtgRm
from training.dark_pairs import Darkened, Exposures
from training.entries import number, one_of
from training.hazy_pairs import Mixture, open_sources
from training.pairs_task import PairsTask
from training.recipe import Recipe

KINDS = ("l1", "charbonnier")


class PtgRmTask(PairsTask):
    """Train a restorer with PTG-RM behind it, or alone.

    The recipe's tables:

    - ``data``: ``crop``, ``zoom`` and ``views``, see ``training/views.py``; ``sources``, haze sources as for a dehazer,
      or without them dark pictures and the best exposure of the same scene, of which a crop shows at least ``least``
      of a side, whatever the zoom, and a share ``darkened`` of other photographs, darkened as those scenes were;
      ``start``, a PTG-RM model to go on from, or one whose weights the base starts from.
    - ``loss``: ``kind``: ``l1`` or ``charbonnier``, both means; ``refined``, the weight lambda_1 of the second
      output; ``epsilon`` of Charbonnier.
    - ``validation``: ``pairs`` of the quick selection, and with haze sources what a dehazer's has.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("crop", "zoom", "views", "sources", "least", "darkened"),
        "loss": ("kind", "refined", "epsilon"),
        "validation": ("source", "pairs", "draws", "haze"),
    }

    required = ("crop",)

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        loss, data = recipe.loss, recipe.data
        self.kind = one_of(loss.get("kind", "l1"), "loss.kind", KINDS)
        self.refined = number(loss.get("refined", 1.0), "loss.refined", least=0)
        self.epsilon = number(loss.get("epsilon", 1e-6), "loss.epsilon", above=0)
        self.least = number(data.get("least", 0.6), "data.least", least=0, most=1)
        self.darkened = number(data.get("darkened", 0.0), "data.darkened", least=0, most=1)
        if "sources" not in recipe.data:
            self.protocol = "lowlight-rgb"

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        data, validation = self.recipe.data, dict(self.recipe.validation)
        if "sources" in data:
            self.source = open_sources(data["sources"], root, cache, validation)
        else:
            exposures, share = Exposures(root, cache, self.least, validation), self.darkened
            self.source = exposures
            if share:
                darkened = Darkened(root, cache, exposures)
                self.source = Mixture([(exposures, 1 - share), (darkened, share)], exposures)

    def starting(self, model: Restorer) -> nn.Module:
        """See :meth:`RestorerTask.starting`: the base alone, unless the model has the module behind it as well."""
        return self.model.base if isinstance(self.model, PtgRm) and not isinstance(model, PtgRm) else self.model

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        degraded, reference = batch["degraded"], batch["reference"]
        if not isinstance(self.model, PtgRm):
            first = self._distance(self.model.enhance(degraded).float(), reference)
            return {"loss": first, "first": first}
        outputs = self.model.stages(degraded)
        first, refined = (self._distance(output.float(), reference) for output in outputs)
        return {"loss": first + self.refined * refined, "first": first,
                "refined": refined}  # fmt: skip

    def _distance(self, output: Tensor, reference: Tensor) -> Tensor:
        difference = output - reference
        if self.kind == "l1":
            return difference.abs().mean()
        return (difference.square() + self.epsilon).sqrt().mean()
