"""A small result brought to the size of the picture, with the picture's detail.

How much haze lies where is a matter of whole scenes, and a reduced picture shows it as well as the picture does, for a
fraction of the work. What a dehazer then makes of the reduced picture is a local linear function of it: by the
scattering model ``J = (I - A) / t + A``, with t and A nearly constant inside a small window. Its slope ``1 / t``, one
for all channels, and its offset, the airlight's colour in it, are found by regression in every window of the small
pictures, enlarged, and applied to the picture itself, so that detail comes from there.

He, Sun, "Fast Guided Filter", arXiv 1505.00996, 2015, with the picture as the guide; Kopf et al., "Joint Bilateral
Upsampling", SIGGRAPH 2007, for the idea.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from restorers.blocks.padding import padded_to_multiple

WINDOW = 5
"""Side of the windows in pixels of the small pictures. Smaller ones follow the true result more closely, larger ones
average a network's errors out."""

SMALLEST_REDUCED = WINDOW // 2 + 1
"""Pixels that a reduced picture has at least on a side: borders are mirrored by half a window."""

RIDGE = 1e-5
"""Added to the guide's variance: below a contrast of 0.003 a window is taken for flat, and so for noise."""


def joint_upsample(small_input: Tensor, small_result: Tensor, picture: Tensor) -> Tensor:
    """Do to a picture what was done to its reduced version.

    Args:
        small_input: (N, C, h, w), at least 3x3, the picture reduced by averaging.
        small_result: (N, C, h, w), what became of it.
        picture: (N, C, H, W).

    Returns:
        (N, C, H, W): ``a picture + b`` with a slope a for all channels and offsets b of each, by least squares in
        windows, averaged over all windows that hold a pixel, and enlarged.

    Example:
        >>> import torch
        >>> picture = torch.rand(1, 3, 64, 96)
        >>> small = F.interpolate(picture, (16, 24), mode="area")
        >>> bool((joint_upsample(small, 0.5 * small + 0.25, picture) - 0.5 * picture - 0.25).abs().max() < 0.01)
        True
    """
    mean_input, mean_result = _mean(small_input), _mean(small_result)
    covariance = (_mean(small_input * small_result) - mean_input * mean_result).mean(1, keepdim=True)
    variance = (_mean(small_input * small_input) - mean_input * mean_input).mean(1, keepdim=True)
    slope = covariance / (variance + RIDGE)
    offset = _mean(mean_result - slope * mean_input)
    slope, offset = (F.interpolate(t, picture.shape[-2:], mode="bilinear") for t in (_mean(slope), offset))
    return offset.addcmul_(slope, picture)


def on_reduced(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    side: int | Sequence[int] | None,
    multiple: int,
    mirrored: bool = False,
) -> Tensor:
    """Apply a network to a picture reduced to the short side ``side``; to smaller pictures, and with None, as it is.

    Args:
        network: (N, 3, h, w) to the same, sides multiples of ``multiple``.
        x: (N, 3, H, W), sides multiples of ``multiple``.
        side: In pixels; of several, the mean of what each of them gives.
        multiple: What the network's sides have to be multiples of.
        mirrored: Average with what becomes of the mirrored picture: a scene's haze is the same from both sides.

    Returns:
        (N, 3, H, W).
    """

    def apply(picture: Tensor) -> Tensor:
        rows, columns = picture.shape[-2:]
        return network(padded_to_multiple(picture, multiple))[..., :rows, :columns]

    height, width = x.shape[-2:]
    sides = {min(s or height, height, width) for s in (side if isinstance(side, Sequence) else [side])}
    results = []
    for short in sorted(sides):
        share = short / min(height, width)
        small = x if share == 1 else F.interpolate(x, (round(height * share), round(width * share)), mode="area")
        y = apply(small)
        if mirrored:
            y = (y + apply(small.flip(-1)).flip(-1)) / 2
        results.append(y if small is x else joint_upsample(small, y, x))
    return sum(results) / len(results) if len(results) > 1 else results[0]


def _mean(x: Tensor) -> Tensor:
    """Mean of every window, borders mirrored."""
    half = WINDOW // 2
    return F.avg_pool2d(F.pad(x, (half,) * 4, mode="reflect"), WINDOW, 1)
