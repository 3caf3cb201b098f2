"""The haze CLIP's task: a compact image tower and text tower learn words for what goes wrong with pictures.

Five losses on one forward pass (``training/losses/degradation_words.py``):

* contrastive: every picture has a caption made from its true labels; all captions whose claims hold for a picture are
  its positives, ambiguous ones are left out, in both directions (SupCon-style soft targets);
* pairs: for every degradation, random words for it against random words for its absence must classify the pictures;
* dense: the value-path patch features, compared with haze words against clear words, must give the true ``1 - t``, and
  (order) must rise and fall with it within each picture, where differences are small beside those between pictures;
* tiles: so must the scores of tight crops of one scene, each judged as a whole picture.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import UsageError, first_line
from priors import dense
from training import captions, entries
from training.haze_batches import Batch, Pools, Sampler, open_pools, patch_density
from training.haze_clip_export import export
from training.haze_clip_model import Words, build_model, encode_text, normalise, whiten_patches
from training.haze_clip_stages import read_stages
from training.haze_clip_validation import validate
from training.losses.degradation_words import (
    contrastive_loss,
    dense_loss,
    kind_fits,
    order_loss,
    pair_loss,
    tile_loss,
)
from training.optimizers import Optimizers
from training.recipe import Recipe
from training.stages import Stages
from training.task import Task

MAXIMUM_LOGIT_SCALE = math.log(100)
BESIDE_MUON = 0.3
"""Of Muon's rate, for what AdamW steps beside it."""

FOLDER = "open_clip"
"""In a run's folder: what any open_clip loads, as it is embedded."""

_TERMS = ("contrastive", "haze", "pairs", "dense", "order", "tiles")


