"""A low-light network's denoiser: what curves make of a noisy picture becomes what they make of a clean one.

The curves are given and stay as they are. A sample is a well exposed picture, darkened in linear light once without and
once with a sensor's noise; no other exposure of its scene is needed, and nobody's labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from errors import SetError, UsageError
from restorers.networks.scl_lle import SclLle, apply_curves
from training import data
from training.dark_pairs import is_well_exposed, open_well_exposed
from training.degradations import camera
from training.degradations.low_light import correlated, low_light
from training.entries import between, number, whole
from training.recipe import Recipe
from training.restorer_task import RestorerTask
from training.validate import ValidationPair, quick_selection


class DarkNoiseTask(RestorerTask):
    """Train the denoiser behind a curve network.

    The recipe's tables:

    - ``data``: ``crop`` in pixels; ``start``, the model whose curves are used, and its denoiser if any; ``gain``, how
      much linear light is left (low, high); ``electrons``, the range of the sensor's full well; ``read``, that of
      the deviation of its read-out noise, as a share of white; all three are drawn by their logarithms; ``spread``, the
      greatest deviation, in pixels, of the Gaussian that correlates half of all noise; ``jpeg``, the share of noisy
      pictures that were JPEG files.
    - ``loss``: nothing; it is the mean absolute difference.
    - ``validation``: ``pairs`` of the quick selection.
    """

    model: SclLle
    protocol = "lowlight-rgb"
    fresh = ("denoiser.",)
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("crop", "gain", "electrons", "read", "spread", "jpeg"),
        "loss": (),
        "validation": ("pairs",),
    }

    required = ("crop", "start", "gain", "electrons", "read")

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        if getattr(self.model, "denoiser", None) is None:
            raise UsageError("The recipe's network has no denoiser to train; give it network.denoise.")
        options = recipe.data
        self.crop = whole(options["crop"], "data.crop", least=1)
        self.ranges = {key: between(options[key], f"data.{key}", above=0) for key in ("gain", "electrons", "read")}
        self.spread = number(options.get("spread") or 0, "data.spread", least=0)
        self.jpeg = number(options.get("jpeg", 0.0), "data.jpeg", least=0, most=1)
        self.model.requires_grad_(False)
        self.model.denoiser.requires_grad_(True)
        self._root, self._pool = Path(), None

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        self._root, self._pool = root, open_well_exposed(root, cache)
        least = min((min(shape[:2]) for shape in self._pool.shapes), default=0)
        if least < self.crop:
            raise SetError(f"The smallest training picture has {least} pixels a side; lower data.crop in the recipe.")

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        assert self._pool is not None, "prepare() comes first"
        rng = np.random.default_rng((self.recipe.seed, index))
        picture = self._pool[int(rng.integers(len(self._pool)))]
        size = self.crop
        top, left = (int(rng.integers(length - size + 1)) for length in picture.shape[:2])
        crop = picture[top : top + size, left : left + size]
        noisy, clean = self.darkened(data.to_tensor(crop[:, ::-1] if rng.random() < 0.5 else crop)[None], rng)
        return {"noisy": noisy[0], "clean": clean[0]}

    def darkened(self, clear: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Darken (1, 3, H, W), drawing how much and what noise: with it and without, 8 bits both."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        gain, electrons, read = (
            float(np.exp(rng.uniform(*np.log(self.ranges[key])))) for key in ("gain", "electrons", "read")
        )
        clean = low_light(clear, gain)
        noisy = low_light(clear, gain, 1 / electrons, read**2, generator)
        if rng.random() < 0.5 and self.spread:
            noisy = correlated(noisy, clean, torch.tensor([rng.uniform(0.3, self.spread)]))
        if rng.random() < self.jpeg:
            noisy = camera.jpeg(noisy, [int(rng.integers(75, 99))])
        return (noisy * 255).round() / 255, clean

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.forward`."""
        with torch.no_grad():
            curves = self.model.curves(self.model.reduced(batch["noisy"])).float()
            bright, wanted = (apply_curves(batch[key], curves) for key in ("noisy", "clean"))
        return {"loss": (self.model.denoiser(bright).float() - wanted).abs().mean()}

    def validation(self, *, full: bool = False) -> Sequence[ValidationPair]:
        """Held-out photographs, darkened with noise, always the same way, and the photographs themselves."""
        found = [
            (name, picture) for name, picture in data.bsds(self._root, validation=True) if is_well_exposed(picture)
        ]
        pairs = [
            ValidationPair(name, partial(self._pair, picture, index)) for index, (name, picture) in enumerate(found)
        ]
        return pairs if full else quick_selection(pairs, self.quick(len(pairs)))

    def _pair(self, picture: np.ndarray, index: int) -> tuple[Tensor, Tensor]:
        clear = data.to_tensor(picture)[None]
        return self.darkened(clear, np.random.default_rng((self.recipe.seed, 1, index)))[0], clear
