"""Blur kernels of blind super-resolution: Gaussians of any shape, their generalisations, and sinc.

Everywhere here ``variance1`` and ``variance2`` are the eigenvalues of the covariance, as in MANet and KAIR; DASR and
Real-ESRGAN speak of standard deviations, so their ranges are squared by the caller. Kernels are (N, k, k) and sum to
one.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Profile = Literal["gaussian", "generalised", "plateau"]


def gaussian_kernel(
    size: int,
    variance1: Tensor | float,
    variance2: Tensor | float | None = None,
    angle: Tensor | float = 0.0,
    *,
    profile: Profile = "gaussian",
    shape: Tensor | float = 1.0,
    shift: int = 0,
) -> Tensor:
    """Anisotropic Gaussian kernels ``k(u) ~ exp(-u' C^-1 u / 2)``, ``C = R diag(variance1, variance2) R'``.

    Args:
        size: Side of the window in pixels.
        variance1: Along ``angle``; a number or (N,).
        variance2: Across it; the same as ``variance1`` (isotropic) if not given.
        angle: Radians from the horizontal.
        profile: ``generalised`` raises the exponent to ``shape``, ``plateau`` uses ``1 / (1 + (...)^shape)``.
        shape: The beta of these two.
        shift: Leave this many rows and columns empty and centre the kernel on the rest of the window (see
            :func:`strided_kernel`).

    Returns:
        (N, size, size), float32.

    Example:
        >>> float(gaussian_kernel(21, 2.4**2).sum())
        1.0
    """
    first = torch.as_tensor(variance1, dtype=torch.float64).flatten()
    second = first if variance2 is None else torch.as_tensor(variance2, dtype=torch.float64).flatten()
    turn = torch.as_tensor(angle, dtype=torch.float64).flatten()
    power = torch.as_tensor(shape, dtype=torch.float64).flatten()
    first, second, turn, power = (t[:, None, None] for t in torch.broadcast_tensors(first, second, turn, power))
    axis = torch.arange(size, dtype=torch.float64) - (size - shift - 1) / 2
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    along = columns * turn.cos() + rows * turn.sin()
    across = rows * turn.cos() - columns * turn.sin()
    distance = along.square() / first + across.square() / second
    distance = distance**power
    kernel = 1 / (1 + distance) if profile == "plateau" else torch.exp(-0.5 * distance)
    if shift:
        kernel[..., size - shift :, :] = 0
        kernel[..., :, size - shift :] = 0
    return (kernel / kernel.sum((1, 2), keepdim=True)).float()


def strided_kernel(
    size: int, scale: int, variance1: Tensor | float, variance2: Tensor | float, angle: Tensor | float
) -> Tensor:
    """MANet's kernel for blur-then-take-every-s-th: built on ``size - s + 1`` pixels, in the window's upper left.

    Convolved (not correlated) it moves the picture by ``(s - 1) / 2``, so that sub-sampling from pixel 0 leaves no
    shift between low and high resolution.
    """
    return gaussian_kernel(size, variance1, variance2, angle, shift=scale - 1)


def sinc_kernel(size: int, cutoff: float) -> Tensor:
    """Ideal circular low-pass of ``cutoff`` radians a pixel, cut to the window: ringing as sharpening leaves it.

    ``k(r) = w J1(w r) / (2 pi r)``, ``w^2 / 4 pi`` at the centre (Wang et al., Real-ESRGAN, 2021, eq. 5).
    """
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    radius = (axis[:, None].square() + axis[None].square()).sqrt()
    safe = radius.clamp_min(1e-9)
    kernel = cutoff * torch.special.bessel_j1(cutoff * safe) / (2 * math.pi * safe)
    kernel = torch.where(radius < 1e-9, cutoff**2 / (4 * math.pi), kernel)
    return (kernel / kernel.sum()).float()[None]