class HazeClipTask(Task):
    """Train the haze CLIP.

    A sample is all pictures of a step, which share one grid of patches; so ``batch`` is 1. The recipe's tables:

    - ``network``: an open_clip configuration.
    - ``data``: ``stages``, see ``training/haze_clip_stages.py``.
    - ``loss``: weights ``contrastive``, ``haze``, ``pairs``, ``dense``, ``order``, ``tiles``; ``captions_per_pole``,
      how many texts stand for each end of a degradation, and ``haze_texts``, how many for each end of haze.

    Raises:
        UnknownNameError: A table of the recipe has an entry that means nothing to the task.
        UsageError: The network cannot be built, the stages end before the recipe, or ``batch`` is not 1.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("stages",),
        "loss": (*_TERMS, "captions_per_pole", "haze_texts"),
        "validation": (),
    }

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        if recipe.batch != 1:
            raise UsageError(f"A sample of the haze CLIP is a whole step, so batch is 1; it is {recipe.batch}.")
        stages = read_stages(recipe.data.get("stages", ()))
        last = stages[-1].until if stages else 0
        if recipe.steps > last:
            raise UsageError(f"The stages of {recipe.name} have {last} steps, and it wants {recipe.steps}; add one.")
        self._stages = Stages([stage.until for stage in stages], stages, stages[-1])
        loss = recipe.loss
        self._haze_texts = entries.whole(loss.get("haze_texts", 8), "loss.haze_texts", least=1)
        self._texts = entries.whole(loss.get("captions_per_pole", 5), "loss.captions_per_pole", least=2)
        self._weights = entries.weights(recipe.loss, _TERMS)
        try:
            self.words = Words(int(recipe.network["text_cfg"]["context_length"]))
            self.model = build_model(recipe.network, self.words)
        except (TypeError, ValueError, KeyError) as error:
            raise UsageError(
                f"The recipe's network is no configuration of open_clip ({first_line(error)}); mend its entries."
            ) from error
        for name, parameter in self.model.named_parameters():
            parameter._no_decay = "embedding" in name  # type: ignore[attr-defined]
            parameter._no_muon = "resblocks" not in name  # type: ignore[attr-defined]
        self._sampler: Sampler | None = None
        self._held_out: Pools | None = None

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        self._sampler = Sampler(open_pools(root, cache, validation=False), self.recipe.seed)
        self._held_out = open_pools(root, cache, validation=True)

    def start(self) -> None:
        """See :meth:`Task.start`: filters from photographs, see ``whiten_patches``."""
        assert self._sampler is not None, "prepare() comes first"
        pools = self._sampler.pools
        photographs = [*(pools.photographs[i] for i in range(0, len(pools.photographs), 2))]
        photographs += [pools.nyu[i] for i in range(0, len(pools.nyu), 8)]
        whiten_patches(self.model, photographs, np.random.default_rng(self.recipe.seed))

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`: the pictures of step ``index``, on a grid drawn from those of its stage."""
        assert self._sampler is not None, "prepare() comes first"
        stage = self._stages.at(index)
        rows, columns, count = random.Random(f"{self.recipe.seed}/{index}").choice(stage.grids)
        patch = self.recipe.network["vision_cfg"]["patch_size"]
        batch = self._sampler.batch(index, count, (rows * patch, columns * patch), **stage.sampler)
        return {f.name: getattr(batch, f.name) for f in fields(Batch)}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`; ``scale`` is CLIP's and only logged."""
        return self._losses(Batch(**{key: value[0] for key, value in batch.items()}))

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        draw = random.Random(f"{self.recipe.seed}/{self.step}/words")
        encoded = dense.encode(self.model.visual, normalise(batch.pixels))
        picture = F.normalize(encoded.picture, dim=-1)
        patches = F.normalize(encoded.patches, dim=1).flatten(2).transpose(1, 2)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAXIMUM_LOGIT_SCALE)
        scale = self.model.logit_scale.exp()

        said = [captions.caption_of(labels.tolist(), int(kind), draw)
                for labels, kind in zip(batch.labels, batch.kinds, strict=True)]  # fmt: skip
        pairs = {name: self._pair_texts(name, draw) for name in (*captions.CONCEPTS, "clean")}
        labels = torch.cat([batch.labels, batch.labels.amax(1, keepdim=True)], 1)
        texts = [text for text, _ in said] + [t for pos, neg in pairs.values() for t, _ in (*pos, *neg)]
        text = encode_text(self.model, self.words(texts).to(picture.device))

        logits = scale * picture @ text[: len(said)].T
        losses = {"contrastive": contrastive_loss(logits, [claim for _, claim in said], batch.labels, batch.kinds)}
        start, pair_losses = len(said), []
        for index, (name, (positive, negative)) in enumerate(pairs.items()):
            ends = text[start : start + len(positive)], text[start + len(positive) :][: len(negative)]
            start += len(positive) + len(negative)
            fits = kind_fits([kind for _, kind in positive], batch.kinds)
            term = pair_loss(picture, *ends, scale, labels[:, index], fits)
            if name == "haze":
                losses["haze"] = term
                target = patch_density(batch.density, encoded.patches.shape[-2:])
                losses["dense"] = dense_loss(patches, *ends, scale, target, fits)
                direction = ends[0].mean(0) - ends[1].mean(0)
                losses["order"] = order_loss(patches @ direction, target)
                losses["tiles"] = tile_loss(picture @ direction, target.mean(1), batch.scene)
            else:
                pair_losses.append(term)
        losses["pairs"] = torch.stack(pair_losses).mean()
        weights = {**self._weights, **self._stages.at(self.step).weights}
        total = torch.stack([weights[key] * value for key, value in losses.items()]).sum()
        return {"loss": total, **losses, "scale": scale}

    def _pair_texts(self, concept: str, draw: random.Random) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        count = self._haze_texts if concept == "haze" else self._texts
        if concept == "clean":
            degraded, clean = (captions.draw_phrases("clean", good, count, draw) for good in (False, True))
            return degraded, clean
        # "clear image" must work against every degradation, so general words for quality stand among the negatives.
        general = max(1, count // 4)
        negative = captions.draw_phrases(concept, False, count - general, draw)
        negative += captions.draw_phrases("clean", True, general, draw)
        return captions.draw_phrases(concept, True, count, draw), negative

    def learning_rate(self, step: int) -> float:
        """See :meth:`Task.learning_rate`: the stage's where it has one."""
        own = self._stages.at(step).learning_rate(step)
        return super().learning_rate(step) if own is None else own

    def decay(self, step: int) -> float:
        """See :meth:`Task.decay`: the stage's where it has one."""
        own = self._stages.at(step).ema
        return super().decay(step) if own is None else own

    def optimizers(self) -> Optimizers:
        """See :meth:`Task.optimizers`: embeddings do not decay, and Muon steps only matrices inside the towers."""
        recipe = self.recipe
        return Optimizers(
            self, weight_decay=recipe.weight_decay, muon=recipe.muon, betas=(0.9, 0.98), beside_muon=BESIDE_MUON
        )

    def validate(self, model: nn.Module) -> dict[str, float]:
        """See :meth:`Task.validate`."""
        assert self._held_out is not None, "prepare() comes first"
        return validate(model, self._held_out, self.words)

    def keep(self, folder: Path, model: nn.Module, step: int, figures: Mapping[str, float]) -> None:
        """See :meth:`Task.keep`: the folder that is embedded."""
        export(folder / FOLDER, model, self.words, self.recipe, step, figures)
