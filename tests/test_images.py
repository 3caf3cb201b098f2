"""The reader and the writer: every kind of file people have, and every kind that attackers have."""

import hashlib
import random
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from errors import ImageError
from images import (
    MAX_PIXELS,
    check_batch,
    encode_picture,
    is_picture_name,
    list_pictures,
    list_unread,
    read_picture,
    read_size,
    to_8_bit,
    to_pixels,
    write_picture,
)
from tests.picture_files import RGB, RGB16, encoded, netpbm, png_chunk, png_with


def png_header(width, height):
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", size) + body + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff", ".bmp", ".PNG"])
def test_lossless_formats_come_back_unchanged(suffix):
    data = encode_picture(RGB, suffix)
    picture = read_picture(data)
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.notes == ()
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert not picture.pixels.flags.writeable
    assert (picture.height, picture.width) == read_size(data) == (20, 30)


def test_jpeg_is_written_at_high_quality():
    smooth = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (64, 64, 3))
    assert np.abs(read_picture(encode_picture(smooth, ".jpg")).pixels.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_survive(suffix):
    picture = read_picture(encode_picture(RGB16, suffix))
    np.testing.assert_array_equal(picture.pixels, RGB16)
    assert "read with 16 bits a channel" in picture.notes
    assert picture.to_float().max() <= 1


def test_sixteen_bit_grey_is_not_saturated():
    picture = read_picture(encode_picture(RGB16[..., 0]))
    np.testing.assert_array_equal(picture.pixels[..., 2], RGB16[..., 0])


def test_sixteen_bits_do_not_fit_a_jpeg():
    with pytest.raises(ImageError, match="write PNG or TIFF"):
        encode_picture(RGB16, ".jpg")


@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_is_composited_over_white_and_said_so(bits):
    dtype, top = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    pixels = np.full((4, 5, 4), top // 5, dtype)
    pixels[..., 3] = np.array([0, top, top, top, top], dtype)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    picture = read_picture(data)
    assert (picture.pixels[:, 0] == top).all()
    assert (picture.pixels[:, 1:] == top // 5).all()
    assert "alpha composited over white" in picture.notes


def test_opaque_alpha_changes_nothing():
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    picture = read_picture(encoded(Image.fromarray(opaque), format="PNG"))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "PNG", "TIFF-16", "PNG-16"])
def test_exif_orientation_agrees_with_the_standard(orientation, kind):
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    if kind == "TIFF-16":
        image = cv2.imencode(".tif", RGB16[..., ::-1])[1].tobytes()
        data, pixels = with_tiff_orientation(image, orientation), RGB16
    elif kind == "PNG-16":
        data, pixels = encode_picture(RGB16), RGB16
        exif = Image.Exif()
        exif[0x112] = orientation
        data = png_with(data, (b"eXIf", exif.tobytes()[6:]))
    else:
        exif = Image.Exif()
        exif[0x112] = orientation
        data, pixels = encoded(Image.fromarray(RGB), format=kind, exif=exif), RGB
    picture = read_picture(data)
    np.testing.assert_array_equal(picture.pixels, upright(pixels))
    assert ("EXIF orientation applied" in picture.notes) == (orientation != 1)
    assert read_size(data) == (picture.height, picture.width)


ON_ITS_SIDE = Image.Exif()
ON_ITS_SIDE[0x112] = 6
RAW_PROFILE = f"\nexif\n{len(ON_ITS_SIDE.tobytes()):8}\n{ON_ITS_SIDE.tobytes().hex()}\n".encode()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'


@pytest.mark.parametrize("behind", [False, True], ids=["before the pixels", "behind the pixels"])
@pytest.mark.parametrize(
    ("tag", "body"),
    [
        (b"eXIf", ON_ITS_SIDE.tobytes()[6:]),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW_PROFILE)),
        (b"tEXt", b"Raw profile type exif\0" + RAW_PROFILE),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    ],
    ids=["eXIf", "zTXt", "tEXt", "XMP"],
)
def test_the_size_of_a_png_is_that_of_the_upright_picture(tag, body, behind):
    data = png_with(encode_picture(RGB), (tag, body), behind=behind)
    picture = read_picture(data)
    assert read_size(data) == (picture.height, picture.width) == (30, 20)


