"""SCL-LLE's task: learn to brighten from unpaired exposures, semantic labels and the curve's own smoothness.

No picture is ever compared with another exposure of its own scene. A sample is one dark crop and small sets of crops
of *other* pictures: well-exposed ones to come near to, under- and over-exposed ones to stay away from. Dark crops are
taken from really under-exposed photographs and from labelled indoor scenes darkened in linear light.

Where this departs from the paper and its script: docs/methods/scl_lle.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import SetError, UsageError
from eval.sets import open_set
from restorers.networks.scl_lle import SclLle, apply_curves
from training import data, entries
from training.degradations.low_light import low_light
from training.exposures import SHORT, open_exposures, pseudo_pairs
from training.hazy_pairs import pairs_of
from training.losses.curve import (
    Alignment,
    brightness_contrast,
    colour_constancy,
    curve_agreement,
    curve_smoothness,
    exposure,
)
from training.losses.features import Features, SequentialTaps, create_features
from training.losses.gram import gram_triplet
from training.losses.semantic import IGNORED, segmentation, semantic_brightness
from training.recipe import Recipe
from training.restorer_task import RestorerTask
from training.segmenters import create_segmenter, predict_labels
from training.validate import ValidationPair

DARK_LUMA = (8.0, 34.0)
UNDER_LUMA, OVER_LUMA = 60.0, 180.0
NORMAL_LUMA = (100.0, 136.0)

FOLDERS = ("dark", "normal", "over")
"""Of one's own pictures; dark ones are what is brightened and what is too dark as well."""

_TERMS = (
    "smoothness",
    "agreement",
    "colour",
    "semantic",
    "preservation",
    "brightness",
    "position",
    "exposure",
    "gram",
    "segmentation",
)
_OPTIONS = (
    "features",
    "feature_scale",
    "brightness_margin",
    "gram_margin",
    "alignment",
    "area_mean",
    "detach",
)


