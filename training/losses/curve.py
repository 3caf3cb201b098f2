"""Losses on curves and colours that need no reference: smoothness, colour constancy, brightness contrast.

Zero-DCE's smoothness and colour terms as the SCL-LLE script weighs them, and that script's brightness hinge against
unpaired exposures. Pictures are (N, 3, H, W) in [0, 1]; all functions return a scalar.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Alignment = Literal["position", "rank", "picture"]


def curve_smoothness(curves: Tensor) -> Tensor:
    """Total variation of the curve maps: twice the summed mean square of vertical and horizontal differences.

    Sums run over channels, means over positions and the batch, as in the released script; a horizontal ramp of slope
    s in one channel gives ``2 s^2``.

    Args:
        curves: (N, C, H, W), both sides at least 2.
    """
    rows = (curves[..., 1:, :] - curves[..., :-1, :]).square().mean((0, 2, 3)).sum()
    columns = (curves[..., 1:] - curves[..., :-1]).square().mean((0, 2, 3)).sum()
    return 2 * (rows + columns)


def curve_agreement(curves: Tensor) -> Tensor:
    """How far the curves of the three colours are apart: mean squared deviation from their common mean.

    Nothing else ties the colours of a pixel together: brightness sees their mean, grey-world the mean of a picture.
    Equal curves brighten without a tint.

    Args:
        curves: (N, 3K, H, W), three channels an iteration.
    """
    colours = curves.unflatten(1, (-1, 3))
    return (colours - colours.mean(2, keepdim=True)).square().mean()


def colour_constancy(picture: Tensor) -> Tensor:
    """Grey-world distance: how far the channel means of each picture are from each other (Zero-DCE, eq. 7).

    ``sqrt(D_rg^2 + D_rb^2 + D_gb^2)`` with ``D_ab`` the *squared* difference of two channel means, averaged over the
    batch. Grey pictures give 0, with zero gradient.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> round(float(colour_constancy(red)), 5)
        1.41421
    """
    red, green, blue = picture.mean((2, 3)).unbind(1)
    squares = (red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4
    # The root has an infinite slope at zero, where the loss has none.
    positive = squares > 0
    roots = torch.where(positive, squares, torch.ones_like(squares)).sqrt()
    return torch.where(positive, roots, torch.zeros_like(roots)).mean()


def exposure(picture: Tensor, normal: Tensor) -> Tensor:
    """How far every picture's mean brightness is from that of well-exposed ones: mean squared difference.

    Zero-DCE's exposure control (its eq. 6) with the whole picture as the region, and for its level the positives'.

    Example:
        >>> grey = torch.full((1, 3, 2, 2), 0.5)
        >>> round(float(exposure(torch.cat((grey, grey - 0.2)), grey)), 3)
        0.02
    """
    return (picture.mean((1, 2, 3)) - normal.mean()).square().mean()


def brightness(picture: Tensor) -> Tensor:
    """Mean of the three channels, (N, 1, H, W)."""
    return picture.mean(1, keepdim=True)


def brightness_distance(a: Tensor, b: Tensor, alignment: Alignment = "rank") -> Tensor:
    """Mean absolute difference of two batches' brightness.

    Unpaired pictures have no common positions. ``position`` compares them pixel by pixel all the same, as the released
    script does: minimised over many partners it drives every pixel to one level. ``rank`` compares the k-th darkest
    pixel of one batch with the k-th darkest of the other, which is the first Wasserstein distance between the two
    brightness distributions: minimised, it gives pictures the tones of well-exposed ones, darks and lights included.
    ``picture`` is ``rank`` for every picture of ``a`` by itself, against all of ``b``: a darker scene has to be
    brightened more, where ``rank`` lets a batch's light scenes make up for it.

    Args:
        a: (N, 3, H, W).
        b: (N, 3, H, W), the same shape; for ``rank`` and ``picture`` a whole multiple of the pictures is welcome,
            because a larger sample tells more about the distribution.
        alignment: What corresponds to what.
    """
    a, b = brightness(a), brightness(b)
    if alignment == "picture":
        a, b = a.flatten(1).sort(1).values, b.flatten().sort().values
        share = b.numel() // a.shape[1]
        b = b[share // 2 :: share][: a.shape[1]]
    elif alignment == "rank":
        a, b = a.flatten().sort().values, b.flatten().sort().values
        share = b.numel() // a.numel()
        b = b[share // 2 :: share]
    return (a - b).abs().mean()


def brightness_contrast(
    output: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 0.3, alignment: Alignment = "rank"
) -> Tensor:
    """``max(d(H, P) - d(H, N) + margin, 0)`` on brightness: near the well-exposed, far from the badly exposed.

    Args:
        output: Enhanced pictures H.
        positive: Unpaired well-exposed pictures P.
        negative: Unpaired pictures N; under- and over-exposed in equal numbers, or the result drifts.
        margin: Where the hinge switches off.
        alignment: See :func:`brightness_distance`.
    """
    near = brightness_distance(output, positive, alignment)
    far = brightness_distance(output, negative, alignment)
    return torch.relu(near - far + margin)
