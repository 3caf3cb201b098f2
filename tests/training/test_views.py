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
