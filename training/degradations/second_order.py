"""Real-ESRGAN's second-order chain: blur, resize, noise and JPEG, twice, then down to the final size.

Wang, Xie, Dong, Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021;
numbers of its x4 training configuration. Every draw comes from one NumPy generator, so a seed repeats the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.degradations.blind_sr import blur, round_to_8_bits
from training.degradations.camera import grey_of, jpeg
from training.degradations.kernels import gaussian_kernel, sinc_kernel

SIZES = tuple(range(7, 22, 2))
SHAPES = ("isotropic", "anisotropic", "generalised isotropic", "generalised anisotropic", "plateau isotropic",
          "plateau anisotropic")  # fmt: skip
SHAPE_SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
SINC_SHARE = 0.1
FINAL_SINC_SHARE = 0.8
JPEG_QUALITY = (30, 95)
RESIZERS = ("area", "bilinear", "bicubic")


@dataclass(frozen=True)
class Pass:
    """Ranges of one of the two passes.

    Attributes:
        blur: Probability of a blur.
        sigma: Standard deviations of its kernel.
        directions: Probabilities of enlarging, reducing, keeping the size.
        factor: Smallest and largest factor.
        noise: Range of Gaussian noise, of 255.
        poisson: Range of the scale of Poisson noise.
    """

    blur: float
    sigma: tuple[float, float]
    directions: tuple[float, float, float]
    factor: tuple[float, float]
    noise: tuple[float, float]
    poisson: tuple[float, float]


FIRST = Pass(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0))
SECOND = Pass(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5))


def second_order(picture: Tensor, scale: int, rng: np.random.Generator) -> Tensor:
    """Degrade one picture.

    Args:
        picture: (1, 3, H, W) in [0, 1], sides multiples of the scale.
        scale: How many times smaller.
        rng: Source of every draw.

    Returns:
        (1, 3, H/s, W/s), multiples of 1/255.
    """
    size = (picture.shape[-2] // scale, picture.shape[-1] // scale)
    x = picture
    for index, ranges in enumerate((FIRST, SECOND)):
        if rng.random() < ranges.blur:
            x = blur(x, draw_kernel(ranges.sigma, rng))
        # The second resize is relative to the final size, as in the released code.
        base = x.shape[-2:] if index == 0 else size
        x = _resize(x, _scaled(base, ranges, rng), rng)
        x = _noise(x, ranges, rng)
        if index == 0:
            x = _jpeg(x, rng)
    last = None
    if rng.random() < FINAL_SINC_SHARE:
        last = sinc_kernel(int(rng.choice(SIZES)), rng.uniform(math.pi / 3, math.pi))
    if rng.random() < 0.5:
        x = _resize(x, size, rng)
        x = _jpeg(x if last is None else blur(x, last), rng)
    else:
        x = _resize(_jpeg(x, rng), size, rng)
        x = x if last is None else blur(x, last)
    return round_to_8_bits(x)


def draw_kernel(sigma: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """One of Real-ESRGAN's kernels: sinc, or one of six Gaussian shapes; (1, k, k)."""
    size = int(rng.choice(SIZES))
    if rng.random() < SINC_SHARE:
        return sinc_kernel(size, rng.uniform(math.pi / 3 if size < 13 else math.pi / 5, math.pi))
    shape = str(rng.choice(SHAPES, p=SHAPE_SHARES))
    first = rng.uniform(*sigma) ** 2
    second, angle = (rng.uniform(*sigma) ** 2, rng.uniform(0, math.pi)) if "anisotropic" in shape else (first, 0.0)
    if shape.startswith("generalised"):
        return gaussian_kernel(size, first, second, angle, profile="generalised", shape=_one_sided(rng, 0.5, 4))
    if shape.startswith("plateau"):
        return gaussian_kernel(size, first, second, angle, profile="plateau", shape=_one_sided(rng, 1, 2))
    return gaussian_kernel(size, first, second, angle)


def _one_sided(rng: np.random.Generator, low: float, high: float) -> float:
    """Half of the draws below 1, half above, as far as the range goes."""
    return rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)


def _scaled(base: tuple[int, int], ranges: Pass, rng: np.random.Generator) -> tuple[int, int]:
    direction = int(rng.choice(3, p=ranges.directions))
    low, high = ranges.factor
    factor = (rng.uniform(1, high), rng.uniform(low, 1), 1.0)[direction]
    return max(1, round(base[0] * factor)), max(1, round(base[1] * factor))


def _resize(x: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    mode = str(rng.choice(RESIZERS))
    if mode == "area":
        return F.interpolate(x, size, mode="area")
    return F.interpolate(x, size, mode=mode, align_corners=False)


def _noise(x: Tensor, ranges: Pass, rng: np.random.Generator) -> Tensor:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    gaussian, grey = rng.random() < 0.5, rng.random() < 0.4
    source = x.clamp(0, 1)
    if gaussian:
        shape = (1, 1, *x.shape[-2:]) if grey else x.shape
        return (x + rng.uniform(*ranges.noise) / 255 * torch.randn(shape, generator=generator)).clamp(0, 1)
    if grey:
        source = grey_of(source)
    source = (source * 255).round() / 255
    # As many photons at white as there are grey levels in the picture, rounded up to a power of two.
    photons = 2 ** math.ceil(math.log2(max(2, len(torch.unique(source)))))
    counted = torch.poisson(source * photons, generator=generator) / photons
    return (x + rng.uniform(*ranges.poisson) * (counted - source)).clamp(0, 1)


def _jpeg(x: Tensor, rng: np.random.Generator) -> Tensor:
    return jpeg(x.clamp(0, 1), [int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))])
