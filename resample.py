"""MATLAB-compatible bicubic resizing, in NumPy and exact to rounding.

The scores of super-resolution papers and of NIQE rest on MATLAB's ``imresize``: Keys' cubic kernel with a = -0.5,
stretched by the scale when shrinking (antialiasing), with a mirrored border. OpenCV does not antialias, and
Pillow and PyTorch cut the kernel off at the border and renormalise it, so none of them gives the same picture.

Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from errors import UsageError

_KERNEL_WIDTH = 4.0


def cubic(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' cubic convolution kernel with a = -0.5.

    Args:
        x: distances from the kernel's centre, in input samples.

    Returns:
        The kernel's values, zero where ``|x| > 2``, as float64.
    """
    x = np.abs(np.asarray(x, dtype=np.float64))
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


@lru_cache(maxsize=64)
def contributions(
    length: int, output_length: int, scale: float, antialias: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Compute which input samples, with which weights, make each output sample.

    Args:
        length: number of input samples.
        output_length: number of output samples.
        scale: output samples per input sample.
        antialias: stretch the kernel by ``1 / scale`` when shrinking.

    Returns:
        ``indices`` and ``weights``, both ``(output_length, taps)``; each row of weights sums to one, and indices
        beyond the border are mirrored with the edge sample repeated (MATLAB's "symmetric").
    """
    stretch = min(scale, 1.0) if antialias else 1.0
    width = _KERNEL_WIDTH / stretch
    centres = np.arange(1, output_length + 1) / scale + 0.5 * (1.0 - 1.0 / scale)
    left = np.floor(centres - width / 2.0).astype(np.int64)
    taps = math.ceil(width) + 2
    indices = left[:, None] + np.arange(taps)
    weights = stretch * cubic(stretch * (centres[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)
    mirror = np.concatenate((np.arange(length), np.arange(length)[::-1]))
    indices = mirror[np.mod(indices - 1, 2 * length)]
    used = np.any(weights != 0.0, axis=0)
    indices, weights = np.ascontiguousarray(indices[:, used]), np.ascontiguousarray(weights[:, used])
    indices.flags.writeable = weights.flags.writeable = False
    return indices, weights


def imresize(
    image: np.ndarray,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    *,
    antialias: bool = True,
) -> np.ndarray:
    """Resize an image as MATLAB's ``imresize(image, scale, "bicubic")`` does on doubles.

    The result is neither clipped nor rounded, so it can leave the range of the input by a little.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any real dtype, any range.
        scale: output samples per input sample; the output has ``ceil(scale * side)`` samples a side.
        size: ``(height, width)`` of the output, in place of ``scale``.
        antialias: stretch the kernel when shrinking (MATLAB's default).

    Returns:
        float64, ``(h, w)`` or ``(h, w, C)``.

    Raises:
        UsageError: not exactly one of ``scale`` and ``size`` is given, they are not positive, or the image is empty.

    Example:
        >>> imresize(np.full((6, 8), 7.0), 0.5).shape
        (3, 4)
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise UsageError(f"imresize expected a non-empty image (H,W) or (H,W,C), got shape {image.shape}.")
    if (scale is None) == (size is None):
        raise UsageError("imresize needs either a scale or a size, and not both.")
    sides = image.shape[:2]
    if scale is not None:
        if not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"imresize expected a positive scale, got {scale}.")
        scales = (float(scale), float(scale))
        # MATLAB's ceil, protected from products such as 0.1 * 30 = 3.0000000000000004.
        size = tuple(max(1, math.ceil(round(side * scale, 9))) for side in sides)
    else:
        if min(size) < 1:
            raise UsageError(f"imresize expected a positive size, got {tuple(size)}.")
        scales = (size[0] / sides[0], size[1] / sides[1])
    output = image.astype(np.float64, copy=False)
    # MATLAB resizes the side with the smaller scale first: fewer samples are left for the second pass.
    for axis in sorted((0, 1), key=lambda a: scales[a]):
        output = _resize_axis(output, axis, size[axis], scales[axis], antialias)
    return output.copy() if output is image else output


def _resize_axis(image: np.ndarray, axis: int, length: int, scale: float, antialias: bool) -> np.ndarray:
    if length == image.shape[axis] and scale == 1.0:
        return image
    indices, weights = contributions(image.shape[axis], length, scale, antialias)
    shape = [1] * image.ndim
    shape[axis] = length
    output = np.zeros((*image.shape[:axis], length, *image.shape[axis + 1 :]))
    for tap in range(indices.shape[1]):
        output += np.take(image, indices[:, tap], axis=axis) * weights[:, tap].reshape(shape)
    return output
