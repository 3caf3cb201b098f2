"""Closed forms of the curve, colour and brightness losses."""

import math

import pytest
import torch

from training.losses.curve import (
    brightness_contrast,
    brightness_distance,
    colour_constancy,
    curve_agreement,
    curve_smoothness,
    exposure,
)


def test_smoothness_of_a_ramp():
    slope = 0.03
    ramp = slope * torch.arange(9.0).expand(1, 1, 7, 9)
    assert float(curve_smoothness(ramp)) == pytest.approx(2 * slope**2, rel=1e-5)
    assert float(curve_smoothness(ramp.mT.contiguous())) == pytest.approx(2 * slope**2, rel=1e-5)
    assert float(curve_smoothness(ramp.expand(4, 3, 7, 9))) == pytest.approx(3 * 2 * slope**2, rel=1e-5)


def test_smoothness_as_the_script_sums_it():
    maps = torch.rand(2, 24, 6, 5, generator=torch.Generator().manual_seed(1))
    rows = (maps[:, :, 1:] - maps[:, :, :-1]).pow(2).sum() / (5 * 5)
    columns = (maps[..., 1:] - maps[..., :-1]).pow(2).sum() / (6 * 4)
    assert float(curve_smoothness(maps)) == pytest.approx(float(2 * (rows + columns) / 2), rel=1e-5)


def test_equal_curves_of_the_colours_agree():
    grey = torch.rand(2, 8, 1, 5, 6).expand(2, 8, 3, 5, 6).flatten(1, 2)
    assert float(curve_agreement(grey)) == pytest.approx(0.0, abs=1e-12)
    # One iteration, red 0.3 above green and blue: deviations 0.2, -0.1, -0.1.
    tinted = torch.tensor([0.3, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert float(curve_agreement(tinted)) == pytest.approx((0.04 + 0.01 + 0.01) / 3, rel=1e-5)


def test_colour_constancy_of_grey_is_zero_with_zero_gradient():
    grey = torch.full((2, 3, 4, 4), 0.3, requires_grad=True)
    loss = colour_constancy(grey)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.equal(grey.grad, torch.zeros_like(grey))


def test_colour_constancy_of_pure_red():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 5, 5)
    assert float(colour_constancy(red)) == pytest.approx(math.sqrt(2), rel=1e-6)
    both = torch.cat((red, torch.full((1, 3, 5, 5), 0.5)))
    assert float(colour_constancy(both)) == pytest.approx(math.sqrt(2) / 2, rel=1e-6)


def test_rank_distance_ignores_positions_and_position_distance_does_not():
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand(1, 3, 8, 8, generator=generator)
    shuffled = picture.flatten(2)[..., torch.randperm(64, generator=generator)].view(1, 3, 8, 8)
    assert float(brightness_distance(picture, shuffled, "rank")) == pytest.approx(0.0, abs=1e-7)
    assert float(brightness_distance(picture, shuffled, "position")) > 0.05


def test_rank_distance_of_a_shift_is_the_shift():
    picture = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * 0.5
    assert float(brightness_distance(picture, picture + 0.25)) == pytest.approx(0.25, abs=1e-6)


def test_rank_distance_to_a_larger_sample_of_the_same_tones():
    picture = torch.linspace(0, 1, 48).view(1, 1, 6, 8).expand(1, 3, 6, 8)
    assert float(brightness_distance(picture, picture.repeat(5, 1, 1, 1))) == pytest.approx(0.0, abs=1e-7)


def test_distance_picture_by_picture():
    """A dark and a light picture make up for each other in a batch's tones, not when each is looked at alone."""
    tones = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    dark, light = 0.5 * tones[:1], 0.5 + 0.5 * tones[:1]
    both = torch.cat((dark, light))
    assert float(brightness_distance(both, both, "rank")) == 0.0
    assert float(brightness_distance(both, both, "picture")) > 0.2
    # Alone, one picture is the batch: both say the same.
    more = tones.repeat(3, 1, 1, 1)
    alone = float(brightness_distance(dark, more, "picture"))
    assert alone == pytest.approx(float(brightness_distance(dark, more, "rank")), abs=1e-6)


def test_exposure_counts_every_picture_by_itself():
    normal = torch.full((3, 3, 4, 4), 0.5)  # sums of halves and quarters are exact in any order
    pictures = torch.stack([torch.full((3, 8, 8), level) for level in (0.25, 0.75)])
    assert float(exposure(pictures, normal)) == 0.0625
    assert float(exposure(normal, normal)) == 0.0


def test_contrast_is_exactly_off_beyond_the_margin():
    output = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    loss = brightness_contrast(output, torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.1), margin=0.3)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(output.grad.abs().max()) == 0.0


@pytest.mark.parametrize("alignment", ["rank", "position"])
def test_contrast_pulls_dark_pictures_up(alignment):
    output = torch.full((1, 3, 4, 4), 0.2, requires_grad=True)
    loss = brightness_contrast(
        output, torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.1), margin=0.3, alignment=alignment
    )
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.3 - 0.1 + 0.3, abs=1e-6)
    assert float(output.grad.max()) < 0
