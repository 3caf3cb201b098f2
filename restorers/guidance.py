"""What a vision-language model tells a restorer: where the haze is, and what is there.

Networks that are guided by a CLIP ask for a guide by name when they first need one. It is no part of the network: it
is frozen, shared between networks, and stays out of their weight files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from priors.clip import ClipPrior


class Guide:
    """A CLIP and a prompt set, as a network uses them.

    Args:
        prior: The frozen model.
        direction: (D,) its logit scale times the difference between the haze end and the clear end of the prompts.
    """

    def __init__(self, prior: ClipPrior, direction: Tensor) -> None:
        self.prior = prior
        self.direction = direction

    @property
    def width(self) -> int:
        """Numbers in a token."""
        return len(self.direction)

    def tokens(self, x: Tensor) -> Tensor:
        """Features of places (N, D, rows, columns), normalised; the grid follows the pictures' shape.

        They are the patches' of a plain vision transformer; any other tower looks at overlapping tiles.

        Args:
            x: (N, 3, H, W) in [0, 1]; gradients flow to it if it wants any.
        """
        with torch.autocast(x.device.type, enabled=False):
            if self.prior.patch_size is not None:
                return self.prior.encode_patches(x.float())
            from priors.density import tile_features

            return torch.stack([tile_features(self.prior, picture[None].float()).features for picture in x])

    def density(self, tokens: Tensor) -> Tensor:
        """Haze density (N, 1, rows, columns) in [0, 1] from tokens: softmax over the two ends of the prompts."""
        return torch.einsum("ndhw,d->nhw", tokens, self.direction.to(tokens)).sigmoid()[:, None]


@lru_cache(maxsize=2)
def load_guide(clip: str = "embedded", prompts: str = "haze", device: str = "cpu") -> Guide:
    """A guide by name; the last two stay in memory.

    Args:
        clip: ``embedded``, ``local-dir:FOLDER``, ``hf-hub:ORG/NAME`` or ``NAME:TAG``.
        prompts: A built-in prompt set, or a file of a written or learned one.
        device: Where it runs.

    Raises:
        UnveilError: The model or the prompts cannot be loaded; the message says what to do.
    """
    from priors import clip as clips
    from priors import prompts as sets

    prior = clips.load(clip, device=device)
    with torch.inference_mode(False), torch.no_grad():
        positive, negative = sets.end_features(prior, sets.load(prompts))
        direction = prior.logit_scale * (positive - negative)
        return Guide(prior, direction.clone())
