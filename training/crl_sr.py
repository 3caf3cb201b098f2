"""CRL-SR's task: enlarge pictures of many degradations, with two contrastive losses over positions.

``L = |I_s - I_h| + l_bc L_bc + l_nce L_srnce + l_rec |D_rec(E_f(I_h)) - I_h|``. The paper's weights, layers and data
are not published; what is chosen here, and why, is in docs/methods/crl_sr.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from errors import SetError, UnknownNameError, UsageError
from images import read_picture
from restorers.networks.crl_sr import CrlSr
from training import data, entries
from training.crl_parts import DetailRemover, FeatureExtractor, ProjectionHead, Reconstructor
from training.degradations import blind_sr
from training.degradations.kernels import gaussian_kernel
from training.losses.info_nce import TEMPERATURE, bidirectional, channels_as_vectors, conditional, sample_positions
from training.recipe import Recipe
from training.restorer_task import RestorerTask
from training.validate import ValidationPair

_TERMS = ("l1", "bidirectional", "conditional", "reconstruction")
_OPTIONS = (
    "positions",
    "temperature",
    "vectors",
    "both_anchors",
    "detach_condition",
    "extractor",
    "width",
    "blocks",
    "after",
    "every",
)


JUDGES = ("photographs", "set5")


class CrlSrTask(RestorerTask):
    """Train CRL-SR.

    The recipe's tables:

    - ``data``: ``patch`` of the small picture in pixels; ``mix``, see ``blind_sr.draw``; ``reduce``, the largest
      factor by which a photograph is reduced before it is cropped (1 leaves it alone); ``pictures``, a folder of large
      pictures of one's own in place of the photographs.
    - ``loss``: weights ``l1``, ``bidirectional``, ``conditional``, ``reconstruction``; ``positions`` M;
      ``temperature``; ``vectors``: ``spatial`` or ``channel``; ``both_anchors``; ``detach_condition`` (default: yes);
      ``extractor``: ``joint`` lets E_f learn from L_srnce and L_rec, ``reconstruction`` from L_rec alone; ``width``
      and ``blocks`` of the networks that exist only in training (default: those of the degradation remover);
      ``after``, the step from which the terms other than ``l1`` are added, in every ``every``-th step and as many
      times as heavy, so that their cost is shared.
    - ``validation``: ``set`` (``set5`` beside the other data, or ``photographs``), ``degradation`` (``bicubic``,
      ``isotropic2.4``, ``mode4``), ``pairs`` of the quick selection, ``pictures``, a folder of one's own in place of
      the set.
    """

    model: CrlSr
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("patch", "mix", "reduce", "pictures"),
        "loss": _TERMS + _OPTIONS,
        "validation": ("set", "degradation", "pairs", "pictures"),
    }

    required = ("patch", "mix")

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        options, loss = recipe.data, recipe.loss
        self.weights = entries.weights(loss, _TERMS)
        self.temperature = entries.number(loss.get("temperature", TEMPERATURE), "loss.temperature", above=0)
        self.positions = entries.whole(loss.get("positions", 256), "loss.positions", least=1)
        self.vectors = entries.one_of(loss.get("vectors", "spatial"), "loss.vectors", ("spatial", "channel"))
        extractor = loss.get("extractor", "joint")
        self.learning = entries.one_of(extractor, "loss.extractor", ("joint", "reconstruction"))
        self.after = entries.whole(loss.get("after", 0), "loss.after")
        self.every = entries.whole(loss.get("every", 1), "loss.every", least=1)
        self.patch = entries.whole(options["patch"], "data.patch", least=1)
        self.reduce = entries.number(options.get("reduce", 1.0), "data.reduce", least=1)
        mix = entries.table(options["mix"], "data.mix")
        self.mix = {kind: entries.number(share, f"data.mix.{kind}", least=0) for kind, share in mix.items()}
        scale, embedded = self.model.scale, self.model.remover.head.out_channels
        self.protocol = f"sr-y{scale}"  # as many border pixels are left out
        spatial = self.vectors == "spatial"
        width = entries.whole(loss.get("width", embedded), "loss.width", least=1)
        if not spatial and width != embedded:
            raise UsageError("loss.vectors: channel compares channel by channel; leave loss.width out.")
        if self.weights["bidirectional"]:
            blocks = entries.whole(loss.get("blocks", len(self.model.remover.body)), "loss.blocks")
            self.detail_remover = DetailRemover(width, blocks, scale)
            if spatial:
                self.low_head, self.high_head = ProjectionHead(embedded), ProjectionHead(width)
        if self.weights["conditional"] or self.weights["reconstruction"]:
            self.extractor = FeatureExtractor(width, scale)
        if self.weights["conditional"] and spatial:
            self.feature_head, self.condition_head = ProjectionHead(width), ProjectionHead(embedded)
        if self.weights["reconstruction"]:
            self.reconstructor = Reconstructor(width, scale)
        self.judge = entries.one_of(recipe.validation.get("set", "photographs"), "validation.set", JUDGES)
        self._pool: data.PicturePool | None = None
        self._held_out: data.PicturePool | None = None
        self._root = Path()

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        self._root = root
        own, held_out = (table.get("pictures") for table in (self.recipe.data, self.recipe.validation))
        if own:
            self._pool = data.open_folder(root / str(own), cache)
        else:
            (self._pool,) = data.packed(
                cache,
                "photographs-full",
                [root / "bsds400.tar"],
                lambda: ((picture, {"name": name}) for name, picture in data.bsds(root)),
            )
        if held_out:
            self._held_out = data.open_folder(root / str(held_out), cache)
        least, side = min((min(shape[:2]) for shape in self._pool.shapes), default=0), self.patch * self.model.scale
        if least < side:
            raise SetError(
                f"The smallest training picture has {least} pixels a side, and a patch shows {side}; lower data.patch "
                "in the recipe, or leave such pictures out."
            )

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        assert self._pool is not None, "prepare() comes first"
        rng = np.random.default_rng((self.recipe.seed, index))
        scale = self.model.scale
        side = self.patch * scale
        picture = self._pool[int(rng.integers(len(self._pool)))]
        short = min(picture.shape[:2])
        reduced = max(side, round(short / rng.uniform(1.0, self.reduce)))
        picture = data.reduce_picture(picture, reduced)
        top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        crop = np.rot90(picture[top : top + side, left : left + side], int(rng.integers(4)))
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        high = data.to_tensor(crop)
        low = blind_sr.draw(high[None], scale, rng, self.mix)[0]
        return {"low": low, "high": high}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        low, high = batch["low"], batch["high"]
        embedding, restored = self.model.parts(low)
        losses = {"l1": (restored.float() - high).abs().mean()}
        if self.step < self.after or self.step % self.every:
            absent = {key: losses["l1"].new_zeros(()) for key in _TERMS[1:] if self.weights[key]}
            return {"loss": self.weights["l1"] * losses["l1"], **losses, **absent}
        if self.weights["bidirectional"]:
            vectors = self._vectors([embedding, self.detail_remover(high)], ("low_head", "high_head"))
            losses["bidirectional"] = bidirectional(*vectors, temperature=self.temperature)
        if self.weights["conditional"]:
            losses["conditional"] = self._conditional(embedding, restored, high)
        if self.weights["reconstruction"]:
            losses["reconstruction"] = (self.reconstructor(self.extractor(high)).float() - high).abs().mean()
        losses = {key: value if key == "l1" else self.every * value for key, value in losses.items()}
        total = torch.stack([self.weights[key] * value for key, value in losses.items()]).sum()
        return {"loss": total, **losses}

    def _conditional(self, embedding: Tensor, restored: Tensor, high: Tensor) -> Tensor:
        loss = self.recipe.loss
        condition = embedding.detach() if loss.get("detach_condition", True) else embedding
        pictures = torch.cat((restored, high))
        if self.learning == "reconstruction":
            # Gradients pass through E_f to the result and leave E_f itself alone.
            frozen = {name: parameter.detach() for name, parameter in self.extractor.named_parameters()}
            features = functional_call(self.extractor, frozen, (pictures,))
        else:
            features = self.extractor(pictures)
        maps = [*features.chunk(2), condition]
        vectors = self._vectors(maps, ("feature_head", "feature_head", "condition_head"))
        return conditional(*vectors, temperature=self.temperature, both_anchors=bool(loss.get("both_anchors", False)))

    def _vectors(self, maps: list[Tensor], heads: tuple[str, ...]) -> list[Tensor]:
        if self.vectors == "channel":
            return [F.normalize(v.float(), dim=-1) for v in channels_as_vectors(maps)]
        # The loop seeds torch with the step, so the draw is a function of the step as well.
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        sampled = sample_positions(maps, self.positions, generator)
        return [getattr(self, head)(v).float() for head, v in zip(heads, sampled, strict=True)]

    def validation(self, *, full: bool = False) -> Sequence[ValidationPair]:
        """Pictures that were never trained on, degraded as the recipe says."""
        options = self.recipe.validation
        scale = self.model.scale
        degrade = degradation(str(options.get("degradation", "bicubic")), scale)
        pictures: Iterable[tuple[str, np.ndarray]]
        if self._held_out is not None:
            pool = self._held_out
            pictures = ((str(pool.facts[index]["name"]), pool[index]) for index in range(len(pool)))
        elif self.judge == "set5":
            pictures = set5(self._root)
        else:
            pictures = data.bsds(self._root, validation=True)
        pairs = [ValidationPair(name, partial(_degraded, picture, scale, degrade)) for name, picture in pictures]
        return pairs if full else pairs[: self.quick(len(pairs))]


def degradation(name: str, scale: int) -> Callable[[Tensor], Tensor]:
    """A fixed degradation for validation.

    Args:
        name: ``bicubic``; ``isotropicS`` with the kernel's deviation S in pixels (``isotropic2.4``); ``modeK``,
            MANet's spatially variant mode K.
        scale: How many times smaller.

    Raises:
        UnknownNameError: Something else.
    """
    if name == "bicubic":
        return partial(blind_sr.bicubic, scale=scale)
    try:
        if name.startswith("isotropic"):
            kernel = gaussian_kernel(blind_sr.WINDOW, float(name.removeprefix("isotropic")) ** 2)
            return partial(blind_sr.blurred_bicubic, scale=scale, kernels=kernel)
        if name.startswith("mode"):
            return partial(blind_sr.spatially_variant, scale=scale, mode=int(name.removeprefix("mode")))
    except ValueError:
        pass  # no number follows: no such degradation
    raise UnknownNameError("degradation", name, ("bicubic", "isotropic2.4", "mode4"))


def set5(root: Path) -> list[tuple[str, np.ndarray]]:
    """The five high-resolution test pictures below ``root / "set5"``; for validation only.

    Raises:
        SetError: They are not there.
    """
    files = sorted((root / "set5").glob("*_HR.png"))
    if not files:
        raise SetError(f"There are no Set5 pictures in {root / 'set5'}; validate on photographs instead.")
    return [(file.stem.removesuffix("_HR"), read_picture(file).pixels) for file in files]


def _degraded(picture: np.ndarray, scale: int, degrade: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    height, width = (side - side % scale for side in picture.shape[:2])
    high = data.to_tensor(picture[:height, :width])[None]
    return degrade(high), high
