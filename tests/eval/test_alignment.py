"""What a protocol does to a pair before it is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from errors import MetricError
from eval import protocol
from eval.alignment import align, cut
from eval.metrics.color import grey, luma
from images import Picture
from resample import imresize
from tests.eval.metrics.pictures import noise, scene

BASE = protocol.get("dehaze-rgb")


def _picture(pixels: np.ndarray, name: str = "a.png") -> Picture:
    return Picture(pixels, name, name)


def test_eight_bit_pairs_are_taken_as_they_are() -> None:
    x, y = _picture(noise(20, 30, 1)), _picture(noise(20, 30, 2))
    pair = align(x, y, BASE)
    assert pair.output is x.pixels
    assert pair.reference is y.pixels
    assert pair.notes == ()


def test_different_sizes_are_refused_with_the_fix() -> None:
    with pytest.raises(MetricError, match=r"30x20 and the reference 38x20.*\+center-crop"):
        align(_picture(noise(20, 30)), _picture(noise(20, 38)), BASE)
    with pytest.raises(MetricError, match=r"SOTS indoor.*dehaze-rgb\+sots-10px"):
        align(_picture(noise(460, 620)), _picture(noise(480, 640)), BASE)
    mine = replace(BASE, name="lab-x")  # a file has the policy inside, where no name takes one after a plus
    with pytest.raises(MetricError, match=r'for example "size_mismatch": "sots-10px"'):
        align(_picture(noise(460, 620)), _picture(noise(480, 640)), mine)


def test_sots_cut_takes_ten_pixels_and_nothing_else() -> None:
    reference = noise(60, 80)
    policy = protocol.get("dehaze-rgb+sots-10px")
    pair = align(_picture(reference[10:-10, 10:-10]), _picture(reference), policy)
    np.testing.assert_array_equal(pair.output, pair.reference)
    assert pair.notes == ("10 pixels cut from each side of the reference",)
    with pytest.raises(MetricError, match="Sizes differ"):
        align(_picture(noise(40, 59)), _picture(reference), policy)
    assert align(_picture(reference), _picture(reference), policy).notes == ()


@pytest.mark.parametrize("extra", [(3, 3), (0, 1), (-1, 0), (7, 7)])
def test_a_few_pixels_are_cut_where_super_resolution_papers_cut_them(extra: tuple[int, int]) -> None:
    """A size that is no multiple of the scale: the pixels that are too many lie at the bottom and right."""
    whole = scene(47, 67, 1)
    output, reference = whole[:40, :60], whole[: 40 + extra[0], : 60 + extra[1]]
    with pytest.raises(MetricError, match=r"Sizes differ.*for example sr-y4\+modcrop \(") as refused:
        align(_picture(output), _picture(reference), protocol.get("sr-y4"))
    assert "center-crop" not in str(refused.value) and "resize" not in str(refused.value)
    pair = align(_picture(output), _picture(reference), protocol.get("sr-y4+modcrop"))
    np.testing.assert_array_equal(pair.output, pair.reference)
    assert pair.notes[0].startswith("cut at the bottom and right to ")
    centred = align(_picture(output), _picture(reference), protocol.get("sr-y4+center-crop"))
    assert max(map(abs, extra)) < 2 or not np.array_equal(centred.output, centred.reference)


def test_what_is_no_remainder_of_a_scale_is_not_cut() -> None:
    with pytest.raises(MetricError, match=r"Sizes differ.*\+center-crop"):
        align(_picture(noise(40, 60)), _picture(noise(40, 68)), protocol.get("sr-y4+modcrop"))


def test_common_centre() -> None:
    x, y = noise(21, 40), noise(25, 30, 1)
    pair = align(_picture(x), _picture(y), protocol.get("dehaze-rgb+center-crop"))
    np.testing.assert_array_equal(pair.output, x[:, 5:35])
    np.testing.assert_array_equal(pair.reference, y[2:23])
    assert "30x21" in pair.notes[0]


def test_resizing_either_side() -> None:
    x, y = scene(24, 32, 1), scene(48, 64, 2)
    pair = align(_picture(x), _picture(y), protocol.get("dehaze-rgb+resize-output"))
    np.testing.assert_allclose(pair.output, np.clip(imresize(x, size=(48, 64)), 0, 255), atol=1e-12)
    pair = align(_picture(x), _picture(y), protocol.get("dehaze-rgb+resize-reference"))
    assert pair.reference.shape == x.shape
    rounded = align(_picture(x), _picture(y), protocol.get("sr-y4+resize-output"))
    assert rounded.output.dtype == np.float64  # Y of samples that were rounded to 8 bits first
    np.testing.assert_allclose(
        rounded.output, luma(np.rint(np.clip(imresize(x, size=(48, 64)), 0, 255)))[4:-4, 4:-4], atol=1e-12
    )


def test_sixteen_bits_are_compared_on_the_eight_bit_scale() -> None:
    x = noise(16, 16)
    wide = x.astype(np.uint16) * 257
    np.testing.assert_allclose(align(_picture(wide), _picture(x), BASE).output, x, atol=1e-12)
    rounded = align(_picture(wide + np.uint16(0)), _picture(x), protocol.get("lowlight-rgb")).output
    assert rounded.dtype == np.uint8
    np.testing.assert_array_equal(rounded, x)


def test_gt_mean_is_the_identity_on_a_darker_copy() -> None:
    reference = np.random.default_rng(0).integers(0, 128, (30, 40, 3)).astype(np.uint8) * 2
    pair = align(_picture(reference // 2), _picture(reference), protocol.get("lowlight-gtmean"))
    np.testing.assert_allclose(pair.output, reference, atol=1e-10)
    assert "2.0000" in pair.notes[0]
    assert grey(pair.output).mean() == pytest.approx(grey(reference).mean())
    with pytest.raises(MetricError, match="black"):
        align(_picture(np.zeros_like(reference)), _picture(reference), protocol.get("lowlight-gtmean"))


def test_gt_mean_clips_at_white() -> None:
    reference = np.full((20, 20, 3), 200, np.uint8)
    output = np.full((20, 20, 3), 10, np.uint8)
    output[:2] = 255
    assert align(_picture(output), _picture(reference), protocol.get("lowlight-gtmean")).output.max() == 255.0


def test_border_and_colour() -> None:
    x, y = noise(30, 40, 1), noise(30, 40, 2)
    pair = align(_picture(x), _picture(y), protocol.get("sr-y4"))
    np.testing.assert_array_equal(pair.output, luma(x)[4:-4, 4:-4])
    np.testing.assert_array_equal(align(_picture(x), _picture(y), replace(BASE, color="grey")).output, grey(x))
    np.testing.assert_array_equal(align(_picture(x), _picture(y), replace(BASE, border=2)).output, x[2:-2, 2:-2])
    np.testing.assert_array_equal(cut(x, 0), x)
    with pytest.raises(MetricError, match="nothing is left of 40x8"):
        align(_picture(x[:8]), _picture(y[:8]), protocol.get("sr-y4"))
