"""Bicubic enlargement as MATLAB's ``imresize`` does it: the baseline of every super-resolution table.

For a whole factor s every input pixel becomes s x s output pixels, whose weights depend only on their place in that
square; so enlarging is one small convolution with s^2 outputs. ``resample.imresize`` is the reference (any size, double
precision); this is the same to 1e-6 and takes a hundredth of the time.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resample import cubic
from restorers.base import Restorer
from restorers.card import RestorerCard

_REACH = 2
"""Pixels on each side that the cubic kernel touches."""


def card(scale: int) -> RestorerCard:
    """The facts of bicubic enlargement by a whole factor."""
    return RestorerCard(
        name=f"bicubic_x{scale}",
        title=f"Bicubic x{scale}",
        task="sr",
        summary="Cubic interpolation with MATLAB's kernel and border; adds no detail of its own.",
        paper="Keys: Cubic Convolution Interpolation for Digital Image Processing, IEEE TASSP 1981",
        paper_url="https://doi.org/10.1109/TASSP.1981.1163711",
        scale=scale,
        tiling="exact",
        receptive_field=_REACH,
    )


class Bicubic(Restorer):
    """Enlarge by a whole factor with Keys' cubic kernel (a = -0.5) and a mirrored border.

    Args:
        scale: Output pixels per input pixel and side.
    """

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.card = card(scale)
        self.register_buffer("kernel", _kernel(scale), persistent=False)

    def enhance(self, x: Tensor) -> Tensor:
        """Float (N, 3, H, W) to (N, 3, sH, sW), not clamped; in single precision whatever the context asks for."""
        with torch.autocast(x.device.type, enabled=False), torch.backends.cudnn.flags(allow_tf32=False):
            return torch.cat([self._enlarge(picture.float()) for picture in x.split(1)])

    def _enlarge(self, picture: Tensor) -> Tensor:
        rows, columns = (_mirrored(side, picture.device) for side in picture.shape[-2:])
        planes = picture[0][:, None, rows][..., columns]
        return F.pixel_shuffle(F.conv2d(planes, self.kernel), self.scale).transpose(0, 1)


def _kernel(scale: int) -> Tensor:
    """(s^2, 1, 5, 5): weights of the pixels around an input pixel for each output pixel in its square."""
    offsets = (np.arange(scale) + 0.5) / scale - 0.5
    line = cubic(np.arange(-_REACH, _REACH + 1) - offsets[:, None])
    line /= line.sum(axis=1, keepdims=True)
    square = np.einsum("pi,qj->pqij", line, line).reshape(scale * scale, 1, *(2 * _REACH + 1,) * 2)
    return torch.from_numpy(square).float()


def _mirrored(length: int, device: torch.device) -> Tensor:
    """Indices along an axis with two more at each end, mirrored with the edge pixel repeated."""
    inside = torch.arange(length, device=device)
    return torch.cat((inside[:_REACH].flip(0), inside, inside[-_REACH:].flip(0)))