class SclLleTask(RestorerTask):
    """Train the curve network without pairs.

    The recipe's tables:

    - ``data``: ``crop`` in pixels; ``least``, the smallest share of a picture's short side that a crop shows before it
      is reduced to that size; ``references``, how many well-exposed, under- and over-exposed crops each sample
      brings along; ``labelled``, the share of dark crops that are darkened NYU scenes; ``gain``, how much linear light
      those keep (low, high); ``electrons``, the range of their sensor's full well, or nothing for noise-free;
      ``segmenter``, a name for ``training.segmenters`` that labels what has no labels; ``folders``, a table of
      folders of one's own pictures, ``dark``, ``normal`` and ``over`` (exposed), in place of the multi-exposure set.
    - ``loss``: weights ``smoothness``, ``agreement``, ``colour``, ``semantic``, ``preservation``, ``brightness``,
      ``position`` (the brightness hinge once more, pixel by pixel as the released script has it), ``exposure``,
      ``gram``; margins ``brightness_margin``, ``gram_margin``; ``alignment`` (``picture``, ``rank``, ``position``);
      ``features``; ``feature_scale``, by which feature maps are multiplied; ``area_mean``, the released form of the
      semantic term; ``segmentation``, the weight of the segmenter's cross-entropy, whose classes then have to be those
      of the labels, and ``detach``, which takes its gradient away as the released script does.
    - ``validation``: ``pairs`` of the quick selection; with ``data.folders``, ``dark`` and ``clear``, folders of
      pictures that pair by name, or nothing is validated.
    """

    model: SclLle
    protocol = "lowlight-rgb"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("crop", "least", "references", "labelled", "gain", "electrons", "segmenter", "folders"),
        "loss": _TERMS + _OPTIONS,
        "validation": ("pairs", "dark", "clear"),
    }

    required = ("crop",)

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        options, loss = recipe.data, recipe.loss
        self.weights = entries.weights(loss, _TERMS)
        self.margins = {
            key: entries.number(loss.get(key, default), f"loss.{key}")
            for key, default in (("brightness_margin", 0.3), ("gram_margin", 0.04))
        }
        self.alignment = entries.one_of(loss.get("alignment", "rank"), "loss.alignment", get_args(Alignment))
        self.feature_scale = entries.number(loss.get("feature_scale", 1.0), "loss.feature_scale", above=0)
        self.crop = entries.whole(options["crop"], "data.crop", least=1)
        self.references = entries.whole(options.get("references", 4), "data.references", least=1)
        self.labelled = entries.number(options.get("labelled", 0.0), "data.labelled", least=0, most=1)
        self.gain = entries.between(options.get("gain", (0.02, 0.25)), "data.gain", least=0)
        electrons = options.get("electrons")
        self.electrons = entries.between(electrons, "data.electrons", above=0) if electrons else None
        self.folders = entries.table(options.get("folders", {}), "data.folders")
        if self.folders and set(self.folders) != set(FOLDERS):
            raise UsageError(f"The recipe's data.folders has to name {', '.join(FOLDERS)}, each a folder below --data.")
        self._segmenter: list[nn.Module] = []
        self._features: list[Features] = []  # in lists: frozen networks are no submodules
        self._pools: dict[str, data.PicturePool] = {}
        self._members: dict[str, np.ndarray] = {}
        self._root = Path()
        self._least = entries.number(options.get("least", 0.0), "data.least", least=0, most=1)

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        self._root = root
        if self.folders:
            own = {group: data.open_folder(root / str(self.folders[group]), cache, SHORT) for group in FOLDERS}
            self._pools = {**own, "under": own["dark"]}
            self._members = {group: np.arange(len(pool)) for group, pool in self._pools.items()}
        else:
            exposures = open_exposures(root, cache)
            self._members = exposure_groups([fact["luma"] for fact in exposures.facts])
            self._pools = dict.fromkeys(self._members, exposures)
        if self.labelled:
            self._pools["labelled"] = _open_labelled(root, cache)
        if self.recipe.data.get("segmenter"):
            self._segmenter = [create_segmenter(str(self.recipe.data["segmenter"]), root)]
        if self.weights["preservation"] or self.weights["gram"]:
            self._features = [first_taps(create_features(str(self.recipe.loss.get("features", "squeezenet")), root))]

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        rng = np.random.default_rng((self.recipe.seed, index))
        size = self.crop
        if rng.random() < self.labelled:
            dark, labels = self._darkened(size, rng)
        else:
            dark = self._crop("dark", size, rng)
            labels = torch.full((size, size), IGNORED, dtype=torch.int64)
        groups = {
            group: torch.stack([self._crop(group, size, rng) for _ in range(self.references)])
            for group in ("normal", "under", "over")
        }
        return {"dark": dark, "labels": labels, **groups}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        dark = batch["dark"]
        normal, under, over = (batch[group].flatten(0, 1) for group in ("normal", "under", "over"))
        curves = self.model.curves(self.model.reduced(dark)).float()
        bright = apply_curves(dark, curves)
        loss = self.recipe.loss
        losses = {
            "smoothness": curve_smoothness(curves),
            "agreement": curve_agreement(curves),
            "colour": colour_constancy(bright),
            "exposure": exposure(bright, normal),
        }
        margin = self.margins["brightness_margin"]
        contrast = partial(
            brightness_contrast,
            bright,
            normal,
            margin=margin,
            alignment=self.alignment,
        )
        # One hinge a kind of negative: pooled, under- and over-exposure cancel where a picture lies between them.
        losses["brightness"] = (contrast(negative=under) + contrast(negative=over)) / 2
        if self.weights["position"]:
            near, *far = (group[: len(bright)] for group in (normal, under, over))
            contrasts = [
                brightness_contrast(bright, near, negative, margin=margin, alignment="position") for negative in far
            ]
            losses["position"] = torch.stack(contrasts).mean()
        if self.weights["semantic"]:
            labels = self._labels(bright, batch["labels"])
            losses["semantic"] = semantic_brightness(bright, labels, area_mean=bool(loss.get("area_mean", False)))
        known = batch["labels"] != IGNORED
        if self._segmenter and self.weights["segmentation"] and bool(known.any()):
            segmenter = self._segmenter[0].to(bright.device)
            losses["segmentation"] = segmentation(
                segmenter, bright, batch["labels"], detach=bool(loss.get("detach", False))
            )
        if self._features:
            losses |= self._feature_losses(dark, bright, normal, under, over)
        total = torch.stack([self.weights[key] * value for key, value in losses.items()]).sum()
        return {"loss": total, **losses}

    def _labels(self, bright: Tensor, labels: Tensor) -> Tensor:
        """The data's labels; where a picture has none, the segmenter's of the enhanced picture."""
        bare = (labels == IGNORED).flatten(1).all(1)
        if not self._segmenter or not bool(bare.any()):
            return labels
        predicted = predict_labels(self._segmenter[0].to(bright.device), bright[bare])
        labels = labels.clone()
        labels[bare] = predicted.to(labels)
        return labels

    def _feature_losses(
        self, dark: Tensor, bright: Tensor, normal: Tensor, under: Tensor, over: Tensor
    ) -> dict[str, Tensor]:
        scale, count = self.feature_scale, len(bright)
        network = self._features[0].to(bright.device)
        negative = torch.cat((under[: count // 2], over[: count - count // 2]))
        output = [scale * maps for maps in network(bright)]
        with torch.no_grad():
            known = [(scale * maps).chunk(3) for maps in network(torch.cat((normal[:count], negative, dark)))]
        shallow = slice(0, 2)
        return {
            "gram": gram_triplet(
                output[shallow],
                [maps[0] for maps in known[shallow]],
                [maps[1] for maps in known[shallow]],
                margin=self.margins["gram_margin"],
            ),
            "preservation": F.mse_loss(output[-1], known[-1][2]),
        }

    def validation(self, *, full: bool = False) -> Sequence[ValidationPair]:
        """Pseudo-pairs of the held-out scenes, at full size (darkest and best exposure), or one's own pairs."""
        options = self.recipe.validation
        if not self.folders:
            pairs = list(pseudo_pairs(self._root))
        elif "dark" in options and "clear" in options:
            pairs = pairs_of(open_set(*(self._root / str(options[key]) for key in ("dark", "clear"))).pairs)
        else:
            pairs = []
        return pairs if full else pairs[: self.quick(len(pairs))]

    def _crop(self, group: str, size: int, rng: np.random.Generator) -> Tensor:
        picture = self._pools[group][int(rng.choice(self._members[group]))]
        return data.to_tensor(data.random_square([picture], size, self._least, rng)[0])

    def _darkened(self, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        pool = self._pools["labelled"]
        (crop,) = data.random_square([pool[int(rng.integers(len(pool)))]], size, self._least, rng)
        low, high = self.gain
        shot = 1 / rng.uniform(*self.electrons) if self.electrons else 0.0
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        dark = low_light(data.to_tensor(crop[..., :3])[None], rng.uniform(low, high), shot, 0.0, generator)[0]
        labels = torch.from_numpy(crop[..., 3].astype(np.int64))
        return dark, torch.where(labels == 0, IGNORED, labels - 1)


def exposure_groups(luma: Sequence[float]) -> dict[str, np.ndarray]:
    """Indices of the dark (inputs), normal (positives), under- and over-exposed (negatives) pictures by mean luma."""
    values = np.asarray(luma)
    return {
        "dark": np.flatnonzero((values >= DARK_LUMA[0]) & (values <= DARK_LUMA[1])),
        "normal": np.flatnonzero((values >= NORMAL_LUMA[0]) & (values <= NORMAL_LUMA[1])),
        "under": np.flatnonzero(values <= UNDER_LUMA),
        "over": np.flatnonzero(values >= OVER_LUMA),
    }


def first_taps(features: Features) -> Features:
    """The first three taps of a plain feature network: two for style, the third, at an eighth of the size, to keep."""
    if not isinstance(features, SequentialTaps):
        return features
    taps = tuple(sorted(features.taps))[:3]
    shift = tuple(features.shift.flatten().tolist())
    return SequentialTaps(nn.Sequential(*features.layers), taps, features.weights[:3], features.scale, shift)


def _open_labelled(root: Path, cache: Path) -> data.PicturePool:
    files = [root / "nyu_images.tar", root / "nyu_labels40.tar"]
    return data.packed(cache, f"nyu-labelled-{SHORT}", files, partial(_labelled, root))[0]


def _labelled(root: Path) -> list[tuple[np.ndarray, dict]]:
    labels = data.tar_pictures(root / "nyu_labels40.tar")
    packed = []
    for (scene, (name, picture)), (label_name, label) in zip(
        enumerate(data.tar_pictures(root / "nyu_images.tar")), labels, strict=True
    ):
        if Path(name).stem != Path(label_name).stem:
            raise SetError(
                f"Picture {name} of nyu_images.tar meets label map {label_name} of nyu_labels40.tar; both tars have to "
                "hold the same scenes under the same names."
            )
        if scene % data.NYU_STRIDE == 0 and scene not in data.NYU_VALIDATION:
            small = data.reduce_picture(picture, SHORT)
            size = (small.shape[1], small.shape[0])
            classes = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
            packed.append((np.dstack((small, classes)), {"name": name}))
    return packed
