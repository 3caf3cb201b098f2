"""Scores and maps: definition, invariances, routes, and the split between encoding and scoring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from errors import PromptError
from priors import clip, density
from priors.density import PlaceFeatures, encode_many, encode_picture, scores_of
from priors.prompts import PromptSet, end_features
from tests.priors.tiny import MODEL, picture, write_clip

HAZE = PromptSet("haze", ("a hazy photo", "fog"), ("a clear photo",))
SWAPPED = PromptSet("clear", HAZE.negatives, HAZE.positives)


def test_score_is_the_softmax_over_the_pair(prior):
    shot = picture()
    encoded = encode_picture(prior, shot, maps=False)
    feature = prior.encode_image(shot.to_tensor())[0]
    logits = prior.logit_scale * end_features(prior, HAZE) @ feature
    assert encoded.score(HAZE) == pytest.approx(float(logits.softmax(0)[0]), abs=1e-6)
    assert encoded.score(HAZE) + encoded.score(SWAPPED) == pytest.approx(1.0, abs=1e-6)


def test_other_words_need_no_image_tower(prior, monkeypatch):
    encoded = encode_picture(prior, picture())
    before = encoded.score(HAZE), encoded.map(HAZE)
    monkeypatch.setattr(prior, "encode_image", None)
    monkeypatch.setattr(prior, "encode_patches", None)
    assert encoded.score(SWAPPED) == pytest.approx(1 - before[0], abs=1e-6)
    np.testing.assert_allclose(encoded.map(SWAPPED, refine=False), 1 - encoded.map(HAZE, refine=False), atol=1e-5)


def test_similarities_are_cosines_in_order(prior):
    encoded = encode_picture(prior, picture(), maps=False)
    rows = encoded.similarities(HAZE)
    assert [r[:2] for r in rows] == [("positive", "a hazy photo"), ("positive", "fog"), ("negative", "a clear photo")]
    expected = prior.encode_text(["a hazy photo", "fog", "a clear photo"]) @ encoded.feature
    np.testing.assert_allclose([r[2] for r in rows], expected.numpy(), atol=1e-6)
    with pytest.raises(PromptError, match="maps=True"):
        encoded.map(HAZE)


@pytest.mark.parametrize("size", [(16, 16), (48, 64), (64, 48), (33, 171), (1100, 40)])
@pytest.mark.parametrize("route", ["dense", "tiles", "both"])
def test_maps_have_the_pictures_size_and_range(prior, size, route):
    found = encode_picture(prior, picture(*size), route=route).map(HAZE)
    assert found.shape == size and found.dtype == np.float32
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_dense_map_is_the_softmax_at_every_patch(prior):
    shot = picture(48, 64)
    encoded = encode_picture(prior, shot, grid=6, route="dense")
    patches = prior.encode_patches(shot.to_tensor(), 6)[0]
    logits = prior.logit_scale * torch.einsum("dhw,kd->khw", patches, end_features(prior, HAZE))
    np.testing.assert_allclose(encoded.coarse_map(HAZE), logits.softmax(0)[0].numpy(), atol=1e-5)


def test_routes_are_fused_as_logits(prior):
    """The tiles' logits, at the dense ones' mean and deviation, count for their share."""
    encoded = encode_picture(prior, picture(40, 40), route="both", grid=4)
    direction = prior.logit_scale * (end_features(prior, HAZE)[0] - end_features(prior, HAZE)[1])
    size = max(place.features.shape[1:] for place in encoded.places)
    dense, *tiles = (
        density._enlarge(torch.einsum("dhw,d->hw", place.features, direction).numpy(), size, place.margins)
        for place in encoded.places
    )
    tiles = np.mean(tiles, axis=0)
    ordered = dense.mean() + (tiles - tiles.mean()) / tiles.std() * dense.std()
    expected = (1 - density.TILE_SHARE) * dense + density.TILE_SHARE * ordered
    fused = encoded.coarse_map(HAZE)
    np.testing.assert_allclose(np.log(fused / (1 - fused)), expected, atol=1e-4)


def test_alike_is_in_mean_and_deviation_only():
    values = np.array([[1.0, 2.0], [3.0, 6.0]])
    found = density._like(values, np.array([[0.0, 2.0]]))
    np.testing.assert_allclose(found, 1 + (values - 3) / values.std())
    np.testing.assert_allclose(density._like(np.full((2, 2), 5.0), np.array([[0.0, 2.0]])), 1.0)


def test_tiles_are_crops_through_the_whole_tower(prior):
    batch = picture(40, 70).to_tensor()
    tiles = density.tile_features(prior, batch, fraction=0.5)
    rows, columns = tiles.features.shape[1:]
    assert (rows, columns) == (3, 6)
    torch.testing.assert_close(
        tiles.features[:, 0, 0], prior.encode_image(batch[..., :20, :20])[0], rtol=1e-4, atol=1e-6
    )
    last = prior.encode_image(batch[..., -20:, -20:])[0]
    torch.testing.assert_close(tiles.features[:, -1, -1], last, rtol=1e-4, atol=1e-6)


def test_enlarging_puts_tile_centres_where_they_are():
    """A linear ramp sampled at the tiles' centres comes back as the ramp, flat beyond the outermost centres."""
    centres = np.array([0.25, 0.5, 0.75], np.float32)
    wide = density._enlarge(np.tile(centres, (3, 1)), (60, 60), (0.25, 0.25))
    at = (np.arange(60) + 0.5) / 60
    np.testing.assert_allclose(wide[30], np.clip(at, 0.25, 0.75), atol=1e-5)


