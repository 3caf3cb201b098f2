"""How hazy is a picture, and where: a score, a map, and re-scoring in milliseconds when the words change.

Score: ``softmax(logit_scale * cos)`` over the positive and the negative end of a prompt set, CLIP-IQA's convention
(Wang, Chan, Loy, AAAI 2023). Map: the same per place, by two routes that can be fused.

* dense: patch features of a single pass (``priors.dense``) on grids that follow the picture's shape;
* tiles: overlapping crops of two sizes, each through the whole tower; slow, but works with any image tower.

Fused they rank places better than either alone and take several times as long (docs/haze_estimation.md): the default
for small image towers, while large ones are asked for patches only. Maps are averaged as logits, enlarged bilinearly,
and given the picture's edges by a guided filter. Encoding the picture is the expensive part and knows nothing of the
words, so it happens once (``EncodedPicture``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from errors import PromptError
from guided_filter import guided_filter
from images import Picture
from priors.clip import MINIMUM_GRID
from priors.prompts import PromptSet, end_features, prompt_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from priors.clip import ClipPrior

MAXIMUM_SIDE = 1024
"""Pictures are reduced to this long side before encoding; towers look at a few hundred pixels anyway."""

GRID_SCALES = (1.0, 1.25, 1.5, 1.75)
"""Grids of the automatic dense route, as multiples of the model's native one."""

TILE_FRACTIONS = (0.35, 0.5)
"""Sides of the tile route's crops as shares of the picture's short side."""

SMALL_TOWER = 10_000_000
"""Parameters of an image tower up to which the automatic route looks at tiles as well."""

TILE_SHARE = 0.25
"""Share of the tiles in the map when both routes are asked for."""

_EDGE_EPSILON = 1e-3


