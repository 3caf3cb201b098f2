"""Exponential moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """A copy of a network that follows it: ``average += (1 - decay) (weights - average)`` after every step.

    Early on the decay is lower, ``(1 + n) / (10 + n)`` after n steps, so the start weights are soon forgotten.

    Args:
        model: The network to follow.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, decay: float) -> None:
        """Follow ``model`` after ``step`` steps (the first is step 1); a decay of 0 copies."""
        weight = 1.0 - min(decay, (1 + step) / (10 + step)) if decay else 1.0
        mine, theirs = self.model.state_dict(), model.state_dict()
        floating = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[key] for key in floating], [theirs[key] for key in floating], weight)
        for key in mine.keys() - set(floating):
            mine[key].copy_(theirs[key])
