"""MATLAB's bicubic on tensors: ``resample.imresize`` with gradients and batches, equal to it to rounding.

Low-resolution pictures of super-resolution papers are made by MATLAB's antialiased ``imresize``; other resizers give
other pictures and, with them, scores that cannot be compared.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from resample import contributions


def matlab_resize(picture: Tensor, scale: float) -> Tensor:
    """Resize as ``resample.imresize(image, scale)`` does.

    Args:
        picture: (N, C, H, W), any range.
        scale: Output samples per input sample; sides become ``ceil(scale * side)``.

    Returns:
        (N, C, h, w) in the picture's type, neither clipped nor rounded.

    Example:
        >>> matlab_resize(torch.full((1, 1, 8, 12), 0.5), 0.25).shape
        torch.Size([1, 1, 2, 3])
    """
    height, width = (max(1, math.ceil(round(side * scale, 9))) for side in picture.shape[-2:])
    picture = _resize_last(picture.mT, height, scale).mT
    return _resize_last(picture, width, scale)


def _resize_last(x: Tensor, length: int, scale: float) -> Tensor:
    return x @ torch.from_numpy(_matrix(x.shape[-1], length, scale)).to(x)


@lru_cache(maxsize=64)
def _matrix(source: int, length: int, scale: float) -> np.ndarray:
    """The resizing of a row as a (source, length) matrix."""
    indices, weights = contributions(source, length, scale)
    matrix = np.zeros((source, length))
    np.add.at(matrix, (indices, np.arange(length)[:, None]), weights)
    return matrix
