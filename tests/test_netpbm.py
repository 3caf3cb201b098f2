"""PPM and PGM, binary and text, at every depth."""

import numpy as np
import pytest

from errors import ImageError
from images import read_picture, read_size
from tests.picture_files import RGB, RGB16, netpbm


@pytest.mark.parametrize("kind", ["P6", "P3", "P5", "P2"])
@pytest.mark.parametrize("top", [255, 100, 65535, 1023])
def test_ppm_and_pgm_are_read_at_their_depth(kind, top):
    stored = RGB16.astype(int) * top // 65535
    stored = stored if kind in ("P6", "P3") else stored[..., 0]
    data = netpbm(kind, stored, top)
    picture = read_picture(data)
    full = 255 if top < 256 else 65535
    expected = np.rint(stored * full / top)
    np.testing.assert_array_equal(picture.pixels, expected if stored.ndim == 3 else expected[..., None].repeat(3, 2))
    assert picture.pixels.dtype == (np.uint8 if top < 256 else np.uint16)
    assert read_size(data) == (20, 30)
    assert (f"samples of 0 to {top} scaled to the full range" in picture.notes) == (top in (100, 1023))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (netpbm("P6", RGB, 255)[:-1], "damaged or cut off"),
        (netpbm("P3", RGB, 255)[:-40], "damaged or cut off"),
        (b"P3 9000 9000 255 1 2 3", "damaged or cut off"),
        (netpbm("P5", RGB16[..., 0], 300), "damaged or cut off"),
        (netpbm("P2", -RGB[..., 0].astype(int), 255), "damaged or cut off"),
        (b"P6 11000 11000 65535\n", "over the limit"),
        (b"P6 40000 40000 255\n", "far too many pixels|over the limit"),
        (b"Pf 2 1 -1.0\n" + np.zeros(2, "<f4").tobytes(), r"holds floats \(PFM\)"),
    ],
)
def test_a_bad_ppm_gets_one_sentence(data, sentence):
    with pytest.raises(ImageError, match=f"^a.ppm .*{sentence}"):
        read_picture(data, name="a.ppm")
