"""The semantic brightness loss against a plain loop, and its documented switches."""

import pytest
import torch
from torch import nn

from errors import UsageError
from training.losses.semantic import IGNORED, segmentation, semantic_brightness


def scene(seed=0):
    generator = torch.Generator().manual_seed(seed)
    picture = torch.rand(2, 3, 24, 30, generator=generator)
    labels = torch.randint(0, 4, (2, 24, 30), generator=generator)
    labels[:, :3] = IGNORED
    labels[0, 5, 5:9] = 7
    return picture, labels


def by_hand(picture, labels, least, area_mean):
    total = 0.0
    for image, classes in zip(picture.mean(1).double(), labels, strict=True):
        for kind in set(classes.unique().tolist()) - {IGNORED}:
            inside = image[classes == kind]
            if inside.numel() >= least:
                mean = inside.sum() / image.numel() if area_mean else inside.mean()
                total += float((inside - mean).square().sum() / image.numel())
    return total / len(picture)


@pytest.mark.parametrize("area_mean", [False, True])
@pytest.mark.parametrize("least", [1, 100])
def test_equals_a_plain_loop(area_mean, least):
    picture, labels = scene()
    value = semantic_brightness(picture, labels, least_pixels=least, area_mean=area_mean)
    assert float(value) == pytest.approx(by_hand(picture, labels, least, area_mean), rel=1e-4)


def test_released_form_written_as_the_script_does():
    """Brightness inside the class, the area mean elsewhere, mean square over the whole picture."""
    picture, labels = scene(3)
    total = 0.0
    for image, classes in zip(picture.mean(1), labels, strict=True):
        for kind in range(4):
            inside = classes == kind
            mean = (image * inside).mean()
            total += float((torch.where(inside, image, mean) - mean).square().mean())
    value = semantic_brightness(picture, labels, least_pixels=30, area_mean=True)
    assert float(value) == pytest.approx(total / 2, rel=1e-4)


def test_uniform_classes_cost_nothing():
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[:, 10:] = 3
    picture = torch.where(labels == 3, 0.7, 0.2).unsqueeze(1).expand(1, 3, 20, 20)
    assert float(semantic_brightness(picture, labels)) == pytest.approx(0.0, abs=1e-9)
    assert float(semantic_brightness(picture, labels, area_mean=True)) > 0.01


def test_pictures_of_a_batch_do_not_mix():
    picture, labels = scene(4)
    alone = [float(semantic_brightness(picture[i : i + 1], labels[i : i + 1])) for i in range(2)]
    assert float(semantic_brightness(picture, labels)) == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_nothing_labelled_gives_zero_and_a_gradient_of_zero():
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    loss = semantic_brightness(picture, torch.full((1, 16, 16), IGNORED))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(picture.grad.abs().max()) == 0.0


def test_segmentation_gradient_reaches_the_picture_unless_detached():
    torch.manual_seed(0)
    segmenter = nn.Conv2d(3, 5, 3, stride=2, padding=1).requires_grad_(False).eval()
    labels = torch.randint(0, 5, (1, 16, 16))
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    segmentation(segmenter, picture, labels).backward()
    assert float(picture.grad.abs().max()) > 0
    assert not segmentation(segmenter, picture, labels, detach=True).requires_grad
    with pytest.raises(ValueError, match="eval"):
        segmentation(segmenter.train(), picture, labels)


def test_segmentation_of_nothing_is_nothing_and_of_unknown_classes_is_refused():
    segmenter = nn.Conv2d(3, 5, 1).requires_grad_(False).eval()
    picture = torch.rand(1, 3, 8, 8)
    assert float(segmentation(segmenter, picture, torch.full((1, 8, 8), IGNORED))) == 0.0
    with pytest.raises(UsageError, match="5 classes"):
        segmentation(segmenter, picture, torch.full((1, 8, 8), 5))
