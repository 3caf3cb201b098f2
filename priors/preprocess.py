"""From a batch of pictures to what an image tower expects, on tensors.

open_clip's own transform works on one PIL picture in 8 bits; pictures here are float tensors of any size, in batches,
on any device. The resize modes are open_clip's: ``shortest`` fits the short side and crops the centre, ``longest`` fits
the long side and pads, ``squash`` stretches the whole picture. Which one is used changes every score, so it belongs
to the model and is never chosen by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor

from errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Preprocess:
    """The facts of a model's preprocessing.

    Attributes:
        size: (height, width) of the tower's input.
        mean: per channel, of pictures in [0,1].
        std: per channel.
        resize_mode: "shortest", "longest" or "squash".
        interpolation: "bicubic" or "bilinear".
        fill: padding value of "longest", 0 to 255.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Preprocess:
        """From open_clip's ``model.visual.preprocess_cfg``.

        Raises:
            PromptError: a mode that is none of open_clip's.
        """
        size = config["size"]
        size = (size, size) if isinstance(size, int) else tuple(size)
        mode, interpolation = config.get("resize_mode") or "shortest", config.get("interpolation") or "bicubic"
        if mode not in ("shortest", "longest", "squash"):
            raise PromptError(f"The model's resize_mode is {mode!r}; known are shortest, longest and squash.")
        if interpolation not in ("bicubic", "bilinear"):
            interpolation = "bicubic"
        return cls(
            size, tuple(config["mean"]), tuple(config["std"]), mode, interpolation, config.get("fill_color") or 0
        )

    def __call__(self, batch: Tensor) -> Tensor:
        """(N,3,H,W) in [0,1] of any size to (N,3,*size), normalised."""
        height, width = batch.shape[-2:]
        if self.resize_mode == "squash":
            return self.normalise(self.resize(batch, self.size))
        fit = max if self.resize_mode == "shortest" else min
        scale = fit(self.size[0] / height, self.size[1] / width)
        resized = self.resize(batch, (max(1, round(height * scale)), max(1, round(width * scale))))
        return self.normalise(self._centre(resized))

    def resize(self, batch: Tensor, size: tuple[int, int]) -> Tensor:
        """Antialiased resize, clamped to [0,1] because bicubic overshoots."""
        if tuple(batch.shape[-2:]) == tuple(size):
            return batch
        return F.interpolate(batch, size, mode=self.interpolation, align_corners=False, antialias=True).clamp(0, 1)

    def normalise(self, batch: Tensor) -> Tensor:
        """Subtract the mean and divide by the deviation."""
        mean, std = (batch.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (batch - mean) / std

    def _centre(self, batch: Tensor) -> Tensor:
        """Crop or pad to the input size, centred as torchvision does."""
        for axis, target in ((-2, self.size[0]), (-1, self.size[1])):
            extra = batch.shape[axis] - target
            if extra > 0:
                batch = batch.narrow(axis, round(extra / 2.0), target)
            elif extra < 0:
                before = -extra // 2
                pad = (before, -extra - before, 0, 0) if axis == -1 else (0, 0, before, -extra - before)
                batch = F.pad(batch, pad, value=self.fill / 255)
        return batch
