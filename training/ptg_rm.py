"""PTG-RM's task: a restorer and the module behind it, trained together on pairs (eq. 8), and its controls.

``L = L_g(first, reference) + refined * L_g(refined result, reference)``. The architecture may also be a bare restorer,
which then has one output and one term: the control that shows what training on these pairs alone is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from errors import UnknownNameError
from restorers import registry
from restorers.networks.ptg_rm import PtgRm
from training.dark_pairs import Darkened, Exposures
from training.hazy_pairs import Mixture, Source, open_sources
from training.recipe import Recipe
from training.restorer_task import RestorerTask
from training.validate import Pair
from training.views import Views

KINDS = ("l1", "charbonnier")


class PtgRmTask(RestorerTask):
    """Train a restorer with PTG-RM behind it, or alone.

    The recipe's tables:

    - ``data``: ``crop``, ``zoom`` and ``views``, see ``training/views.py``; ``sources``, haze sources as for a dehazer,
      or without them dark pictures and the best exposure of the same scene, of which a crop shows at least ``least``
      of a side, whatever the zoom, and a share ``darkened`` of other photographs, darkened as those scenes were;
      ``start``, the registered method whose weights the base starts from.
    - ``loss``: ``kind``: ``l1`` or ``charbonnier``, both means; ``refined``, the weight lambda_1 of the second
      output; ``epsilon`` of Charbonnier.
    - ``validation``: ``pairs`` of the quick selection, and with haze sources what a dehazer's has.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("crop", "zoom", "views", "sources", "least", "darkened", "start"),
        "loss": ("kind", "refined", "epsilon"),
        "validation": ("source", "pairs", "draws", "haze"),
    }

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        if recipe.loss.get("kind", "l1") not in KINDS:
            raise UnknownNameError("pixel loss", str(recipe.loss["kind"]), KINDS)
        if "sources" not in recipe.data:
            self.protocol = "lowlight-rgb"
        self.views = Views.of(recipe.data)
        self._source: Source | None = None

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        data, validation = self.recipe.data, dict(self.recipe.validation)
        if "sources" in data:
            self._source = open_sources(data["sources"], root, cache, validation)
        else:
            exposures = Exposures(root, cache, float(data.get("least", 0.6)), validation)
            share = float(data.get("darkened", 0.0))
            self._source = exposures
            if share:
                darkened = Darkened(root, cache, exposures)
                self._source = Mixture([(exposures, 1 - share), (darkened, share)], exposures)

    def start(self) -> None:
        """See :meth:`Task.start`: a registered method's weights for the base."""
        if "start" in self.recipe.data:
            base = self.model.base if isinstance(self.model, PtgRm) else self.model
            base.load_state_dict(registry.create(str(self.recipe.data["start"])).state_dict())

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        assert self._source is not None, "prepare() comes first"
        rng = np.random.default_rng((self.recipe.seed, index))
        degraded, reference = self._source.draw(self.views.at(index // self.recipe.batch), rng)
        return {"degraded": degraded, "reference": reference}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        degraded, reference = batch["degraded"], batch["reference"]
        if not isinstance(self.model, PtgRm):
            first = self._distance(self.model.enhance(degraded).float(), reference)
            return {"loss": first, "first": first}
        outputs = self.model.stages(degraded)
        first, refined = (self._distance(output.float(), reference) for output in outputs)
        return {"loss": first + float(self.recipe.loss.get("refined", 1.0)) * refined, "first": first,
                "refined": refined}  # fmt: skip

    def validation(self, *, full: bool = False) -> Sequence[Pair]:
        """See :meth:`RestorerTask.validation`."""
        assert self._source is not None, "prepare() comes first"
        return self._source.pairs(full=full)

    def _distance(self, output: Tensor, reference: Tensor) -> Tensor:
        difference = output - reference
        if self.recipe.loss.get("kind", "l1") == "l1":
            return difference.abs().mean()
        return (difference.square() + float(self.recipe.loss.get("epsilon", 1e-6))).sqrt().mean()
