"""Semantic terms of SCL-LLE: one class, one brightness; and a frozen segmenter that should still recognise things."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import UsageError
from training.losses.curve import brightness

LEAST_PIXELS = 100
"""Classes with fewer pixels in a picture have no brightness worth speaking of."""

IGNORED = 255


def semantic_brightness(
    picture: Tensor,
    labels: Tensor,
    *,
    ignored: int = IGNORED,
    least_pixels: int = LEAST_PIXELS,
    area_mean: bool = False,
) -> Tensor:
    """Brightness variance inside each semantic class: ``sum_s 1/HW sum_{p in s} (Y_p - B_s)^2``, mean over the batch.

    ``B_s`` is the mean brightness of class s in its own picture, so classes count by their area.

    Args:
        picture: (N, 3, H, W).
        labels: (N, H, W) integers.
        ignored: Label that means "no class".
        least_pixels: Smaller classes are left out.
        area_mean: Reproduce the released script's mean instead: the class's sum over the area of the *whole* picture,
            with every pixel outside the class counted at that value. It pulls small classes towards black.

    Returns:
        A scalar; 0 where no class is large enough.
    """
    y = brightness(picture).flatten(1)
    labels = labels.flatten(1).long()
    count, pixels = y.shape
    kinds = int(torch.where(labels == ignored, -1, labels).max()) + 1
    if kinds <= 0:
        return y.sum() * 0
    # Everything ignored goes to one bin more than there are classes, which is then dropped.
    bins = torch.where(labels == ignored, kinds, labels)
    size = y.new_zeros(count, kinds + 1).scatter_add_(1, bins, torch.ones_like(y))
    total = y.new_zeros(count, kinds + 1).scatter_add(1, bins, y)
    mean = total / (pixels if area_mean else size.clamp_min(1))
    squares = (y - mean.gather(1, bins)).square()
    variance = y.new_zeros(count, kinds + 1).scatter_add(1, bins, squares)[:, :kinds] / pixels
    counted = size[:, :kinds] >= least_pixels
    return (variance * counted).sum(1).mean()


def segmentation(
    segmenter: nn.Module, picture: Tensor, labels: Tensor, *, ignored: int = IGNORED, detach: bool = False
) -> Tensor:
    """Cross-entropy of a frozen segmenter on the enhanced picture; the gradient flows through it to the enhancer.

    Args:
        segmenter: Maps ImageNet-normalised pictures to logits (N, K, h, w), or to a dictionary with them under "out"
            as torchvision's segmenters do. It is used as it is: in evaluation mode and without gradients of its own.
        picture: (N, 3, H, W) in [0, 1].
        labels: (N, H, W) integers below K.
        ignored: Label that is not scored.
        detach: Reproduce the released script, where the term is printed but teaches nothing.

    Returns:
        A scalar; 0 where nothing is labelled.

    Raises:
        UsageError: The labels have classes that the segmenter does not know.
    """
    if segmenter.training:
        raise ValueError("the segmenter must be frozen in evaluation mode: call segmenter.eval()")
    logits = logits_of(segmenter, picture.detach() if detach else picture, labels.shape[-2:])
    labels = labels.long()
    known = labels[labels != ignored]
    if not len(known):
        return logits.sum() * 0
    if int(known.max()) >= logits.shape[1]:
        raise UsageError(
            f"The segmenter knows {logits.shape[1]} classes and the labels go up to {int(known.max())}; give "
            "data.segmenter one that was trained for these labels, or leave loss.segmentation out."
        )
    return F.cross_entropy(logits, labels, ignore_index=ignored)


def logits_of(segmenter: nn.Module, picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Class scores (N, K, *size) of pictures (N, 3, H, W) in [0, 1], which are normalised as ImageNet networks want."""
    mean = picture.new_tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
    deviation = picture.new_tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
    logits = segmenter((picture - mean) / deviation)
    if isinstance(logits, dict):
        logits = logits["out"]
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)
