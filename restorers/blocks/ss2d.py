"""Selective scan over pictures, in four directions.

Liu et al., "VMamba: Visual State Space Model", 2024; Guo et al., "MambaIR", ECCV 2024, section 3.3. Row by row, column
by column, and both backwards: each pixel hears from every other on the way of some direction.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorers.blocks.selective_scan import has_numba, scan_sequences

DIRECTIONS = 4
"""Rows forward, columns forward, rows backward, columns backward."""


def to_sequence(x: Tensor, direction: int) -> Tensor:
    """(N, H, W, C) to (N, H W, C): the pixels in the order of a direction."""
    ordered = (x if direction % 2 == 0 else x.transpose(1, 2)).flatten(1, 2)
    return ordered if direction < 2 else ordered.flip(1)


def from_sequence(y: Tensor, direction: int, height: int, width: int) -> Tensor:
    """(N, H W, C) in the order of a direction to (N, H, W, C)."""
    ordered = y if direction < 2 else y.flip(1)
    if direction % 2 == 0:
        return ordered.unflatten(1, (height, width))
    return ordered.unflatten(1, (width, height)).transpose(1, 2)


class SelectiveScan2d(nn.Module):
    """The four-direction scan with its gate and projections; (N, H, W, C) to the same.

    Args:
        channels: Width outside.
        state: Numbers in the state of each inner channel.
        expansion: Inner over outer width.
        implementation: Of the scan, see :func:`restorers.blocks.selective_scan.selective_scan`.
    """

    uncounted = "the selective scans"

    def __init__(self, channels: int, state: int = 16, expansion: int = 2, implementation: str = "auto") -> None:
        super().__init__()
        self.implementation = implementation
        inner, rank = expansion * channels, math.ceil(channels / 16)
        self.inner, self.rank, self.state = inner, rank, state
        self.project_in = nn.Linear(channels, 2 * inner, bias=False)
        self.local = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.to_parameters = nn.Parameter(torch.empty(DIRECTIONS, inner, rank + 2 * state))
        self.to_steps = nn.Parameter(torch.empty(DIRECTIONS, rank, inner))
        self.step_bias = nn.Parameter(torch.empty(DIRECTIONS, inner))
        decay = torch.arange(1, state + 1, dtype=torch.float32).log()
        self.log_decay = nn.Parameter(decay[None, :, None].repeat(DIRECTIONS, 1, inner))
        self.skip = nn.Parameter(torch.ones(DIRECTIONS, inner))
        self.norm = nn.LayerNorm(inner)
        self.project_out = nn.Linear(inner, channels, bias=False)
        for parameter in (self.log_decay, self.skip, self.step_bias):
            parameter._no_decay = True  # type: ignore[attr-defined]
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Mamba's start: step sizes log-uniform in [0.001, 0.1], everything else uniform by fan-in."""
        nn.init.uniform_(self.to_parameters, -(self.inner**-0.5), self.inner**-0.5)
        nn.init.uniform_(self.to_steps, -(self.rank**-0.5), self.rank**-0.5)
        step = torch.exp(torch.empty_like(self.step_bias).uniform_(math.log(1e-3), math.log(0.1))).clamp_min(1e-4)
        self.step_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x, gate = self.project_in(x).chunk(2, -1)
        x = F.silu(self.local(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        # A pixel's step sizes and weights do not depend on the order of the scan: one product for all directions.
        parameters = x @ self.to_parameters.transpose(0, 1).flatten(1).to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            exact = torch.promote_types(x.dtype, torch.float32)  # products of decays need single precision
            x, parameters = x.to(exact), parameters.to(exact).unflatten(-1, (DIRECTIONS, -1))
            learned = [t.to(exact) for t in (self.to_steps, self.step_bias, -self.log_decay.to(exact).exp())]
            if x.device.type == "cpu" and self.implementation in ("auto", "compiled") and has_numba():
                from restorers.blocks.scan_cpu import compiled_picture_scan

                y = compiled_picture_scan(x, parameters, *learned)
            else:
                y = self._scan(x, parameters, *learned)
            y = torch.addcmul(y, x, self.skip.to(exact).sum(0))
        return self.project_out(self.norm(y).to(gate.dtype) * F.silu(gate))

    def _scan(self, x: Tensor, parameters: Tensor, to_steps: Tensor, bias: Tensor, decay: Tensor) -> Tensor:
        """The four scans and their sum in plain PyTorch."""
        _, height, width, _ = x.shape
        # Together when training, where many sequences keep every core busy; one by one when memory matters more.
        together = [range(DIRECTIONS)] if torch.is_grad_enabled() else [range(k, k + 1) for k in range(DIRECTIONS)]
        total: Tensor | None = None
        for directions in together:
            part = slice(directions[0], directions[-1] + 1)
            ordered = torch.stack([to_sequence(parameters[..., k, :], k) for k in directions], 1)
            steps, b, c = ordered.split((self.rank, self.state, self.state), -1)
            steps = F.softplus(torch.einsum("nklr,krc->nklc", steps, to_steps[part]) + bias[part, None])
            sequences = torch.stack([to_sequence(x, k) for k in directions], 1)
            y, _ = scan_sequences(*(t.flatten(0, 1) for t in (sequences, steps)), decay[part],
                                  *(t.flatten(0, 1) for t in (b, c)), self.implementation)  # fmt: skip
            for k, sequence in zip(directions, y.unflatten(0, (len(x), -1)).unbind(1), strict=True):
                placed = from_sequence(sequence, k, height, width)
                total = placed if total is None else total + placed
        assert total is not None
        return total
