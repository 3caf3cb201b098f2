"""Validation of restorers: restore pairs, measure them with the project's own metrics, lay samples side by side."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import MetricError
from eval.metrics.psnr import psnr
from eval.metrics.ssim import ssim
from eval.protocol import DEFAULT, get
from eval.scoring import Measurement, score
from images import Picture, to_pixels

SHEET_HEIGHT = 240
"""Rows of a sample sheet's pictures; larger pictures are reduced to it."""


@dataclass(frozen=True)
class ValidationPair:
    """A picture to restore and what it should become; made when it is needed.

    Attributes:
        name: For tables and messages.
        make: Returns the input and the reference, each (1, 3, H, W) in [0, 1].
    """

    name: str
    make: Callable[[], tuple[Tensor, Tensor]]


def quick_selection(pairs: Sequence[ValidationPair], count: int) -> list[ValidationPair]:
    """``count`` of the pairs, always the same ones, in their order.

    Drawn, not taken in equal strides: where every scene comes with ten levels of haze, a stride of ten would meet one
    level only.
    """
    if count >= len(pairs):
        return list(pairs)
    return [pairs[index] for index in sorted(random.Random(977).sample(range(len(pairs)), count))]


@torch.no_grad()
def validate(model: nn.Module, pair: ValidationPair, device: torch.device, protocol: str = DEFAULT) -> dict[str, float]:
    """PSNR and SSIM of a restored pair and of its input.

    Args:
        model: The restorer.
        pair: Input and reference.
        device: Where to restore.
        protocol: Name of a protocol. The default's pictures are not rounded to 8 bits, others' are.
    """
    degraded, reference = pair.make()
    restored = model(degraded.to(device)).float().cpu()
    scores = {}
    for name, picture in (("", restored), ("input_", _enlarged(degraded, reference))):
        for metric, value in _measure(picture, reference, protocol).items():
            scores[name + metric] = value
    return scores


def _measure(picture: Tensor, reference: Tensor, protocol: str) -> dict[str, float]:
    if protocol == DEFAULT:
        x, y = (t[0].permute(1, 2, 0).clamp(0, 1).numpy() for t in (picture, reference))
        return {"psnr": psnr(x, y, 1.0), "ssim": ssim(x, y, peak=1.0)}
    pair = (Picture(to_pixels(t), "", name) for t, name in ((picture, "output"), (reference, "reference")))
    return {m.metric: value_of(m) for m in score(*pair, ("psnr", "ssim"), get(protocol))}


def value_of(measurement: Measurement) -> float:
    """What was measured.

    Raises:
        MetricError: Nothing was, which must not count as 0 dB.
    """
    if measurement.value is None:
        raise MetricError(measurement.error or f"{measurement.metric} has no value here.")
    return measurement.value


@torch.no_grad()
def sample_sheet(model: nn.Module, pairs: Sequence[ValidationPair], device: torch.device) -> Tensor:
    """Rows of input, restored, reference; (3, H, W) in [0, 1]."""
    rows = []
    for pair in pairs:
        degraded, reference = pair.make()
        restored = model(degraded.to(device)).float().cpu()
        rows.append(torch.cat([_reduced(t) for t in (_enlarged(degraded, reference), restored, reference)], 3))
    width = max(row.shape[3] for row in rows)
    rows = [F.pad(row, (0, width - row.shape[3]), value=1.0) for row in rows]
    return torch.cat(rows, 2)[0].clamp(0, 1)


def _enlarged(degraded: Tensor, reference: Tensor) -> Tensor:
    """The input of super-resolution at the size of its result, by bicubic interpolation; others as they are."""
    if degraded.shape == reference.shape:
        return degraded
    return F.interpolate(degraded, reference.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def _reduced(x: Tensor) -> Tensor:
    if x.shape[2] <= SHEET_HEIGHT:
        return x
    size = (SHEET_HEIGHT, round(x.shape[3] * SHEET_HEIGHT / x.shape[2]))
    return F.interpolate(x, size, mode="bilinear", antialias=True)
