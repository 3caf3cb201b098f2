"""Pairs of dark and bright: the curves that darken, and photographs darkened by them."""

import tarfile

import numpy as np
import pytest

from tests.training.toy_data import add, scene, write_nyu, write_photographs
from training.dark_pairs import DARK_LUMA, Darkened, Exposures, darkening_curves
from training.views import View


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Scenes a quarter as bright in their dark exposure, photographs, and rooms."""
    folder = write_nyu(tmp_path_factory.mktemp("dark"))
    rng = np.random.default_rng(0)
    with tarfile.open(folder / "multi_exposure.tar", "w") as archive:
        for number in range(17):
            bright = np.kron(rng.integers(0, 256, (12, 12, 3)), np.ones((4, 4, 1))).astype(np.uint8)
            for exposure, pixels in enumerate((bright // 4, bright)):
                add(archive, f"multi_exposure/{number:03d}/{exposure:02d}.png", pixels)
    write_photographs(folder, [scene(number, 48)[0] for number in range(84)])
    return folder


def test_curves_are_measured_channel_by_channel_and_never_fall():
    rng = np.random.default_rng(1)
    bright = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    dark = (bright * np.array([0.1, 0.2, 0.3])).round().astype(np.uint8)
    curves = darkening_curves(dark, bright)
    levels = np.arange(20, 236)
    np.testing.assert_allclose(curves[:, 20:236], levels * np.array([[0.1], [0.2], [0.3]]), atol=0.6)
    assert (np.diff(curves) >= 0).all()
    assert (np.diff(darkening_curves(255 - dark, bright)) >= 0).all()


def test_levels_that_a_scene_lacks_continue_from_those_it_has():
    bright = np.full((8, 8, 3), 100, np.uint8)
    curves = darkening_curves(bright // 5, bright)
    np.testing.assert_allclose(curves, 20, atol=1e-9)


def test_photographs_are_darkened_as_the_scenes_were(root, tmp_path):
    exposures = Exposures(root, tmp_path, 0.7, {})
    source = Darkened(root, tmp_path, exposures)
    assert len(source.curves) == len(exposures.members) > 0
    ratios = []
    for seed in range(12):
        dark, bright = source.draw(View(24), np.random.default_rng(seed))
        assert dark.shape == bright.shape == (3, 24, 24)
        assert DARK_LUMA[0] / 255 <= dark.mean() <= DARK_LUMA[1] / 255
        ratios.append(float(dark.mean() / bright.mean()))
    assert np.mean(ratios) == pytest.approx(0.25, abs=0.02)
    first, again = (source.draw(View(24), np.random.default_rng(3)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert source.pairs(full=True) == []