@dataclass(frozen=True, eq=False)
class PlaceFeatures:
    """Features at places of a picture on a regular grid.

    Attributes:
        features: (D,h,w) normalised.
        margins: where the first row's and the first column's centre lie, as shares of height and width; None is half
            a cell. Tiles overlap, so their centres stay farther from the border.
    """

    features: Tensor
    margins: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class EncodedPicture:
    """A picture as a prior sees it; scoring it under other words costs milliseconds.

    Attributes:
        prior: the model that encoded it.
        feature: (D,) normalised, of the whole picture.
        places: one or several grids of place features; empty if no map was asked for.
        guide: (H,W,3) at full size, for the edges of the map: the pixels of a file as they are, which takes a quarter
            of the memory, or float32 in [0,1].
        name: of the picture.
    """

    prior: ClipPrior
    feature: Tensor
    places: tuple[PlaceFeatures, ...]
    guide: np.ndarray | None
    name: str = ""

    @property
    def nbytes(self) -> int:
        """Memory it takes, without the prior's."""
        held = [self.feature, *(place.features for place in self.places), self.guide]
        return sum(one.nbytes for one in held if one is not None)

    def score(self, prompts: PromptSet) -> float:
        """Probability of the positive end, 0 to 1."""
        positive, negative = end_features(self.prior, prompts)
        logit = self.prior.logit_scale * (self.feature @ (positive - negative))
        return float(torch.sigmoid(logit))

    def similarities(self, prompts: PromptSet) -> list[tuple[str, str, float]]:
        """(end, text, cosine) for every prompt, positives first: what bars are drawn from."""
        positive, negative = prompt_features(self.prior, prompts)
        rows = [("positive", t, c) for t, c in zip(prompts.positives, (positive @ self.feature).tolist(), strict=True)]
        rows += [("negative", t, c) for t, c in zip(prompts.negatives, (negative @ self.feature).tolist(), strict=True)]
        return rows

    def coarse_map(self, prompts: PromptSet) -> np.ndarray:
        """float32 (h,w) in [0,1] on the finest grid that was encoded, before enlarging."""
        if not self.places:
            raise PromptError(f"{self.name or 'The picture'} was encoded for scoring only; encode it with maps=True.")
        positive, negative = end_features(self.prior, prompts)
        direction = self.prior.logit_scale * (positive - negative)
        finest = max((p.features.shape[-2:] for p in self.places), key=lambda s: s[0] * s[1])
        dense, tiles = [], []
        for place in self.places:
            logits = torch.einsum("dhw,d->hw", place.features, direction).cpu().numpy()
            (dense if place.margins is None else tiles).append(_enlarge(logits, finest, place.margins))
        total = np.mean(dense or tiles, axis=0)
        if dense and tiles:
            # A tile is judged as a whole picture is, hazy or not: of its logits only the order among tiles counts.
            total += TILE_SHARE * (_like(np.mean(tiles, axis=0), total) - total)
        return 1 / (1 + np.exp(-total))

    def map(self, prompts: PromptSet, *, refine: bool = True) -> np.ndarray:
        """Haze density at every pixel.

        Args:
            prompts: the words.
            refine: follow the picture's edges (guided filter); False is the bilinear enlargement.

        Returns:
            float32 (H,W) in [0,1], 1 the densest.
        """
        coarse = self.coarse_map(prompts)
        height, width = self.guide.shape[:2]
        density = _enlarge(coarse, (height, width))
        if refine:
            radius = max(2, round(max(height / coarse.shape[0], width / coarse.shape[1])))
            density = guided_filter(_unit(self.guide), density, radius, _EDGE_EPSILON, subsample=max(1, radius // 6))
        return np.clip(density, 0.0, 1.0)


def encode_picture(
    prior: ClipPrior,
    picture: Picture | Tensor,
    *,
    maps: bool = True,
    grid: str | int = "auto",
    route: str = "auto",
) -> EncodedPicture:
    """Encode a picture once, for any number of prompt sets.

    Args:
        prior: from ``priors.clip.load``.
        picture: a Picture or a (1,3,H,W) tensor in [0,1].
        maps: also encode places; False is faster and allows scores only.
        grid: "auto" is the model's native grid and three finer ones; a number is patches along the short side.
        route: "dense", "tiles", "both", or "auto": both for a small image tower, dense for a large one, tiles for one
            without patch features.

    Raises:
        PromptError: the dense route on a model without patch features, or a grid out of range.
    """
    full = picture.to_tensor() if isinstance(picture, Picture) else picture
    name = picture.name if isinstance(picture, Picture) else ""
    batch = reduce_batch(full)
    with torch.inference_mode():
        feature = prior.encode_image(batch)[0]
        places = _places(prior, batch, grid, route) if maps else ()
    guide = None
    if maps:
        guide = picture.pixels if isinstance(picture, Picture) else full[0].permute(1, 2, 0).cpu().numpy()
        guide = np.ascontiguousarray(guide)
    return EncodedPicture(prior, feature, places, guide, name)


def encode_many(prior: ClipPrior, pictures: Sequence[Picture], *, batch_size: int = 16) -> Tensor:
    """(N,D) features for scores only; pictures of one size are encoded together."""
    features: list[Tensor | None] = [None] * len(pictures)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(picture.pixels.shape[:2], []).append(index)
    with torch.inference_mode():
        for members in groups.values():
            for start in range(0, len(members), batch_size):
                chunk = members[start : start + batch_size]
                batch = torch.cat([reduce_batch(pictures[i].to_tensor()) for i in chunk])
                for i, feature in zip(chunk, prior.encode_image(batch), strict=True):
                    features[i] = feature
    return torch.stack(features)


def scores_of(prior: ClipPrior, features: Tensor, prompts: PromptSet) -> np.ndarray:
    """(N,) probabilities of the positive end for features of ``encode_many``."""
    positive, negative = end_features(prior, prompts)
    return torch.sigmoid(prior.logit_scale * (features @ (positive - negative))).cpu().numpy()


def _places(prior: ClipPrior, batch: Tensor, grid: str | int, route: str) -> tuple[PlaceFeatures, ...]:
    if route not in ("auto", "dense", "tiles", "both"):
        raise PromptError(f"There is no route {route!r} to a density map; auto, dense, tiles and both exist.")
    if route == "auto":
        small = sum(p.numel() for p in prior.model.visual.parameters()) <= SMALL_TOWER
        route = "tiles" if prior.patch_size is None else "both" if small else "dense"
    dense_route = route != "tiles"
    places = []
    if dense_route:
        prior.require_patches()
        places += [PlaceFeatures(prior.encode_patches(batch, g)[0]) for g in _grids(prior, batch, grid)]
    if route != "dense":
        places += [tile_features(prior, batch, fraction=fraction) for fraction in TILE_FRACTIONS]
    return tuple(places)


def _grids(prior: ClipPrior, batch: Tensor, grid: str | int) -> list[tuple[int, int]]:
    size = batch.shape[-2:]
    if grid != "auto":
        try:
            return [prior.grid_for(*size, short=int(grid))]
        except ValueError:
            raise PromptError(f"A grid is 'auto' or a number of patches, not {grid!r}.") from None
    native = min(prior.grid_for(*size))
    # A grid finer than the picture's own pixels invents nothing, so a small picture goes without the finest ones.
    fitting = [g for g in GRID_SCALES if g <= 1 or min(size) >= g * native * prior.patch_size / 2]
    return [prior.grid_for(*size, short=max(MINIMUM_GRID, round(scale * native))) for scale in fitting]


def tile_features(
    prior: ClipPrior, batch: Tensor, *, fraction: float = TILE_FRACTIONS[0], batch_size: int = 16
) -> PlaceFeatures:
    """Features of overlapping square crops, stride half a crop.

    Args:
        prior: any CLIP.
        batch: (1,3,H,W) in [0,1].
        fraction: side of a crop as a share of the short side.
        batch_size: crops that go through the tower together.

    Returns:
        One feature per crop, in reading order.
    """
    height, width = batch.shape[-2:]
    side = max(16, min(height, width, round(min(height, width) * fraction)))
    stride = max(1, side // 2)
    tops, lefts = _starts(height, side, stride), _starts(width, side, stride)
    crops = [batch[0, :, top : top + side, left : left + side] for top in tops for left in lefts]
    features = [prior.encode_image(torch.stack(crops[i : i + batch_size])) for i in range(0, len(crops), batch_size)]
    grid = torch.cat(features).T.unflatten(1, (len(tops), len(lefts)))
    return PlaceFeatures(grid, (side / 2 / height, side / 2 / width))


def _starts(length: int, side: int, stride: int) -> list[int]:
    """Evenly spread starts that cover 0 to ``length``."""
    count = max(1, -(-(length - side) // stride) + 1)
    return [round(i * (length - side) / max(1, count - 1)) for i in range(count)]


def reduce_batch(batch: Tensor) -> Tensor:
    """Area-average (N,3,H,W) to at most ``MAXIMUM_SIDE`` pixels on the long side."""
    height, width = batch.shape[-2:]
    scale = MAXIMUM_SIDE / max(height, width)
    if scale >= 1:
        return batch
    size = (max(16, round(height * scale)), max(16, round(width * scale)))
    return torch.nn.functional.interpolate(batch, size, mode="area")


def _unit(pixels: np.ndarray) -> np.ndarray:
    """Pixels of 8 or 16 bits as float32 in [0,1]; others as they are."""
    if pixels.dtype.kind == "f":
        return pixels
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def _like(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Values moved and scaled to the mean and the deviation of others."""
    return other.mean() + (values - values.mean()) * (other.std() / max(float(values.std()), 1e-6))


def _enlarge(values: np.ndarray, size: tuple[int, int], margins: tuple[float, float] | None = None) -> np.ndarray:
    """Bilinear enlargement of values whose outermost centres lie ``margins`` inside; beyond them the border repeats."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if margins is None:
        return values if values.shape == tuple(size) else cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    rows, columns = (
        (((np.arange(n) + 0.5) / n - margin) / max(1e-6, 1 - 2 * margin) * (cells - 1)).astype(np.float32)
        for n, margin, cells in zip(size, margins, values.shape, strict=True)
    )
    at_columns, at_rows = np.meshgrid(columns, rows)
    return cv2.remap(values, at_columns, at_rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
