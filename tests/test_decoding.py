"""TIFF of 16 bits is what its tags say, or is refused."""

import struct

import numpy as np
import pytest
from PIL import TiffImagePlugin

from errors import ImageError
from images import read_picture, read_size
from tests.picture_files import RGB, RGB16, tiff


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
def test_a_fourth_channel_of_a_tiff_is_what_the_file_says(extra, bits):
    pixels = RGB if bits == 8 else RGB.astype(np.uint16) * 257
    top = np.iinfo(pixels.dtype).max
    stored = pixels // 3 if extra == "assocalpha" else pixels
    fourth = np.full((20, 30, 1), top // 3, pixels.dtype)
    picture = read_picture(tiff(np.dstack([stored, fourth]), photometric="rgb", extrasamples=[extra]))
    expected = pixels if extra == "unspecified" else pixels / 3 + top * 2 / 3
    assert np.abs(picture.pixels - expected).max() <= (0 if extra == "unspecified" else 2)
    assert ("alpha composited over white" in picture.notes) == (extra != "unspecified")


@pytest.mark.parametrize("pixels", [RGB[..., 0], RGB16[..., 0]], ids=["8", "16"])
def test_a_tiff_whose_zero_is_white_is_no_negative(pixels):
    picture = read_picture(tiff(np.iinfo(pixels.dtype).max - pixels, photometric="miniswhite"))
    np.testing.assert_array_equal(picture.pixels[..., 1], pixels)


def twelve_bits():
    tags = {256: 4, 257: 2, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 2, 279: 12}
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    return b"II*\0" + struct.pack("<I", 8) + directory.tobytes(8) + bytes(range(12))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            tiff(np.moveaxis(RGB16, 2, 0), photometric="rgb", planarconfig="separate"),
            "one after the other, .*interleaved",
        ),
        (tiff(np.dstack([RGB16, RGB16[..., :1]]), photometric="separated"), "neither RGB nor grey, .* as RGB"),
        (tiff(RGB16, photometric="cielab"), "neither RGB nor grey, .* as RGB"),
        (tiff(RGB16[..., 0].astype(np.int16), photometric="minisblack"), "signed 16-bit integers, .* unsigned"),
        (twelve_bits(), "12-bit integers, .* 8 or 16 bits"),
    ],
)
def test_a_deep_tiff_that_would_be_taken_for_another_is_refused(data, sentence):
    for read in (read_picture, read_size):
        with pytest.raises(ImageError, match=f"^f.tif is a TIFF with .*{sentence}"):
            read(data, name="f.tif")


def test_planes_of_8_bits_are_read():
    planes = tiff(np.moveaxis(RGB, 2, 0).copy(), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_picture(planes).pixels, RGB)
