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

from errors import UsageError
from restorers import registry
from restorers.networks.scl_lle import SclLle, apply_curves
from training import data
from training.dark_pairs import is_well_exposed, open_well_exposed
from training.degradations import camera
from training.degradations.low_light import correlated, low_light
from training.recipe import Recipe
from training.restorer_task import RestorerTask
from training.validate import ValidationPair, quick_selection


class DarkNoiseTask(RestorerTask):
    """Train the denoiser behind a curve network.

    The recipe's tables:

    - ``data``: ``crop`` in pixels; ``start``, the registered method whose curves are used; ``gain``, how much linear
      light is left (low, high); ``electrons``, the range of the sensor's full well; ``read``, that of the deviation of
      its read-out noise, as a share of white; all three are drawn by their logarithms; ``spread``, the greatest
      deviation, in pixels, of the Gaussian that correlates half of all noise; ``jpeg``, the share of noisy pictures
      that were JPEG files.
    - ``loss``: nothing; it is the mean absolute difference.
    - ``validation``: ``pairs`` of the quick selection.
    """

    model: SclLle
    protocol = "lowlight-rgb"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("crop", "start", "gain", "electrons", "read", "spread", "jpeg"),
        "loss": (),
        "validation": ("pairs",),
    }

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        if getattr(self.model, "denoiser", None) is None:
            raise UsageError("The recipe's network has no denoiser to train; give it network.denoise.")
        self.model.requires_grad_(False)
        self.model.denoiser.requires_grad_(True)
        self._root, self._pool = Path(), None

    def prepare(self, root: Path, cache: Path) -> None:
        """See :meth:`Task.prepare`."""
        self._root, self._pool = root, open_well_exposed(root, cache)

    def start(self) -> None:
        """See :meth:`Task.start`: a registered method's curves."""
        curves = registry.create(str(self.recipe.data["start"])).state_dict()
        self.model.load_state_dict(self.model.state_dict() | curves)

    def sample(self, index: int) -> dict[str, Tensor]:
        """See :meth:`Task.sample`."""
        assert self._pool is not None, "prepare() comes first"
        rng = np.random.default_rng((self.recipe.seed, index))
        picture = self._pool[int(rng.integers(len(self._pool)))]
        size = int(self.recipe.data["crop"])
        top, left = (int(rng.integers(length - size + 1)) for length in picture.shape[:2])
        crop = picture[top : top + size, left : left + size]
        noisy, clean = self.darkened(data.to_tensor(crop[:, ::-1] if rng.random() < 0.5 else crop)[None], rng)
        return {"noisy": noisy[0], "clean": clean[0]}

    def darkened(self, clear: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Darken (1, 3, H, W), drawing how much and what noise: with it and without, 8 bits both."""
        options = self.recipe.data
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        gain, electrons, read = (
            float(np.exp(rng.uniform(*np.log(options[key])))) for key in ("gain", "electrons", "read")
        )
        clean = low_light(clear, gain)
        noisy = low_light(clear, gain, 1 / electrons, read**2, generator)
        if rng.random() < 0.5 and options.get("spread"):
            noisy = correlated(noisy, clean, torch.tensor([rng.uniform(0.3, options["spread"])]))
        if rng.random() < options.get("jpeg", 0.0):
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
        return pairs if full else quick_selection(pairs, int(self.recipe.validation.get("pairs", len(pairs))))

    def _pair(self, picture: np.ndarray, index: int) -> tuple[Tensor, Tensor]:
        clear = data.to_tensor(picture)[None]
        return self.darkened(clear, np.random.default_rng((self.recipe.seed, 1, index)))[0], clear
