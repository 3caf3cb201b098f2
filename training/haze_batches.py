"""Batches for the haze CLIP: photographs, what was done to them, and how much of it.

A batch is drawn from three pools (NYU with true depth, photographs with plausible depth, exposure series that are
really dark or burnt out), cropped to one size, degraded on tensors and labelled: one number in [0,1] per picture and
concept, and the true ``1 - t`` of every patch. Everything comes from one seed and the step number, so a resumed run
sees the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training import data
from training.captions import CONCEPTS, HAZE_KINDS
from training.degradations import camera, haze, low_light
from training.degradations.depth import photograph_depth

DEPTH_FIELDS = 4
"""Depth fields drawn for each photograph when the pools are packed."""

TILES_PER_SCENE = 4

FULL_HAZE = 0.25
"""Mean ``1 - t`` from which on a picture counts as hazy without reserve; below, the label falls linearly to 0."""

_CONCEPT = {name: index for index, name in enumerate(CONCEPTS)}


@dataclass(frozen=True)
class Batch:
    """Degraded pictures and what is known about them.

    Attributes:
        pixels: (N,3,h,w) in [0,1].
        labels: (N, len(CONCEPTS)) in [0,1]; values between 0.1 and 0.9 are neither here nor there.
        kinds: (N,) index into HAZE_KINDS, -1 without haze.
        density: (N,1,h,w), the true ``1 - t``.
        scene: (N,) number of the scene that a tile was cut from, -1 for pictures that stand alone.
    """

    pixels: Tensor
    labels: Tensor
    kinds: Tensor
    density: Tensor
    scene: Tensor


def join(*batches: Batch) -> Batch:
    """One batch of several."""
    return Batch(*(torch.cat([getattr(b, f.name) for b in batches]) for f in fields(Batch)))


@dataclass(frozen=True)
class Pools:
    """The three sources of pictures; channels beyond the third are depth in 1/255."""

    nyu: data.PicturePool
    photographs: data.PicturePool
    exposures: data.PicturePool


def open_pools(root: Path, cache: Path, *, validation: bool, short: int = 240) -> Pools:
    """Open the packed pools, packing them first if needed (two minutes on one core).

    Args:
        root: folder of the tars.
        cache: folder of the packed arrays.
        validation: the held-out part.
        short: pictures are reduced to this short side.
    """
    part = "validation" if validation else "training"
    makers = {
        "nyu": (_pack_nyu, ("nyu_images.tar", "nyu_depth.tar")),
        "photographs": (_pack_photographs, ("bsds400.tar",)),
        "exposures": (_pack_exposures, ("multi_exposure.tar",)),
    }
    pools = []
    for name, (make, tars) in makers.items():
        files = [root / tar for tar in tars]
        pools += data.packed(cache, f"{name}-{part}-{short}", files, partial(make, root, validation, short))
    return Pools(*pools)


def _pack_nyu(root: Path, validation: bool, short: int):  # noqa: ANN202
    for scene, picture, depth in data.nyu(root, validation=validation):
        small = data.reduce_picture(picture, short)
        scaled = np.round(depth.astype(np.float32) / max(int(depth.max()), 1) * 255).astype(np.uint8)
        if scaled.shape != small.shape[:2]:
            scaled = data.take(scaled, (0, 0, *scaled.shape), small.shape[:2], False)
        yield np.dstack([small, scaled]), {"scene": scene}


def _pack_photographs(root: Path, validation: bool, short: int):  # noqa: ANN202
    rng = np.random.default_rng(20)
    for name, picture in data.bsds(root, validation=validation):
        yield _with_depth(data.reduce_picture(picture, short), rng), {"name": name}


def _pack_exposures(root: Path, validation: bool, short: int):  # noqa: ANN202
    rng = np.random.default_rng(21)
    for name, luma, best, picture in data.multi_exposure(root, validation=validation):
        yield _with_depth(data.reduce_picture(picture, short), rng), {"name": name, "luma": luma, "best": best}


def _with_depth(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    fields = [photograph_depth(picture, rng) for _ in range(DEPTH_FIELDS)]
    return np.dstack([picture, *((f * 255).round().astype(np.uint8) for f in fields)])


class Sampler:
    """Draws batches from pools; the same seed and step give the same batch.

    Args:
        pools: where pictures come from.
        seed: of the run.
    """

    def __init__(self, pools: Pools, seed: int) -> None:
        self.pools, self.seed = pools, seed
        facts = pools.exposures.facts
        self.dark = [i for i, f in enumerate(facts) if f["luma"] < 55 and not f["best"]]
        self.burnt = [i for i, f in enumerate(facts) if f["luma"] > 185 and not f["best"]]
        self.well = [i for i, f in enumerate(facts) if f["best"] and 75 < f["luma"] < 165]

    def batch(
        self,
        step: int,
        count: int,
        size: tuple[int, int],
        *,
        hazy: float = 0.5,
        shares: Sequence[float] = (0.45, 0.37, 0.18),
        sots: float = 0.6,
        borders: float = 0.0,
        study: float = 0.0,
        tiles: float = 0.0,
    ) -> Batch:
        """The batch of a step.

        Args:
            step: of the run.
            count: pictures.
            size: their height and width.
            hazy: share of pictures with haze.
            shares: probability of NYU, photographs and exposure series.
            sots: share of the SOTS recipe in plain haze on NYU.
            borders: share of other haze that ends at a line.
            study: share of the batch that is NYU under the SOTS recipe and nothing else, almost whole scenes: where
                density is known exactly, its order is learned best.
            tiles: share of those that are tight crops, several of one scene under one haze: what the tile route of
                density maps will ask about.
        """
        rng = np.random.default_rng((self.seed, step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        studied = round(study * count)
        count -= studied
        clear, depth, source, exposure = self._crops(count, size, shares, rng)
        labels = torch.zeros(count, len(CONCEPTS))
        labels[exposure == 1, _CONCEPT["lowlight"]] = 1.0
        labels[exposure == 2, _CONCEPT["overexposed"]] = 1.0
        plan = Plan.draw(count, hazy, exposure.numpy(), rng)
        batch = degrade(clear, depth, labels, plan, source, generator, rng, sots, borders)
        return join(batch, self._studied(studied, size, generator, rng, tiles)) if studied else batch

    def _studied(
        self, count: int, size: tuple[int, int], generator: torch.Generator, rng: np.random.Generator, tiles: float
    ) -> Batch:
        """NYU under the SOTS recipe: crops of at least 0.7, and tiles of about half."""
        groups = max(1, round(tiles * count / TILES_PER_SCENE)) if tiles else 0
        alone = max(0, count - groups * TILES_PER_SCENE)
        scene = np.concatenate([np.full(alone, -1), np.repeat(np.arange(groups), TILES_PER_SCENE)])[:count]
        chosen = rng.integers(len(self.pools.nyu), size=alone + groups)
        cuts, betas = [], torch.empty(count, 1, 1, 1)
        drawn = haze.sample_uniform(alone + groups, 0.5, 1.6, generator)
        for i, group in enumerate(scene):
            which = alone + group if group >= 0 else i
            array, betas[i] = self.pools.nyu[int(chosen[which])], drawn[which]
            if group >= 0:
                scale = float(rng.uniform(0.4, 0.65))
            else:
                scale = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.7, 1.0))
            aspect = size[1] / size[0] * float(np.exp(rng.uniform(-0.25, 0.25)))
            cuts.append(data.take(array, data.crop_box(*array.shape[:2], aspect, scale, rng), size, rng.random() < 0.5))
        stacked = torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2).float() / 255
        t = haze.transmission(stacked[:, 3:], betas)
        pixels = (haze.scatter(stacked[:, :3], t, 1.0) * 255).round() / 255
        labels = torch.zeros(count, len(CONCEPTS))
        labels[:, _CONCEPT["haze"]] = ((1 - t).mean((1, 2, 3)) / FULL_HAZE).clamp(0, 1)
        return Batch(pixels, labels, torch.zeros(count, dtype=torch.long), 1 - t, torch.from_numpy(scene))

    def _crops(
        self, count: int, size: tuple[int, int], shares: Sequence[float], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, np.ndarray, Tensor]:
        pixels = np.empty((count, *size, 3), np.uint8)
        depth = np.empty((count, *size), np.uint8)
        exposure = torch.zeros(count, dtype=torch.long)
        source = rng.choice(3, count, p=np.array(shares))
        for i, which in enumerate(source):
            if which == 0:
                array = self.pools.nyu[int(rng.integers(len(self.pools.nyu)))]
            elif which == 1:
                array = self.pools.photographs[int(rng.integers(len(self.pools.photographs)))]
            else:
                group = int(rng.choice(3, p=(0.5, 0.3, 0.2)))
                exposure[i] = group
                choices = (self.well, self.dark, self.burnt)[group]
                array = self.pools.exposures[choices[int(rng.integers(len(choices)))]]
            # Whole pictures, stretched a little, are what the scorer sees; tighter crops teach patches without context.
            aspect = size[1] / size[0] * float(np.exp(rng.uniform(-0.3, 0.3)))
            scale = 1.0 if rng.random() < 0.35 else float(rng.uniform(0.45, 1.0))
            box = data.crop_box(*array.shape[:2], aspect, scale, rng)
            flip, field = bool(rng.random() < 0.5), 3 + int(rng.integers(array.shape[2] - 3))
            pixels[i] = data.take(array[..., :3], box, size, flip)
            depth[i] = data.take(array[..., field], box, size, flip)
        clear = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        return clear, torch.from_numpy(depth)[:, None].float() / 255, source, exposure


@dataclass(frozen=True)
class Plan:
    """Which picture gets what; boolean arrays (N,) and the kind of haze, -1 for none."""

    kinds: np.ndarray
    lowlight: np.ndarray
    overexposed: np.ndarray
    noise: np.ndarray
    blur: np.ndarray
    rain: np.ndarray
    jpeg: np.ndarray

    @classmethod
    def draw(cls, count: int, hazy: float, exposure: np.ndarray, rng: np.random.Generator) -> Plan:
        """Half the pictures get haze (dark and burnt ones rarely); of the others three in five something else."""
        is_hazy = rng.random(count) < np.where(exposure > 0, 0.15, hazy)
        kinds = np.where(is_hazy, rng.choice(len(HAZE_KINDS), count, p=(0.55, 0.2, 0.13, 0.12)), -1)
        others = {}
        rates = {"lowlight": 0.15, "overexposed": 0.09, "noise": 0.17, "blur": 0.17, "rain": 0.12, "jpeg": 0.17}
        touched = rng.random(count) < np.where(is_hazy, 0.45, 0.7)
        for name, rate in rates.items():
            others[name] = touched & (rng.random(count) < 1.6 * rate)
        taken = exposure > 0
        others["lowlight"] &= ~taken
        others["overexposed"] &= ~taken & ~others["lowlight"] & ~is_hazy
        return cls(kinds=kinds, **others)


def degrade(
    clear: Tensor,
    depth: Tensor,
    labels: Tensor,
    plan: Plan,
    source: np.ndarray,
    generator: torch.Generator,
    rng: np.random.Generator,
    sots: float = 0.6,
    borders: float = 0.0,
) -> Batch:
    """Carry out a plan in the order of nature: scene, haze, rain, lens, exposure, sensor, file."""
    count = len(clear)
    toned = camera.everyday_tone(clear, generator)
    picture = torch.where(haze.sample_uniform(count, 0, 1, generator) < 0.7, toned, clear)
    kinds = torch.from_numpy(plan.kinds)
    density = torch.zeros_like(depth)
    hazy = kinds >= 0
    if hazy.any():
        indoor = torch.from_numpy(source == 0)[hazy]
        picture[hazy], t = add_haze(picture[hazy], depth[hazy], kinds[hazy], indoor, generator, sots, borders)
        density[hazy] = 1 - t
    labels[:, _CONCEPT["haze"]] = (density.mean((1, 2, 3)) / FULL_HAZE).clamp(0, 1)

    for name, apply in _STEPS.items():
        chosen = torch.from_numpy(getattr(plan, name))
        if chosen.any():
            picture[chosen] = apply(picture[chosen], generator)
            labels[chosen, _CONCEPT[name]] = 1.0

    faint = camera.sample_faint(count, generator)
    picture = camera.gaussian_noise(picture, faint, generator)
    strong = torch.from_numpy(plan.jpeg)
    labels[strong, _CONCEPT["jpeg"]] = 1.0
    filed = plan.jpeg | (rng.random(count) < 0.3)
    if filed.any():
        quality = np.where(plan.jpeg, rng.integers(4, 26, count), rng.integers(75, 99, count))[filed]
        picture[torch.from_numpy(filed)] = camera.jpeg(picture[torch.from_numpy(filed)], quality.tolist())
    return Batch(picture.clamp(0, 1), labels, kinds, density, torch.full((count,), -1))


def add_haze(
    clear: Tensor,
    depth: Tensor,
    kinds: Tensor,
    indoor: Tensor,
    generator: torch.Generator,
    sots: float = 0.6,
    borders: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Lay haze, fog, smog or smoke on pictures.

    Args:
        clear: (N,3,h,w).
        depth: (N,1,h,w) in [0,1].
        kinds: (N,) index into HAZE_KINDS.
        indoor: (N,) true for scenes with real depth; most of those follow the SOTS recipe.
        generator: source of randomness.
        sots: share of indoor pictures with plain haze that follow the SOTS recipe.
        borders: share of the others whose haze ends at a line.

    Returns:
        Hazy pictures and transmission (N,1,h,w).
    """
    count, _, height, width = clear.shape
    draw = lambda low, high: haze.sample_uniform(count, low, high, generator)  # noqa: E731
    is_kind = [(kinds == k).view(-1, 1, 1, 1) for k in range(len(HAZE_KINDS))]
    beta = torch.where(draw(0, 1) < 0.75, draw(0.4, 1.7), draw(0.15, 3.2))
    beta = torch.where(is_kind[1], beta * 1.35, beta)
    strength = torch.where(draw(0, 1) < 0.5, draw(0.0, 0.0), draw(0.3, 1.0))
    strength = torch.where(is_kind[3], draw(0.8, 1.25), strength)
    cells = float(1 + 3 * torch.rand(1, generator=generator))
    noise = haze.fractal_noise(count, height, width, generator, cells=cells)
    # Outdoors some haze stands before everything, even the nearest ground.
    near = torch.where(draw(0, 1) < 0.35, draw(0.0, 0.3), draw(0.0, 0.0))
    near = torch.where(is_kind[3], draw(0.2, 0.9), near)
    factor = haze.patchiness(noise, strength)

    airlight = haze.sample_airlight(count, generator, low=0.62, high=1.0, tint=0.04)
    fog = haze.sample_airlight(count, generator, low=0.75, high=1.0, tint=0.012)
    smog = draw(0.55, 0.95) * torch.cat([draw(0.97, 1.05), draw(0.88, 0.97), draw(0.62, 0.88)], 1)
    smoke = haze.sample_airlight(count, generator, low=0.4, high=0.9, tint=0.03)
    airlight = torch.where(is_kind[1], fog, airlight)
    airlight = torch.where(is_kind[2], smog.clamp(0, 1), airlight)
    airlight = torch.where(is_kind[3], smoke, airlight)

    plain = (indoor & (kinds == 0)).view(-1, 1, 1, 1) & (draw(0, 1) < sots)
    airlight = torch.where(plain, torch.ones_like(airlight), airlight)
    factor = torch.where(plain, torch.ones_like(factor), factor)
    near = torch.where(plain, torch.zeros_like(near), near)
    beta = torch.where(plain, draw(0.45, 1.7), beta)
    t = haze.transmission((depth + near) * factor, beta)
    # A border of haze, sharp or soft: clear and hazy parts side by side, so that patches speak for themselves.
    if borders:
        bordered = (draw(0, 1) < borders) & ~plain
        t = torch.where(bordered, 1 - (1 - t) * haze.half_plane(count, height, width, generator), t)
    return haze.scatter(clear, t, airlight), t


