"""Crops and zoom by the step."""

import numpy as np
import pytest

from errors import UnknownNameError, UsageError
from training.views import View, Views


def test_stages_come_before_the_rest_and_take_what_they_do_not_say_from_it():
    views = Views(96, (1.0, 2.0), [{"until": 2, "crop": 64}, {"until": 4, "zoom": [3.0, 5.0]}])
    expected = [View(64, (1.0, 2.0))] * 2 + [View(96, (3.0, 5.0))] * 2 + [View(96, (1.0, 2.0))] * 2
    assert [views.at(step) for step in range(6)] == expected


def test_crops_may_alternate():
    views = Views.of({"crop": [64, 96], "views": [{"until": 3, "crop": 32}]})
    assert [views.at(step).crop for step in range(7)] == [32, 32, 32, 96, 64, 96, 64]


def test_a_picture_is_reduced_by_the_zoom_and_never_below_the_crop():
    rng = np.random.default_rng(0)
    sides = [View(64, (2.0, 4.0)).short(480, 640, rng) for _ in range(500)]
    assert min(sides) in range(120, 124) and max(sides) in range(236, 241)
    assert View(200, (4.0, 4.0)).short(480, 640, rng) == 200


def test_a_wide_crop_bounds_a_tall_picture_by_its_width():
    rng = np.random.default_rng(0)
    view = View(96, (9.0, 9.0), aspect=4 / 3)
    assert view.columns == 128
    assert view.short(480, 640, rng) == 96
    assert view.short(321, 481, rng) == 96
    assert view.short(481, 321, rng) == 128


def test_a_share_shows_as_much_of_small_pictures_as_of_large_ones():
    view = View(96, aspect=4 / 3, shows=(0.5, 1.0))
    for height, width in ((480, 640), (321, 481), (481, 321)):
        rng = np.random.default_rng(0)
        least = max(96 / height, 128 / width)
        shares = [min(height, width) * least / view.short(height, width, rng) for _ in range(500)]
        assert 0.49 < min(shares) < 0.52 and 0.98 < max(shares) < 1.02
    assert View(96, shows=(0.1, 0.1)).short(321, 481, rng) == 321, "no picture is enlarged"


def test_aspects_alternate_with_the_crops():
    views = Views.of({"crop": [96, 128], "aspect": [4 / 3, 3 / 4], "shows": [0.6, 1.0]})
    assert [(views.at(step).crop, views.at(step).columns) for step in range(3)] == [(96, 128), (128, 96), (96, 128)]
    assert views.at(0).shows == (0.6, 1.0)


def test_crops_and_aspects_that_do_not_pair_up():
    with pytest.raises(UsageError, match="pairs"):
        Views([96, 112, 128], aspect=[1.0, 1.5])


@pytest.mark.parametrize("shows", [(0.0, 1.0), (0.8, 0.5), (0.5, 1.5)])
def test_shares_out_of_range(shows):
    with pytest.raises(UsageError, match="shows"):
        Views(96, shows=shows)


def test_without_zoom_nothing_is_drawn():
    rng, untouched = np.random.default_rng(3), np.random.default_rng(3)
    assert View(64).short(480, 640, rng) == 480
    assert rng.random() == untouched.random()


@pytest.mark.parametrize(
    "views", [[{"crop": 64}], [{"until": 5, "crop": 64}, {"until": 5, "crop": 32}]], ids=["no until", "same until"]
)
def test_stages_that_do_not_follow_each_other(views):
    with pytest.raises(UsageError, match="until"):
        Views(96, stages=views)


@pytest.mark.parametrize("zoom", [(0.5, 2.0), (3.0, 1.5)])
def test_a_zoom_that_enlarges_or_goes_backwards(zoom):
    with pytest.raises(UsageError, match="zoom"):
        Views(96, zoom)


def test_a_misspelt_entry():
    with pytest.raises(UnknownNameError, match="crops"):
        Views(96, stages=[{"until": 3, "crops": 64}])
