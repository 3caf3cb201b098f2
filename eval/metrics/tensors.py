"""PSNR, SSIM and NIQE of tensors, on whatever device they live: the same values as the NumPy metrics, a batch at once.

For programs that have their pictures as tensors, on a GPU for one; no command here uses it. Everything is computed in
float64 and every picture by itself, so a value does not depend on what else is in the batch. NIQE filters in the order
of the NumPy path, operation by operation, so that even the rounding residues of flat areas, on whose sign NIQE decides,
are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from errors import MetricError
from eval.metrics import niqe as reference_niqe
from eval.metrics.color import MATLAB_GREY_WEIGHTS, Y_OFFSET, Y_WEIGHTS
from eval.metrics.ssim import SsimWindow, pooling_factor

if TYPE_CHECKING:
    from eval.metrics.niqe_model import NiqeModel


def psnr(output: Tensor, reference: Tensor, peak: float = 1.0) -> Tensor:
    """PSNR of each picture of a batch; see :func:`eval.metrics.psnr.psnr`.

    Args:
        output: ``(N, C, H, W)``.
        reference: Same shape.
        peak: Largest possible value of a sample.

    Returns:
        float64 ``(N,)``; infinity where the two are identical. Differentiable.

    Raises:
        MetricError: The shapes differ.
    """
    _check(output, reference)
    error = (output.double() - reference.double()).square().mean(dim=(1, 2, 3))
    return 10.0 * torch.log10(peak**2 / error)


def ssim(output: Tensor, reference: Tensor, window: SsimWindow | None = None, peak: float = 1.0) -> Tensor:
    """SSIM of each picture of a batch; see :func:`eval.metrics.ssim.ssim`.

    Args:
        output: ``(N, C, H, W)``.
        reference: Same shape.
        window: Neighbourhood and border.
        peak: Largest possible value of a sample.

    Returns:
        float64 ``(N,)``. Differentiable.

    Raises:
        MetricError: The shapes differ, or the pictures are smaller than the window.
    """
    window = window or SsimWindow()
    _check(output, reference)
    x, y = output.double(), reference.double()
    height, width = x.shape[-2:]
    if window.pooling == "adaptive" and (factor := pooling_factor(height, width)) > 1:
        size = (height // factor, width // factor)
        x, y = F.adaptive_avg_pool2d(x, size), F.adaptive_avg_pool2d(y, size)
    if window.border == "valid" and min(x.shape[-2:]) < window.size:
        raise MetricError(f"SSIM looks through {window.size}x{window.size} windows; {width}x{height} is too small.")
    weights = torch.from_numpy(window.weights).to(x.device)
    padding = window.size // 2 if window.border == "zero" else 0

    def filtered(plane: Tensor) -> Tensor:
        plane = F.conv2d(plane.flatten(0, 1).unsqueeze(1), weights.view(1, 1, -1, 1), padding=(padding, 0))
        return F.conv2d(plane, weights.view(1, 1, 1, -1), padding=(0, padding))

    mean_x, mean_y = filtered(x), filtered(y)
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    normalisation = window.size**2 / (window.size**2 - 1) if window.sample_covariance else 1.0
    covariance = normalisation * (filtered(x * y) - product)
    variances = normalisation * (filtered(x.square() + y.square()) - squares)
    c1, c2 = (window.k1 * peak) ** 2, (window.k2 * peak) ** 2
    index = ((2 * product + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))
    return index.view(len(x), -1).mean(dim=1)


def luma(images: Tensor) -> Tensor:
    """Y of YCbCr of ``(N, 3, H, W)`` in [0, 1], as float64 ``(N, 1, H, W)`` in [16/255, 235/255]."""
    weights = torch.tensor(Y_WEIGHTS, dtype=torch.float64, device=images.device).view(1, 3, 1, 1)
    return (images.double() * weights).sum(dim=1, keepdim=True) + Y_OFFSET / 255.0


def niqe(images: Tensor, model: NiqeModel) -> Tensor:
    """NIQE of each picture of a batch; see :func:`eval.metrics.niqe.niqe`.

    Args:
        images: ``(N, 3, H, W)`` RGB in [0, 1]; rounded to 8 bits first.
        model: Pristine model.

    Returns:
        float64 ``(N,)`` on the CPU; NaN where a picture is too flat to have a value.

    Raises:
        MetricError: Not RGB, a side is below 96, or a sample is not finite.
    """
    side = reference_niqe.BLOCK
    if images.ndim != 4 or images.shape[1] != 3:
        raise MetricError(f"NIQE expected a batch (N, 3, H, W), got shape {tuple(images.shape)}.")
    height, width = images.shape[-2:]
    if min(height, width) < side:
        raise MetricError(f"NIQE needs both sides to be at least {side} pixels; the pictures are {width}x{height}.")
    if not torch.isfinite(images).all():
        raise MetricError("The batch holds samples that are not finite (NaN or infinite); it has no NIQE.")
    rgb = (images[..., : height // side * side, : width // side * side].double() * 255.0).round().clamp(0, 255)
    red, green, blue = MATLAB_GREY_WEIGHTS
    plane = torch.floor(red * rgb[:, 0] + green * rgb[:, 1] + blue * rgb[:, 2] + 0.5)
    blocks = plane.shape[-2] // side * (plane.shape[-1] // side)
    features = [
        reference_niqe.aggd_features(_block_sums(scaled, n).cpu().numpy(), n * n).reshape(len(images), blocks, -1)
        for scaled, n in ((plane, side), (_halved(plane), side // 2))
    ]
    scores = []
    for one in np.concatenate(features, axis=-1):
        try:
            scores.append(reference_niqe.score_features(one, model))
        except MetricError:
            scores.append(float("nan"))
    return torch.tensor(scores, dtype=torch.float64)


def _check(output: Tensor, reference: Tensor) -> None:
    if output.ndim != 4 or output.numel() == 0 or output.shape != reference.shape:
        shapes = f"{tuple(output.shape)} and {tuple(reference.shape)}"
        raise MetricError(f"expected two batches (N, C, H, W) of one shape, got {shapes}.")


def _halved(plane: Tensor) -> Tensor:
    """MATLAB's antialiased half size of ``(N, H, W)``: multiples of 1/256 and integers, so without rounding error."""
    for dim in (1, 2):
        length = plane.shape[dim]
        indices = torch.arange(-3, length + 3, device=plane.device)
        indices = torch.where(indices < 0, -1 - indices, indices)
        indices = torch.where(indices >= length, 2 * length - 1 - indices, indices)
        plane = plane.index_select(dim, indices)
        taps = [plane.narrow(dim, k, length) for k in range(7)]
        last = plane.narrow(dim, 7, length - 1)
        even = torch.arange(0, length, 2, device=plane.device)
        picked = [tap.index_select(dim, even) for tap in taps] + [last.index_select(dim, even)]
        plane = (
            111.0 * (picked[3] + picked[4])
            + 29.0 * (picked[2] + picked[5])
            - 9.0 * (picked[1] + picked[6])
            - 3.0 * (picked[0] + picked[7])
        ) / 256.0
    return plane