def _rain(picture: Tensor, generator: torch.Generator) -> Tensor:
    n = len(picture)
    u = lambda low, high: haze.sample_uniform(n, low, high, generator).flatten()  # noqa: E731
    return camera.rain(picture, u(0.004, 0.02), u(6, 20), u(1.1, 2.05), generator)


def _blur(picture: Tensor, generator: torch.Generator) -> Tensor:
    n = len(picture)
    u = lambda low, high: haze.sample_uniform(n, low, high, generator).flatten()  # noqa: E731
    lens = camera.gaussian_kernels(u(1.2, 3.5), 15)
    shake = camera.motion_kernels(u(5, 13), u(0, 3.1416), 15)
    return camera.filter_each(picture, torch.where((u(0, 1) < 0.6).view(-1, 1, 1), lens, shake))


def _lowlight(picture: Tensor, generator: torch.Generator) -> Tensor:
    n = len(picture)
    u = lambda low, high: haze.sample_uniform(n, low, high, generator)  # noqa: E731
    dark = low_light.darken(picture, u(0.9, 1.0), u(0.4, 0.85), u(1.5, 3.3))
    return low_light.shot_and_read_noise(dark, u(0.0, 0.004), u(0.0, 0.0004), generator)


def _overexposed(picture: Tensor, generator: torch.Generator) -> Tensor:
    return low_light.overexpose(picture, haze.sample_uniform(len(picture), 2.2, 6.0, generator))


def _noise(picture: Tensor, generator: torch.Generator) -> Tensor:
    return camera.gaussian_noise(picture, haze.sample_uniform(len(picture), 0.04, 0.16, generator), generator)


_STEPS = {"rain": _rain, "blur": _blur, "overexposed": _overexposed, "lowlight": _lowlight, "noise": _noise}


def patch_density(density: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean ``1 - t`` of every patch: (N,1,h,w) to (N, rows * columns)."""
    return F.adaptive_avg_pool2d(density, grid).flatten(1)
