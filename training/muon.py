"""Muon in single precision: for processors that have no units for bfloat16.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the momentum of a matrix by about the
nearest orthogonal one. ``torch.optim.Muon`` does that in bfloat16, which such processors emulate: for the haze CLIP it
cost a third of a training step. Here the iteration runs on the small Gram matrix and the large one is multiplied once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of Jordan's quintic: steep at zero, and about one (0.7 to 1.2) for singular values between 0 and 1."""


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """About ``U V^T`` of a matrix ``U S V^T``: singular values that are not tiny become 0.7 to 1.2.

    One step maps X to ``(a + b G + c G^2) X`` with ``G = X X^T``. Its factor is a polynomial of G and commutes with it,
    so that all steps' factors can be gathered before X is touched.

    Args:
        matrix: (m, n), float32 or float64.
        steps: Of the iteration.

    Example:
        >>> values = torch.linalg.svdvals(orthogonalised(torch.diag(torch.tensor([3.0, 2.0, 1.0]))))
        >>> bool((values > 0.6).all() and (values < 1.3).all())
        True
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp_min(1e-7)
    gram = x @ x.T
    gathered = identity = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(steps):
        factor = _A * identity + _B * gram + _C * (gram @ gram)
        gathered, gram = factor @ gathered, factor @ gram @ factor
    x = gathered @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, of AdamW's usual size (``0.2 sqrt(max(m, n))``), with decoupled decay.

    The updates of ``torch.optim.Muon(..., adjust_lr_fn="match_rms_adamw")``, but for its rounding.

    Args:
        parameters: Matrices, kernels (O, I, h, w), which are matrices of O rows here, or groups of them.
        lr: Learning rate; AdamW's suit.
        weight_decay: Of each step, times the rate.
        momentum: Of the moving average of gradients.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(f"Muon is for matrices, not for a parameter of shape {tuple(parameter.shape)}.")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step; parameters without a gradient stay."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                average = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                update = orthogonalised(parameter.grad.lerp(average, momentum).flatten(1))
                parameter.mul_(1 - rate * group["weight_decay"])
                size = 0.2 * math.sqrt(max(update.shape))
                parameter.add_(update.view(parameter.shape), alpha=-rate * size)
