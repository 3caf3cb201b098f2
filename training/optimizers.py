"""Who steps what in a run: AdamW, and Muon for kernels and matrices from the step on that the recipe names."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from training.muon import Muon


class Optimizers:
    """The optimisers of a task's parameters, as one.

    Kernels and matrices decay; biases, norms, scalars and whatever asks for it (``_no_decay``) do not, and are always
    stepped by AdamW. So are matrices that ask for that alone (``_no_muon``).

    Args:
        task: Whose parameters are trained.
        weight_decay: Of kernels and matrices.
        muon: First step in which Muon steps them; None for never. It starts with an empty momentum there.
        betas: AdamW's.
        beside_muon: Share of the rate for what AdamW steps where Muon steps the rest.

    Example:
        >>> optimizers = Optimizers(nn.Linear(4, 2), weight_decay=0.0, muon=100)
        >>> optimizers.begin(0, rate=1e-3), type(optimizers.kernels).__name__
        (None, 'AdamW')
        >>> optimizers.begin(100, rate=1e-3), type(optimizers.kernels).__name__
        (None, 'Muon')
    """

    def __init__(
        self,
        task: nn.Module,
        *,
        weight_decay: float,
        muon: int | None,
        betas: tuple[float, float] = (0.9, 0.999),
        beside_muon: float = 1.0,
    ) -> None:
        self._weight_decay, self._muon, self._beside_muon = weight_decay, muon, beside_muon
        kernels, plain, matrices = [], [], []
        for parameter in task.parameters():
            if not parameter.requires_grad:
                continue
            if parameter.ndim < 2 or getattr(parameter, "_no_decay", False):
                plain.append(parameter)
            else:
                (matrices if getattr(parameter, "_no_muon", False) else kernels).append(parameter)
        self.kernels: torch.optim.Optimizer | None = None
        self.others: torch.optim.Optimizer | None = None
        if kernels:
            self.kernels = torch.optim.AdamW(kernels, betas=betas, weight_decay=weight_decay)
        groups = [{"params": plain, "weight_decay": 0.0}, {"params": matrices, "weight_decay": weight_decay}]
        if groups := [group for group in groups if group["params"]]:
            self.others = torch.optim.AdamW(groups, betas=betas)

    def begin(self, step: int, rate: float) -> None:
        """Be what ``step`` wants, with this learning rate."""
        if self._muon is not None and step >= self._muon:
            self._change_to_muon()
        beside = self._beside_muon if isinstance(self.kernels, Muon) else 1.0
        for optimizer, share in ((self.kernels, 1.0), (self.others, beside)):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = share * rate

    def step(self) -> None:
        """Step every parameter that has a gradient, and drop the gradients."""
        for optimizer in self._all():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "muon": isinstance(self.kernels, Muon),
            "kernels": self.kernels.state_dict() if self.kernels else {},
            "others": self.others.state_dict() if self.others else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        if state["muon"]:
            self._change_to_muon()
        if self.kernels:
            self.kernels.load_state_dict(state["kernels"])
        if self.others:
            self.others.load_state_dict(state["others"])

    def _change_to_muon(self) -> None:
        if self.kernels is not None and not isinstance(self.kernels, Muon):
            self.kernels = Muon(self.kernels.param_groups[0]["params"], weight_decay=self._weight_decay)

    def _all(self) -> list[torch.optim.Optimizer]:
        return [optimizer for optimizer in (self.kernels, self.others) if optimizer is not None]
