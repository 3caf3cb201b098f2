"""Blind super-resolution's degradations: blur that varies over the picture, resizing, noise, JPEG; on tensors, seeded.

High-resolution pictures (N, 3, H, W) in [0, 1] with sides that are multiples of the scale become (N, 3, H/s, W/s)
in [0, 1], rounded to 8 bits. Kernel conventions: ``training/degradations/kernels.py``. The numbers are those of DASR
(Wang et al., CVPR 2021) and MANet (Liang et al., ICCV 2021); ``second_order.py`` adds Real-ESRGAN's chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from errors import UsageError
from training.degradations.camera import gaussian_noise, jpeg
from training.degradations.haze import fractal_noise
from training.degradations.kernels import gaussian_kernel, strided_kernel
from training.degradations.resize import matlab_resize

WINDOW = 21
CELL = 40
"""Side in high-resolution pixels of the squares that share a kernel in MANet's protocol."""

MANET_MODES = (1, 2, 3, 4, 5)
MANET_NOISE = 15 / 255
DASR_WIDTH = {2: (0.2, 2.0), 3: (0.2, 3.0), 4: (0.2, 4.0)}
"""Standard deviations of DASR's kernels by scale, in high-resolution pixels."""


@dataclass(frozen=True)
class CellKernels:
    """One anisotropic Gaussian a cell: variances and angle, each (rows, columns)."""

    variance1: Tensor
    variance2: Tensor
    angle: Tensor


def blur(picture: Tensor, kernels: Tensor) -> Tensor:
    """Convolve picture i with kernel i, edges replicated; one kernel serves all pictures, one picture all kernels.

    By Fourier transform: a window of 21x21 costs several times more by direct sums.

    Args:
        picture: (N, C, H, W) or (1, C, H, W).
        kernels: (N, k, k) or (1, k, k), k odd.
    """
    height, width = picture.shape[-2:]
    half = kernels.shape[-1] // 2
    padded = F.pad(picture, (half, half, half, half), mode="replicate")
    size = [next_fast_len(side, real=True) for side in padded.shape[-2:]]
    response = torch.fft.rfft2(kernels.to(picture), s=size)[:, None]
    blurred = torch.fft.irfft2(torch.fft.rfft2(padded, s=size) * response, s=size)
    # Circular convolution wraps around in the first 2 half rows and columns only.
    return blurred[..., 2 * half : 2 * half + height, 2 * half : 2 * half + width]