def test_edges_come_from_the_picture(prior):
    """A step in the guide sharpens a blurred step of the map and moves nothing else."""
    guide = np.zeros((64, 64, 3), np.float32)
    guide[:, 32:] = 1.0
    features = torch.zeros(16, 4, 4)
    direction = end_features(prior, HAZE)[0] - end_features(prior, HAZE)[1]
    features[:, :, 2:] = direction[:, None, None]
    features[:, :, :2] = -direction[:, None, None]
    encoded = density.EncodedPicture(prior, features[:, 0, 0], (PlaceFeatures(features),), guide)
    coarse, refined = encoded.map(HAZE, refine=False), encoded.map(HAZE)
    step = lambda m: m[:, 32].mean() - m[:, 31].mean()  # noqa: E731
    assert step(refined) > 4 * step(coarse) > 0
    np.testing.assert_allclose(refined[:, [2, -3]], coarse[:, [2, -3]], atol=0.03)


@pytest.mark.parametrize("deep", [False, True])
def test_a_files_pixels_are_kept_as_they_are(prior, deep):
    shot = picture(40, 48)
    if deep:
        shot = replace(shot, pixels=shot.pixels.astype(np.uint16) * 257)
    encoded = encode_picture(prior, shot)
    assert encoded.guide.dtype == shot.pixels.dtype
    assert encoded.guide.nbytes < encoded.nbytes < encoded.guide.nbytes + 10**6
    np.testing.assert_array_equal(encoded.map(HAZE), encode_picture(prior, shot.to_tensor()).map(HAZE))


def test_models_without_patch_features_get_maps_from_tiles(tmp_path):
    model = {**MODEL, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}}
    resnet = clip.load(f"local-dir:{write_clip(tmp_path / 'resnet', model=model)}")
    assert encode_picture(resnet, picture(40, 60)).map(HAZE).shape == (40, 60)
    with pytest.raises(PromptError, match="tile route"):
        encode_picture(resnet, picture(40, 60), route="dense")


def test_many_pictures_at_once_are_single_ones(prior):
    shots = [picture(40, 40, 1), picture(30, 50, 2), picture(40, 40, 3)]
    scores = scores_of(prior, encode_many(prior, shots), HAZE)
    alone = [encode_picture(prior, shot, maps=False).score(HAZE) for shot in shots]
    np.testing.assert_allclose(scores, alone, atol=1e-5)


@pytest.mark.parametrize(("grid", "route"), [("fine", "dense"), ("1", "dense"), (500, "dense"), ("auto", "patches")])
def test_unusable_grids_and_routes(prior, grid, route):
    with pytest.raises(PromptError, match=r"grid|route"):
        encode_picture(prior, picture(), grid=grid, route=route)


def test_large_towers_are_asked_for_patches_only(prior, monkeypatch):
    picture = torch.rand(1, 3, 64, 80)
    both = density.encode_picture(prior, picture)
    monkeypatch.setattr(density, "SMALL_TOWER", 0)
    dense = density.encode_picture(prior, picture)
    assert len(both.places) == len(dense.places) + len(density.TILE_FRACTIONS)
    assert all(place.margins is None for place in dense.places)
