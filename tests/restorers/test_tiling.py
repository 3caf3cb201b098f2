"""Tiles cover the picture, weights sum to one, and a halo makes tiles exact."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorers.tiling import restore_tiled, spans, tile_count
from tests.restorers import tiny


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 300),
    tile=st.integers(1, 120),
    overlap=st.integers(0, 80),
    halo=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 4, 12]),
)
def test_spans_cover_the_axis_with_weights_that_sum_to_one(length, tile, overlap, halo, multiple):
    total = np.zeros(length)
    for span in spans(length, tile, overlap=overlap, halo=halo, multiple=multiple, least=min(16, length)):
        (start, stop), (first, last) = span.read, span.keep
        assert 0 <= start <= max(0, first - halo) and min(length, last + halo) <= stop <= length
        assert start % multiple == 0 and (stop % multiple == 0 or stop == length)
        assert stop - start >= min(16, length)
        assert (span.weights > 0).all() and len(span.weights) == last - first
        total[first:last] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_without_overlap_every_pixel_is_kept_once():
    assert [span.keep for span in spans(100, 40)] == [(0, 40), (40, 80), (80, 100)]
    assert tile_count(100, 81, 40) == 9


@pytest.mark.parametrize("overlap", [0, 12])
@pytest.mark.parametrize("size", [(97, 131), (64, 200), (33, 47)])
def test_a_halo_of_the_receptive_field_makes_tiles_exact(size, overlap):
    network = tiny.make()
    x = torch.rand(1, 3, *size)
    with torch.inference_mode():
        whole = network(x)
        tiled = restore_tiled(network, x, 40, overlap=overlap, halo=8, multiple=2)
    torch.testing.assert_close(tiled, whole, atol=1e-6, rtol=0)


def test_without_a_halo_seams_show_and_away_from_them_nothing_changes():
    network = tiny.make()
    x = torch.rand(1, 3, 80, 80)
    with torch.inference_mode():
        difference = (network(x) - restore_tiled(network, x, 40, multiple=2)).abs()
    assert difference[..., 36:44, :].max() > 1e-3
    assert difference[..., :32, :32].max() < 1e-6


def test_scale_is_kept_in_tiles():
    x = torch.rand(1, 3, 50, 70)
    enlarged = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    network = lambda t: torch.nn.functional.interpolate(t, scale_factor=2, mode="nearest")  # noqa: E731
    for overlap in (0, 8):
        tiled = restore_tiled(network, x, 32, scale=2, overlap=overlap)
        torch.testing.assert_close(tiled, enlarged, atol=1e-6, rtol=0)
