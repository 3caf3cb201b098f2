"""Packed pools, crops, and the tars: splits that never mix."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from errors import SetError
from tests.training.toy_data import add, write_nyu, write_photographs
from training import data
from training.haze_batches import open_pools


def test_pools_give_back_what_was_packed(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((4, 5, 3), (7, 2), (1, 1, 4))]
    data.PicturePool.build((a, {"index": i}) for i, a in enumerate(arrays)).save(tmp_path / "pool")
    opened = data.PicturePool.open(tmp_path / "pool")
    assert len(opened) == 3 and opened.facts[1] == {"index": 1}
    for i, array in enumerate(arrays):
        np.testing.assert_array_equal(opened[i], array)


def pool_of(cache, file, level, parts=()):
    arrays = [np.full((2, 2), level + index, np.uint8) for index in range(max(len(parts), 1))]
    return data.packed(cache, "toy", [file], lambda: iter([(*arrays, {"level": level})]), parts)


def test_a_cache_serves_several_roots(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
    for name, level in (("first", 1), ("second", 2), ("first", 3)):
        (pool,) = pool_of(tmp_path / "cache", tmp_path / name, level)
        assert pool[0][0, 0] == {"first": 1, "second": 2}[name], "packed once, and from the file that was asked for"
    with pytest.raises(SetError, match="third is missing"):
        pool_of(tmp_path / "cache", tmp_path / "third", 4)


def test_pools_that_belong_together_are_packed_together(tmp_path):
    (tmp_path / "file").write_text("")
    pictures, depths = pool_of(tmp_path / "cache", tmp_path / "file", 7, ("pictures", "depth"))
    assert (pictures[0][0, 0], depths[0][0, 0]) == (7, 8) and pictures.facts == depths.facts == ({"level": 7},)
    names = {file.name for file in (tmp_path / "cache").iterdir()}
    assert names == {f"toy-e3b0c442-{part}.{kind}" for part in ("pictures", "depth") for kind in ("npy", "json")}


def test_haze_batches_see_the_data_they_are_given(tmp_path):
    for folder, level in (("first", 40), ("second", 120)):
        root = tmp_path / folder
        root.mkdir()
        picture = np.full((8, 8, 3), level, np.uint8)
        for tar, names in {
            "nyu_images": ("0000",),
            "bsds400": [f"{index:05d}" for index in range(data.BSDS_VALIDATION + 1)],
            "multi_exposure": [f"{index:03d}/00" for index in range(data.MULTI_EXPOSURE_VALIDATION + 1)],
        }.items():
            with tarfile.open(root / f"{tar}.tar", "w") as archive:
                for name in names:
                    add(archive, f"{tar}/{name}.png", picture)
        with tarfile.open(root / "nyu_depth.tar", "w") as archive:
            add(archive, "nyu_depth/0000.png", picture[..., 0])
        pools = open_pools(root, tmp_path / "cache", validation=False, short=8)
        assert [int(pool[0][0, 0, 0]) for pool in (pools.nyu, pools.photographs, pools.exposures)] == [level] * 3


def test_nyu_parts_are_disjoint(tmp_path):
    write_nyu(tmp_path, training=3, validation=2)
    training, validation = ([scene for scene, *_ in data.nyu(tmp_path, validation=v)] for v in (False, True))
    assert training == [0, 1, 2] and validation == [1349, 1350]


def test_multi_exposure_keeps_whole_scenes_apart(tmp_path):
    with tarfile.open(tmp_path / "multi_exposure.tar", "w") as archive:
        for scene in range(18):
            for index, level in enumerate((10, 110, 240)):
                add(archive, f"multi_exposure/{scene:03d}/{index:02d}.png", np.full((8, 8, 3), level, np.uint8))
    parts = [list(data.multi_exposure(tmp_path, validation=v)) for v in (False, True)]
    scenes = [{name.split("/")[1] for name, *_ in part} for part in parts]
    assert len(scenes[0]) == 3 and len(scenes[1]) == data.MULTI_EXPOSURE_VALIDATION and not scenes[0] & scenes[1]
    assert [round(luma) for _, luma, *_ in parts[0][:3]] == [10, 110, 240]
    assert [best for _, _, best, _ in parts[0][:3]] == [False, True, False]


def test_photographs_are_split_by_name(tmp_path):
    write_photographs(tmp_path, [np.zeros((8, 8, 3), np.uint8)] * (data.BSDS_VALIDATION + 4))
    training, validation = ([name for name, _ in data.bsds(tmp_path, validation=v)] for v in (False, True))
    assert len(training) == 4 and len(validation) == data.BSDS_VALIDATION and not set(training) & set(validation)


def test_missing_data_says_where_it_looked(tmp_path):
    with pytest.raises(SetError, match=r"bsds400\.tar is missing; point --data"):
        list(data.bsds(tmp_path))


@pytest.mark.parametrize("aspect", [0.4, 1.0, 2.7])
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_crops_lie_inside_and_have_their_shape(aspect, scale):
    rng = np.random.default_rng(0)
    for _ in range(50):
        top, left, height, width = data.crop_box(90, 120, aspect, scale, rng)
        assert min(top, left) >= 0 and top + height <= 90 and left + width <= 120
        assert width / height == pytest.approx(aspect, rel=0.1)


def test_taking_a_crop_resizes_and_flips():
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))
    cut = data.take(ramp, (5, 10, 20, 20), (10, 10), False)
    assert cut.shape == (10, 10)
    np.testing.assert_allclose(cut[0], (10 + 2 * np.arange(10) + 0.5) * 6, atol=1)
    np.testing.assert_array_equal(data.take(ramp, (5, 10, 20, 20), (10, 10), True), cut[:, ::-1])


def test_small_pictures_are_not_enlarged():
    small = np.zeros((20, 30, 3), np.uint8)
    assert data.reduce_picture(small, 24).shape == (20, 30, 3)
    assert data.reduce_picture(small, 10).shape == (10, 15, 3)


def test_squares_of_pictures_that_show_the_same_stay_aligned_and_labels_whole():
    rows, columns = np.mgrid[:60, :90].astype(np.uint8)
    coordinates = np.dstack((rows, columns, rows + columns))
    labels = (columns // 30 * 100).astype(np.uint8)
    sides = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, second = data.random_square([coordinates, np.dstack((coordinates, labels))], 20, 0.5, rng)
        assert np.array_equal(first, second[..., :3]) and first.shape == (20, 20, 3)
        assert set(np.unique(second[..., 3])) <= {0, 100, 200}, "no label between two"
        flipped = int(first[0, 0, 1]) > int(first[0, -1, 1])
        sides.add((flipped, round(abs(int(first[-1, 0, 0]) - int(first[0, 0, 0])) * 20 / 19)))
    assert {flipped for flipped, _ in sides} == {True, False}
    assert min(side for _, side in sides) >= 29 and max(side for _, side in sides) <= 61
