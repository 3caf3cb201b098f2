"""Contrastive regularisation: pull the restored picture to the clear one and push it away from the hazy one.

Wu et al., "Contrastive Learning for Compact Single Image Dehazing", CVPR 2021, eq. 5 and 6. In the features V_i of a
frozen network:

``CR = sum_i w_i * D(V_i(restored), V_i(clear)) / D(V_i(restored), V_i(hazy))``, with D the mean absolute difference.

It is a loss for any restorer: the anchor is its output, the positive its reference, the negative its input.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from training.losses.features import Features

GUARD = 1e-7
"""Added to the denominator, as the released code does."""


class ContrastiveRegularisation(nn.Module):
    """The ratio form.

    Args:
        features: Frozen feature network; its ``weights`` are the w_i.
        negatives: Hazy pictures per anchor: its own, then those of its neighbours in the batch, whose distances are
            averaged. More than one makes the loss depend on which samples share a process.
        positives_only: Leave the denominator out, which makes it a perceptual loss (the paper's ablation).
        floor: Smallest denominator, in units of the mean feature magnitude. Where haze is thin the restored, clear
            and hazy pictures nearly coincide and ratios become noise; 0, the paper's form, does nothing about it.

    Example:
        >>> from training.losses.features import SequentialTaps
        >>> taps = SequentialTaps(nn.Sequential(nn.Identity()), (0,), (1.0,))
        >>> loss = ContrastiveRegularisation(taps)
        >>> clear, hazy = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
        >>> [round(float(loss(x * hazy, clear, hazy)), 4) for x in (0.0, 0.25, 0.5)]
        [0.0, 0.3333, 1.0]
    """

    def __init__(
        self, features: Features, *, negatives: int = 1, positives_only: bool = False, floor: float = 0.0
    ) -> None:
        super().__init__()
        if negatives < 1:
            raise ValueError(f"contrastive regularisation needs at least one negative, got {negatives}")
        self.features = features
        self.negatives, self.positives_only, self.floor = negatives, positives_only, floor

    def forward(self, restored: Tensor, clear: Tensor, hazy: Tensor) -> Tensor:
        """Scalar loss; gradients reach ``restored`` through both distances.

        Args:
            restored: (N, 3, H, W).
            clear: Same shape.
            hazy: Same shape; also serves as the negatives of other samples of the batch.
        """
        with torch.autocast(restored.device.type, enabled=False):
            anchors = self.features(restored.float())
            with torch.no_grad():
                known = self.features(torch.cat([clear, hazy]).float())
            total = restored.new_zeros((), dtype=torch.float32)
            for weight, anchor, maps in zip(self.features.weights, anchors, known, strict=True):
                total = total + weight * self._layer(anchor, *maps.chunk(2))
            return total

    def _layer(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        near = mean_over_processes((anchor - positive).abs().mean())
        if self.positives_only:
            return near
        count = min(self.negatives, len(negative))
        distances = [(anchor - negative.roll(-shift, 0)).abs().mean() for shift in range(count)]
        far = mean_over_processes(torch.stack(distances).mean())
        if self.floor:
            far = far.clamp_min(self.floor * mean_over_processes(positive.abs().mean()))
        return near / (far + GUARD)


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a scalar over all training processes, differentiable.

    A ratio of means over the whole batch is not the mean of the processes' ratios, so the means have to be shared
    before the division. The processes' gradients, which are averaged afterwards, then add up to those of one process.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return value
    return _SumOverProcesses.apply(value) / dist.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes. Every process's loss holds it, so its gradient is the sum of theirs.

    ``torch.distributed.nn.functional`` has the same as a function, but keeps hold of the process group for good.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