def round_to_8_bits(picture: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to multiples of 1/255."""
    return (picture.clamp(0, 1) * 255).round() / 255


def bicubic(picture: Tensor, scale: int) -> Tensor:
    """The classical degradation: MATLAB's antialiased bicubic, rounded.

    Raises:
        UsageError: A side is no multiple of the scale; crop first, or input and reference do not cover the same area.
    """
    if any(side % scale for side in picture.shape[-2:]):
        raise UsageError(
            f"A picture of {picture.shape[-1]}x{picture.shape[-2]} cannot be reduced {scale} times without a rest; "
            f"crop it to multiples of {scale} first."
        )
    return round_to_8_bits(matlab_resize(picture, 1 / scale))


def blurred_bicubic(
    picture: Tensor,
    scale: int,
    kernels: Tensor,
    *,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """DASR's order: blur, MATLAB bicubic, Gaussian noise, 8 bits.

    Args:
        picture: High resolution.
        scale: How many times smaller.
        kernels: (N, k, k) or (1, k, k).
        noise: Deviation, of 1.0.
        generator: Needed with noise.
    """
    small = matlab_resize(blur(picture, kernels), 1 / scale)
    return round_to_8_bits(_with_noise(small, noise, generator))


def manet_cells(mode: int, height: int, width: int, scale: int, rng: np.random.Generator) -> CellKernels:
    """Kernels of MANet's five spatially variant modes over a picture.

    With ``b = 0.175 s``, ``a = (2.5 - 0.175) s`` and r, q the row and column of a cell from 0 to below 1:

    1. horizontal ``a + b``, vertical ``a r + b``;
    2. horizontal ``a q + b``, vertical ``a r + b``;
    3. ``a + b`` and ``b``, turned by ``pi r``;
    4. as 2, turned by ``pi r``;
    5. all three drawn per cell.

    Args:
        mode: 1 to 5.
        height: Rows of the high-resolution picture.
        width: Columns.
        scale: How many times smaller the result will be.
        rng: Used by mode 5 only.

    Raises:
        UsageError: There is no such mode.
    """
    if mode not in MANET_MODES:
        raise UsageError(f"There is no spatially variant mode {mode}; 1 to 5 exist.")
    rows, columns = math.ceil(height / CELL), math.ceil(width / CELL)
    low, span = 0.175 * scale, (2.5 - 0.175) * scale
    r = (torch.arange(rows, dtype=torch.float64) / rows)[:, None].expand(rows, columns)
    q = (torch.arange(columns, dtype=torch.float64) / columns)[None].expand(rows, columns)
    if mode == 5:
        draws = torch.from_numpy(rng.random((3, rows, columns)))
        return CellKernels(low + span * draws[0], low + span * draws[1], math.pi * draws[2])
    full, none = torch.full_like(r, span + low), torch.zeros_like(r)
    return {
        1: CellKernels(full, span * r + low, none),
        2: CellKernels(span * q + low, span * r + low, none),
        3: CellKernels(full, torch.full_like(r, low), math.pi * r),
        4: CellKernels(span * q + low, span * r + low, math.pi * r),
    }[mode]


def cell_blur(picture: Tensor, cells: CellKernels, scale: int) -> Tensor:
    """Blur every cell of one picture with its own kernel, for sub-sampling by ``scale`` (see ``strided_kernel``).

    Args:
        picture: (1, C, H, W).
        cells: Kernels of ``ceil(H / 40) x ceil(W / 40)`` cells.
        scale: 1 centres the kernels for no sub-sampling.
    """
    _, channels, height, width = picture.shape
    rows, columns = cells.angle.shape
    half, side = WINDOW // 2, CELL + 2 * (WINDOW // 2)
    right, bottom = columns * CELL - width + half, rows * CELL - height + half
    padded = F.pad(picture, (half, right, half, bottom), mode="replicate")
    # (C, rows, columns, side, side): every cell with the surroundings that its kernel needs.
    patches = padded[0].unfold(1, side, CELL).unfold(2, side, CELL)
    patches = patches.permute(1, 2, 0, 3, 4).reshape(1, rows * columns * channels, side, side)
    kernels = strided_kernel(WINDOW, scale, cells.variance1, cells.variance2, cells.angle)
    weight = kernels.flip((1, 2)).repeat_interleave(channels, 0)[:, None].to(picture)
    blurred = F.conv2d(patches, weight, groups=weight.shape[0])
    blurred = blurred.view(rows, columns, channels, CELL, CELL).permute(2, 0, 3, 1, 4)
    return blurred.reshape(1, channels, rows * CELL, columns * CELL)[..., :height, :width]


def spatially_variant(
    picture: Tensor,
    scale: int,
    mode: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """MANet's test protocol: a kernel per 40x40 cell, every s-th pixel, optional noise of 15/255, 8 bits.

    Args:
        picture: (1, 3, H, W).
        scale: How many times smaller.
        mode: 1 to 5, see :func:`manet_cells`.
        noise: Deviation, of 1.0.
        seed: Of mode 5's kernels and of the noise.
    """
    cells = manet_cells(mode, *picture.shape[-2:], scale, np.random.default_rng(seed))
    small = cell_blur(picture, cells, scale)[..., ::scale, ::scale]
    return round_to_8_bits(_with_noise(small, noise, torch.Generator().manual_seed(seed)))


def mixture_blur(picture: Tensor, kernels: Tensor, weights: Tensor) -> Tensor:
    """Blur that changes smoothly: ``y(x) = sum_k w_k(x) (k_k * picture)(x)``.

    Args:
        picture: (1, C, H, W).
        kernels: (K, k, k).
        weights: (K, H, W), zero or more, summing to one over K.
    """
    return (blur(picture, kernels) * weights[:, None].to(picture)).sum(0, keepdim=True)


def smooth_weights(count: int, height: int, width: int, generator: torch.Generator, contrast: float = 6.0) -> Tensor:
    """Smooth random weights of ``count`` kernels, (count, H, W): softmax of low-pass noise."""
    field = fractal_noise(count, height, width, generator, cells=2.0, octaves=2)[:, 0]
    return torch.softmax(contrast * field, 0)


def draw(picture: Tensor, scale: int, rng: np.random.Generator, mix: dict[str, float]) -> Tensor:
    """Degrade one training picture in a way drawn from a mix.

    Args:
        picture: (1, 3, H, W), sides multiples of the scale.
        scale: 2, 3 or 4.
        rng: Source of every draw.
        mix: Probabilities of ``bicubic``, ``isotropic`` (DASR's setting 1), ``anisotropic`` (its setting 2, with
            noise up to 25/255), ``strided`` (MANet's training patches: one anisotropic kernel, every s-th pixel),
            ``smooth`` (four kernels in smooth transitions), ``second_order``; and ``jpeg``, the probability that any
            of the first five ends in a JPEG file of quality 30 to 95. The first six sum to one.
    """
    kinds = ("bicubic", "isotropic", "anisotropic", "strided", "smooth", "second_order")
    shares = np.array([mix.get(kind, 0.0) for kind in kinds])
    unknown = mix.keys() - {*kinds, "jpeg"}
    if unknown or not math.isclose(shares.sum(), 1.0, abs_tol=1e-6):
        raise UsageError(f"A mix of degradations sums to one over {', '.join(kinds)}, plus jpeg; got {mix}.")
    kind = str(rng.choice(kinds, p=shares))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    if kind == "second_order":
        from training.degradations.second_order import second_order

        return second_order(picture, scale, rng)
    small = _KINDS[kind](picture, scale, rng, generator)
    if rng.random() < mix.get("jpeg", 0.0):
        small = jpeg(small, [int(rng.integers(30, 96))])
    return small


def _bicubic(picture: Tensor, scale: int, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    return bicubic(picture, scale)


def _isotropic(picture: Tensor, scale: int, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    return blurred_bicubic(picture, scale, gaussian_kernel(WINDOW, rng.uniform(*DASR_WIDTH[scale]) ** 2))


def _anisotropic(picture: Tensor, scale: int, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    first, second = (rng.uniform(*DASR_WIDTH[scale]) ** 2 for _ in range(2))
    kernel = gaussian_kernel(WINDOW, first, second, rng.uniform(0, math.pi))
    return blurred_bicubic(picture, scale, kernel, noise=rng.uniform(0, 25) / 255, generator=generator)


def _manet_variances(scale: int, rng: np.random.Generator) -> tuple[float, float, float]:
    first = rng.uniform(0.175 * scale, 2.5 * scale)
    return first, rng.uniform(0.175 * scale, first), rng.uniform(0, math.pi)


def _strided(picture: Tensor, scale: int, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    kernel = strided_kernel(WINDOW, scale, *_manet_variances(scale, rng))
    return round_to_8_bits(blur(picture, kernel)[..., ::scale, ::scale])


def _smooth(picture: Tensor, scale: int, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    kernels = torch.cat([strided_kernel(WINDOW, scale, *_manet_variances(scale, rng)) for _ in range(4)])
    weights = smooth_weights(4, *picture.shape[-2:], generator)
    return round_to_8_bits(mixture_blur(picture, kernels, weights)[..., ::scale, ::scale])


_KINDS = {
    "bicubic": _bicubic,
    "isotropic": _isotropic,
    "anisotropic": _anisotropic,
    "strided": _strided,
    "smooth": _smooth,
}


def _with_noise(picture: Tensor, noise: float, generator: torch.Generator | None) -> Tensor:
    if not noise:
        return picture
    if generator is None:
        raise ValueError("noise needs a generator, so that it can be repeated")
    return gaussian_noise(picture, noise, generator)
