"""From the bytes of a file to RGB pixels of 8 or 16 bits a channel, upright, in sRGB, and a list of what that took."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

import icc
import netpbm
from errors import ImageError

ORIENTATION = 0x0112
"""The EXIF tag that says how a picture has to be turned."""

_MULTIPLIED_ALPHA, _STRAIGHT_ALPHA = 1, 2
"""What a TIFF's tag ExtraSamples says of a fourth channel; of any other it says no more than that it is no colour."""


def refuse_strange_tiff(data: bytes, name: str) -> None:
    """Say what is in a TIFF that Pillow does not know for TIFF, or that it or OpenCV would take for something else.

    Raises:
        ImageError: It is such a file.
    """
    if data[:4] not in TiffImagePlugin.PREFIXES:
        return
    try:
        head = data[: 16 if 43 in data[2:4] else 8]  # 43 is BigTIFF
        tags, stream = TiffImagePlugin.ImageFileDirectory_v2(head), io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        bits, kinds = int(max(tags.get(258, (8,)))), tuple(tags.get(339, (1,)))
        colours, apart = int(tags.get(262, 1)), int(tags.get(284, 1)) == 2 and tags.get(277, 1) > 1
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error):
        return  # damaged, or cut off: the decoder says so
    cure = "with 8 or 16 bits"
    if 3 in kinds:
        found = f"{bits}-bit floats"
    elif bits not in (1, 2, 4, 8, 16):
        found = f"{bits}-bit integers"
    elif bits == 16 and 2 in kinds:
        found, cure = "signed 16-bit integers", "with unsigned ones"
    elif bits == 16 and apart:
        found, cure = "16-bit channels one after the other", "with interleaved channels (planar configuration 1)"
    elif bits == 16 and colours > 2:
        found, cure = "16-bit colours that are neither RGB nor grey", "as RGB"
    else:
        return
    raise ImageError(f"{name} is a TIFF with {found}, which are not read; export it {cure}.")


def to_rgb(image: Image.Image, data: bytes) -> tuple[np.ndarray, list[str]]:
    """Pixels of a picture whose head was read and whose size was found acceptable.

    Args:
        image: What Pillow opened, not loaded yet.
        data: The file's bytes.

    Returns:
        Array (H, W, 3), RGB, uint8 or uint16, upright, in sRGB, over white; and what was done, as short clauses.

    Raises:
        OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, MemoryError, struct.error: It is damaged.
    """
    notes: list[str] = []
    if image.format == "PPM" and data.startswith(netpbm.MAGIC):
        return _read_netpbm(image, data, notes), notes
    orientation = image.getexif().get(ORIENTATION, 1)  # before Pillow turns a TIFF
    image.load()
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        notes.append(f"first of {frames} frames used")
    if _bits_per_channel(image, data) == 16:
        return _read_16_bit(image, data, orientation, notes), notes
    profile = image.info.get("icc_profile")
    if orientation != 1:
        image = ImageOps.exif_transpose(image)  # nothing to do for TIFF, which Pillow turns while loading
        notes.append("EXIF orientation applied")
    if image.mode == "P":
        notes.append("palette expanded")
    alpha = None
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    if profile:
        image, note = icc.to_srgb(image, profile)
        notes += [note] if note else []
    if image.mode != "RGB":
        said = {"L": "grey copied to three channels", "1": "black and white copied to three channels"}
        if image.mode != "P":
            notes.append(said.get(image.mode, f"{image.mode} converted to RGB"))
        image = image.convert("RGB")
    if alpha is not None and alpha.getextrema()[0] < 255:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
        notes.append("alpha composited over white")
    return np.asarray(image), notes


def _bits_per_channel(image: Image.Image, data: bytes) -> int:
    """Bits a channel in the file: Pillow itself shows 16-bit RGB as 8-bit, and saturates 16-bit grey."""
    if image.format == "PNG":
        return 16 if data[24] == 16 else 8
    if image.format == "TIFF":
        return 16 if max(image.tag_v2.get(258, (8,))) == 16 else 8
    return 8


def _read_16_bit(image: Image.Image, data: bytes, orientation: int, notes: list[str]) -> np.ndarray:
    """OpenCV keeps 16 bits where Pillow does not; returns (H, W, 3) uint16 and adds to ``notes``."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("16-bit samples could not be decoded")
    notes.append("read with 16 bits a channel")
    extra = _STRAIGHT_ALPHA if pixels.shape[2:] == (4,) else 0
    if image.format == "TIFF":  # OpenCV asks neither what a fourth channel is nor whether grey 0 is white
        extra = image.tag_v2.get(338, (0,))[0] if extra else 0
        if pixels.ndim == 2 and image.tag_v2.get(262) == 0:
            pixels = 65535 - pixels
    alpha = pixels[..., 3:] if extra in (_MULTIPLIED_ALPHA, _STRAIGHT_ALPHA) else None
    pixels = pixels if pixels.ndim == 2 else pixels[..., 2::-1]
    if extra == _MULTIPLIED_ALPHA:
        pixels = np.rint(np.minimum(pixels / np.maximum(alpha, 1), 1) * 65535).astype(np.uint16)
    if profile := image.info.get("icc_profile"):
        pixels, note = icc.to_srgb_16(pixels, profile)
        notes += [note] if note else []
    pixels = _in_three_channels(pixels, notes)
    if alpha is not None and alpha.min() < 65535:
        share = alpha.astype(np.float64) / 65535
        pixels = np.rint(pixels * share + 65535 * (1 - share)).astype(np.uint16)
        notes.append("alpha composited over white")
    if orientation != 1:
        notes.append("EXIF orientation applied")
    if image.format == "PNG":  # OpenCV turns TIFF by itself
        pixels = np.rot90(pixels, {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0))
        pixels = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    return pixels


def _read_netpbm(image: Image.Image, data: bytes, notes: list[str]) -> np.ndarray:
    pixels, top = netpbm.decode(data, *image.size)
    if pixels.dtype == np.uint16:
        notes.append("read with 16 bits a channel")
    if top not in (255, 65535):
        notes.append(f"samples of 0 to {top} scaled to the full range")
    return _in_three_channels(pixels, notes)


def _in_three_channels(pixels: np.ndarray, notes: list[str]) -> np.ndarray:
    if pixels.ndim == 3:
        return pixels
    notes.append("grey copied to three channels")
    return np.repeat(pixels[..., None], 3, axis=2)
