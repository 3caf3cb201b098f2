"""Embedded profiles count alike at 8 and 16 bits a channel."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from images import encode_picture, read_picture
from tests.picture_files import RGB, RGB16, encoded, png_with, tiff


def gamma(value):
    return b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(value * 256))


def parametric(kind, *values):
    return b"para" + bytes(4) + struct.pack(f">Hxx{len(values)}i", kind, *(round(value * 65536) for value in values))


def xyz(*values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def icc_profile(curve, colorants=(), tables=b""):
    """A display profile: grey, or RGB of one curve and these D50 colorants, or RGB of tables."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79), b"wtpt": xyz(0.9642, 1, 0.8249)}
    if colorants:
        tags |= {name + b"XYZ": xyz(*colour) for name, colour in zip((b"r", b"g", b"b"), colorants, strict=True)}
        tags |= {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    else:
        tags |= {b"A2B0": tables} if tables else {b"kTRC": curve}
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = (b"RGB " if colorants or tables else b"GRAY") + (b"Lab " if tables else b"XYZ ")
    head = bytes(4) + b"\x02\x10\0\0" + b"mntr" + space + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    head += bytes(28) + xyz(0.9642, 1, 0.8249)[8:] + bytes(48)
    return struct.pack(">I", at + len(body)) + head + table + body


def with_profile(pixels, profile):
    return png_with(encode_picture(pixels), (b"iCCP", b"p\0\0" + zlib.compress(profile)))


ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def test_icc_profile_is_converted():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    grey_ramp = np.repeat(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], 20, 0).repeat(3, 2)
    plain = Image.fromarray(grey_ramp)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    same = read_picture(encoded(plain, format="PNG", icc_profile=srgb.tobytes()))
    np.testing.assert_array_equal(same.pixels, grey_ramp)
    assert same.notes == ()
    for unfit in (lab, xyz):
        picture = read_picture(encoded(plain, format="PNG", icc_profile=unfit.tobytes()))
        assert any("ICC" in note for note in picture.notes)
    damaged = read_picture(encoded(plain, format="PNG", icc_profile=b"nonsense" * 40))
    assert damaged.notes == ("damaged ICC profile ignored",)
    np.testing.assert_array_equal(damaged.pixels, grey_ramp)


CURVES = {
    "linear": b"curv" + bytes(8),
    "gamma": gamma(563 / 256),
    "samples": b"curv"
    + bytes(4)
    + struct.pack(">I1024H", 1024, *(round(65535 * (i / 1023) ** 1.8) for i in range(1024))),
    "para 0": parametric(0, 1.8),
    "para 1": parametric(1, 2.4, 1 / 1.055, 0.055 / 1.055),
    "para 2": parametric(2, 2.2, 0.9, 0.05, 0.02),
    "para 3": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "para 4": parametric(4, 2.2, 0.9, 0.1, 0.386, 0.05, 0.01, 0.005),
}


@pytest.mark.parametrize("shape", ["RGB", "grey"])
@pytest.mark.parametrize("curve", CURVES)
def test_16_bits_are_converted_by_the_equations_of_the_profile(curve, shape):
    """LittleCMS without its shortcuts, which are off by up to 19 levels in the dark, is the independent reference."""
    pixels = RGB if shape == "RGB" else RGB[..., 0]
    profile = icc_profile(CURVES[curve], ADOBE if shape == "RGB" else ())
    transform = ImageCms.buildTransform(
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        "RGB" if shape == "RGB" else "L",
        "RGB",
        flags=ImageCms.Flags.NOOPTIMIZE,
    )
    expected = np.asarray(transform.apply(Image.fromarray(pixels)))
    picture = read_picture(with_profile(pixels.astype(np.uint16) * 257, profile))
    assert np.abs(picture.pixels / 257 - expected).max() <= 0.55
    assert picture.notes == ("read with 16 bits a channel", "ICC profile converted to sRGB")


@pytest.mark.parametrize("profile", [icc_profile(gamma(563 / 256), ADOBE), icc_profile(gamma(1.8), ADOBE)])
def test_a_profile_counts_alike_at_8_and_16_bits(profile):
    shallow = read_picture(with_profile(RGB, profile))
    deep = read_picture(with_profile(RGB.astype(np.uint16) * 257, profile))
    assert np.abs(deep.pixels / 257 - shallow.pixels).max() <= 1
    assert shallow.notes == ("ICC profile converted to sRGB",)


def test_an_icc_profile_of_a_16_bit_tiff_is_converted():
    profile = icc_profile(gamma(1.8), ADOBE)
    picture = read_picture(tiff(RGB16, photometric="rgb", iccprofile=profile))
    np.testing.assert_array_equal(picture.pixels, read_picture(with_profile(RGB16, profile)).pixels)
    assert picture.notes[1:] == ("ICC profile converted to sRGB",)


def test_16_bits_of_adobe_rgb_keep_their_precision():
    picture = read_picture(with_profile(RGB16, icc_profile(gamma(563 / 256), ADOBE)))
    light = ((RGB16 / 65535) ** (563 / 256) @ np.array(ADOBE) @ np.linalg.inv(SRGB)).clip(0, 1)
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(picture.pixels / 65535 - expected).mean() < 1e-4  # 8 bits: 1e-3


def test_a_profile_of_tables_is_applied_at_8_bits():
    ramps = bytes(range(256)) * 3
    corners = bytes([0, 128, 128, 80, 150, 60, 200, 50, 190, 220, 60, 140, 130, 190, 190, 150, 200, 90, 230, 120, 220])
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    tables = b"mft1" + bytes(4) + bytes([3, 3, 2, 0]) + identity + ramps + corners + bytes([255, 128, 128]) + ramps
    profile = icc_profile(b"", tables=tables)
    shallow = read_picture(with_profile(RGB, profile))
    deep = read_picture(with_profile(RGB.astype(np.uint16) * 257, profile))
    assert (shallow.pixels != RGB).any()
    np.testing.assert_array_equal(deep.pixels, shallow.pixels.astype(np.uint16) * 257)
    assert deep.notes[1:] == ("ICC profile converted to sRGB at 8 bits a channel",)


@pytest.mark.parametrize(
    ("profile", "notes"),
    [
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), ()),
        (b"nonsense" * 40, ("damaged ICC profile ignored",)),
        (icc_profile(gamma(1.4)), ("damaged ICC profile ignored",)),  # of a grey picture
    ],
)
def test_other_profiles_leave_16_bits_as_they_are(profile, notes):
    picture = read_picture(with_profile(RGB16, profile))
    np.testing.assert_array_equal(picture.pixels, RGB16)
    assert picture.notes == ("read with 16 bits a channel", *notes)