def test_the_head_of_a_png_is_enough_for_its_size():
    data = png_with(encode_picture(RGB), (b"eXIf", ON_ITS_SIDE.tobytes()[6:]))
    assert read_size(data[:200]) == (30, 20)
    with pytest.raises(ImageError, match="not a picture"):
        read_size(data[:60])  # the orientation is cut off


def with_tiff_orientation(data, orientation):
    """Append a copy of the first directory with an orientation entry to a little-endian TIFF."""
    offset = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, offset)[0]
    entries = [data[offset + 2 + 12 * i : offset + 14 + 12 * i] for i in range(count)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", 0x112)]
    entries.append(struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    data += bytes(len(data) % 2)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.parametrize(
    ("image", "note"),
    [
        (Image.fromarray(RGB[..., 0]), "grey copied to three channels"),
        (Image.fromarray(RGB[..., 0] > 99), "black and white copied to three channels"),
        (Image.fromarray(RGB).quantize(16), "palette expanded"),
        (Image.fromarray(RGB).convert("CMYK"), "CMYK converted to RGB"),
    ],
)
def test_other_colour_modes_become_rgb_and_say_so(image, note):
    picture = read_picture(encoded(image, format="TIFF"))
    assert picture.pixels.shape == (20, 30, 3)
    assert note in picture.notes
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty .*; copy or upload it again"),
        (b"these are words, not pixels", "not a picture"),
        (encode_picture(RGB)[:300], "damaged or cut off"),
        (png_header(40_000, 40_000), "far too many pixels|over the limit"),
        (png_header(11_000, 11_000), "over the limit"),
        (encoded(Image.fromarray(RGB), format="GIF"), "not a picture"),
    ],
)
def test_bad_files_get_one_sentence(data, sentence):
    with pytest.raises(ImageError, match=sentence) as caught:
        read_picture(data, name="holiday.jpg")
    assert str(caught.value).startswith("holiday.jpg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (RGB.astype(np.float32), "32-bit floats"),
        (RGB[..., 0].astype(np.float32), "32-bit floats"),
        (RGB.astype(np.float64), "64-bit floats"),
        (RGB[..., 0].astype(np.int32), "32-bit integers"),
    ],
)
def test_a_tiff_of_floats_is_refused_as_what_it_is(pixels, kind):
    data = cv2.imencode(".tif", pixels)[1].tobytes()
    for read in (read_picture, read_size):
        with pytest.raises(ImageError, match=f"^f.tif is a TIFF with {kind}, .* export it with 8 or 16 bits"):
            read(data, name="f.tif")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pixels", [RGB, RGB.astype(np.float32)])
def test_a_head_without_its_directory_warns_nobody(pixels):
    """As when the size of a long TIFF is looked up: Pillow would warn on stderr that the file is corrupt."""
    data = cv2.imencode(".tif", pixels)[1].tobytes()
    with pytest.raises(ImageError, match="not a picture"):
        read_size(data[:64])


def test_a_missing_file_gets_one_sentence(tmp_path):
    with pytest.raises(ImageError, match="There is no picture"):
        read_picture(tmp_path / "nowhere.png")


def test_the_limit_is_exact():
    assert read_picture(encode_picture(RGB), max_pixels=600).width == 30
    with pytest.raises(ImageError, match="over the limit"):
        read_picture(encode_picture(RGB), max_pixels=599)
    assert MAX_PIXELS >= 7680 * 4320