def _seven(plane: Tensor, dim: int) -> Tensor:
    """The 7-tap Gaussian along one side, in the order of additions of :func:`eval.metrics.niqe_kernels._seven`."""
    length = plane.shape[dim] - 6
    w0, w1, w2, w3 = (float(w) for w in reference_niqe.gaussian_profile()[3:])
    r = [plane.narrow(dim, k, length) for k in range(7)]
    return w0 * r[3] + w1 * (r[2] + r[4]) + w2 * (r[1] + r[5]) + w3 * (r[0] + r[6])


def _block_sums(plane: Tensor, side: int) -> Tensor:
    """Sums of the MSCN coefficients and their neighbour products, ``(N * blocks, 5, 5)``; see the NumPy kernel."""
    padded = F.pad(plane.unsqueeze(1), (3, 3, 3, 3), mode="replicate").squeeze(1)
    mean = _seven(_seven(padded, 1), 2)
    deviation = torch.sqrt(torch.abs(_seven(_seven(padded * padded, 1), 2) - mean * mean))
    normalised = (plane - mean) / (deviation + 1.0)
    n, height, width = normalised.shape
    blocks = normalised.view(n, height // side, side, width // side, side).transpose(2, 3).reshape(-1, side, side)
    shifted = [torch.roll(blocks, shift, dims=(1, 2)) for shift in ((0, 1), (1, 0), (1, 1), (1, -1))]
    sums = []
    for values in (blocks, *(blocks * other for other in shifted)):
        squares = values * values
        below, above = values < 0, values > 0
        parts = (below.double(), above.double(), squares * below, squares * above, values.abs())
        sums.append(torch.stack([part.sum(dim=(1, 2)) for part in parts], dim=-1))
    return torch.stack(sums, dim=1)