@pytest.mark.filterwarnings("error::UserWarning")
def test_damaged_files_raise_nothing_but_image_errors():
    """4,000 seeded mutations of every format: whatever the decoders raise becomes an ImageError."""
    rng = random.Random(0)
    seeds = [encode_picture(RGB, suffix) for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp")]
    seeds += [encode_picture(RGB16, ".png"), encode_picture(RGB16, ".tif")]
    seeds += [encoded(Image.fromarray(RGB).quantize(16), format="PNG")]
    seeds += [netpbm("P6", RGB16, 65535), netpbm("P3", RGB, 255)]
    refused = 0
    for _ in range(4000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(min(len(data), 120) if rng.random() < 0.7 else len(data))] = rng.randrange(256)
        data = bytes(data[: rng.randrange(1, len(data))] if rng.random() < 0.2 else data)
        for read in (read_picture, read_size):
            try:
                read(data, name="mutant")
            except ImageError:
                refused += 1
    assert refused > 1000


def test_write_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "result.png"
    sha = write_picture(path, RGB)
    assert sha == read_picture(path).sha256
    with pytest.raises(ImageError, match="expected uint8 or uint16"):
        write_picture(path, RGB.astype(np.float32))
    assert read_picture(path).sha256 == sha
    for suffix in ("gif", "ppm"):
        with pytest.raises(ImageError, match=rf"Cannot write a \.{suffix} file; use one of \.png"):
            write_picture(tmp_path / f"a.{suffix}", RGB)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "result.png"]


def test_tensors_round_half_to_even_and_clamp():
    import torch

    values = torch.tensor([-1.0, 0.5 / 255, 1.5 / 255, 1.0, 7.0]).expand(3, 2, 5)
    assert to_pixels(values)[0, :, 0].tolist() == [0, 0, 2, 255, 255]
    picture = read_picture(encode_picture(values))
    assert picture.to_tensor().shape == (1, 3, 2, 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_pixel(value):
    import torch

    values = torch.zeros(1, 3, 2, 5)
    values[0, 1, 1, 4] = value
    with pytest.raises(ImageError, match="NaN or infinite"):
        to_pixels(values)
    with pytest.raises(ImageError, match="NaN or infinite"):
        encode_picture(values.half())


def test_16_bits_become_8_and_8_stay():
    assert to_8_bit(RGB) is RGB
    assert to_8_bit(np.array([0, 128, 129, 257, 65535], np.uint16)).tolist() == [0, 0, 1, 1, 255]
    np.testing.assert_array_equal(to_8_bit(RGB.astype(np.uint16) * 257), RGB)


def test_guard_says_what_was_expected():
    import torch

    check_batch(torch.zeros(2, 3, 4, 4))
    for wrong in (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, 3), torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "x"):
        with pytest.raises(ImageError, match=r"mask: expected a float tensor .* got"):
            check_batch(wrong, "mask")


def test_listing_is_natural_and_skips_what_is_hidden(tmp_path):
    for name in ("img10.png", "img2.PNG", ".hidden.png", "notes.txt", "__MACOSX/img1.png", "sub/img1.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    listed = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert listed == ["img2.PNG", "img10.png", "sub/img1.jpg"]
    assert not is_picture_name("._img.png")
    assert is_picture_name("a.ppm") and is_picture_name("a.PGM") and is_picture_name("a.pnm")
    with pytest.raises(ImageError, match="There is no folder"):
        list_pictures(tmp_path / "nowhere")


def test_links_to_folders_are_followed_and_loops_of_them_end(tmp_path):
    inside, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for path in (inside / "1.png", inside / "sub" / "2.png", elsewhere / "deep" / "3.png", elsewhere / "4.gif"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (inside / "s2").symlink_to(elsewhere)
    (inside / "again").symlink_to(inside / "sub")
    (inside / ".hidden").symlink_to(elsewhere)
    (elsewhere / "deep" / "loop").symlink_to(inside)
    (elsewhere / "self").symlink_to(elsewhere / "self")
    names = [path.relative_to(inside).as_posix() for path in list_pictures(inside)]
    assert names == ["1.png", "s2/deep/3.png", "sub/2.png"]
    assert list_unread(inside) == [inside / "s2" / "4.gif"]
    assert list_pictures(inside, recursive=False) == [inside / "1.png"]
