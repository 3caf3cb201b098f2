"""The one reader and writer of pictures.

Everything that enters becomes RGB pixels, 8 or 16 bits a channel, upright, in sRGB, with a hash of the file's bytes
and a list of what the reader had to do to get there. Everything that leaves goes through the one encoder.

Uploads are hostile until proven otherwise: the header is checked against a pixel limit before any pixel is decoded.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from decoding import ORIENTATION, refuse_strange_tiff, to_rgb
from errors import ImageError, first_line

if TYPE_CHECKING:
    import torch

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pnm")
"""File name endings that are taken for pictures."""

UNREAD = {
    ".gif": "GIF",
    ".heic": "HEIC",
    ".heif": "HEIF",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    ".psd": "PSD",
    ".tga": "TGA",
    ".exr": "EXR",
    ".hdr": "HDR",
    ".pfm": "PFM",
    ".dng": "DNG",
    ".cr2": "CR2",
    ".nef": "NEF",
    ".arw": "ARW",
}
"""File name endings of pictures that are not read, and what people call them."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")
"""Pillow's names of the formats that are decoded; anything else is refused whatever its name says."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded, in pixels (100 MPix: three times 8K)."""

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""BT.601 full-range grey of red, green and blue: OpenCV, Pillow and the low-light codes."""

_PNG = b"\x89PNG\r\n\x1a\n"

_WRITTEN: dict[str, dict[str, object]] = {
    ".png": {"format": "PNG", "compress_level": 4},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "lossless": True},
    ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".bmp": {"format": "BMP"},
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: Array (H, W, 3), RGB, uint8 or uint16, C-contiguous, read-only.
        sha256: Hash of the file's bytes, in hex.
        name: File name, for messages.
        notes: What the reader did to the file, each as a short clause.
    """

    pixels: np.ndarray
    sha256: str
    name: str
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    def to_float(self) -> np.ndarray:
        """Pixels as float32 (H, W, 3) in [0, 1]."""
        return self.pixels.astype(np.float32) / np.float32(np.iinfo(self.pixels.dtype).max)

    def to_tensor(self) -> torch.Tensor:
        """Pixels as a float32 tensor (1, 3, H, W) in [0, 1]."""
        import torch

        return torch.from_numpy(self.to_float()).permute(2, 0, 1).unsqueeze(0).contiguous()


def is_picture_name(name: str) -> bool:
    """Whether a file name ends like a picture and is not a hidden or resource-fork file."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith((".", "__MACOSX"))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``img2`` before ``img10``."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def list_pictures(folder: str | Path, recursive: bool = True) -> list[Path]:
    """Pictures below a folder in natural order; hidden files and ``__MACOSX`` are passed over.

    Links to folders are followed. Each folder is listed once, under its own name rather than a link's.

    Raises:
        ImageError: The folder does not exist.
    """
    return _listed(Path(folder), SUFFIXES, recursive)


def list_unread(folder: str | Path, recursive: bool = True) -> list[Path]:
    """Pictures below a folder whose formats are not read (``UNREAD``), found as :func:`list_pictures` finds the others.

    Raises:
        ImageError: The folder does not exist.
    """
    return _listed(Path(folder), tuple(UNREAD), recursive)


def read_size(source: str | Path | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Height and width as displayed, without decoding a pixel.

    The first bytes of a file are enough, but a PNG may say only behind its pixels that it lies on its side.

    Raises:
        ImageError: The file is not a picture that is understood.
    """
    data, name = _bytes_of(source, name)
    if data.startswith(_PNG):
        data = _png_facts(data)
    with _opened(data, name) as image, _decoding(name):
        width, height = image.size
        # of a PNG, image.getexif() would decode the pixels; of a TIFF, the size is that of the upright picture
        turned = image.format != "TIFF" and Image.Image.getexif(image).get(ORIENTATION) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def read_picture(source: str | Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture.

    EXIF orientation is applied, alpha is composited over white, grey and palette and CMYK pictures become RGB, an
    embedded ICC profile is converted to sRGB, 16-bit depth is kept. Each of these is said in ``notes``.

    Args:
        source: A path, or the file's bytes.
        name: File name used in messages; default: the path's.
        max_pixels: Larger pictures are refused before they are decoded.

    Raises:
        ImageError: Missing, empty, not a picture, damaged, or too large.
    """
    data, name = _bytes_of(source, name)
    sha256 = hashlib.sha256(data).hexdigest()
    with _opened(data, name) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(
                f"{name} is {width}x{height} ({width * height / 1e6:.0f} MPix), over the limit of "
                f"{max_pixels / 1e6:.0f} MPix; make it smaller or cut it into parts."
            )
        with _decoding(name):
            pixels, notes = to_rgb(image, data)
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return Picture(pixels, sha256, name, tuple(notes))


def to_pixels(tensor: torch.Tensor) -> np.ndarray:
    """Tensor (1, 3, H, W) or (3, H, W) in [0, 1] to uint8 (H, W, 3): clamped, rounded half to even.

    Raises:
        ImageError: It is not one RGB picture, or holds NaN or infinities, which would pass for black and white.
    """
    tensor = tensor.detach()
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ImageError(f"expected one RGB picture (3, H, W), got shape {tuple(tensor.shape)}.")
    if not all(math.isfinite(extreme) for extreme in tensor.aminmax()):  # NaN is an extreme of whatever holds it
        raise ImageError(
            "the result is no picture: some of its values are NaN or infinite; try another method, or precision fp32."
        )
    return tensor.float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Pixels of 16 bits as uint8, rounded half to even; pixels of 8 bits as they are."""
    return np.rint(pixels / 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def encode_picture(pixels: np.ndarray | torch.Tensor, suffix: str = ".png") -> bytes:
    """Encode a picture.

    Args:
        pixels: Array uint8 or uint16 (H, W, 3) or (H, W), or a tensor (1, 3, H, W) or (3, H, W) in [0, 1].
        suffix: File name ending that names the format. PNG, TIFF, BMP and WebP are written without loss, JPEG at
            quality 95 without chroma subsampling. 16-bit arrays are written as PNG or TIFF only.

    Raises:
        ImageError: The shape, the type or the format cannot be written.
    """
    if not isinstance(pixels, np.ndarray):
        pixels = to_pixels(pixels)
    suffix = suffix.lower()
    if suffix not in _WRITTEN:
        raise ImageError(f"Cannot write a {suffix or 'nameless'} file; use one of {', '.join(_WRITTEN)}.")
    shape_is_right = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype not in (np.uint8, np.uint16) or not shape_is_right:
        raise ImageError(f"expected uint8 or uint16 pixels (H, W, 3), got {pixels.dtype} {tuple(pixels.shape)}.")
    if pixels.dtype == np.uint16:
        return _encode_16_bit(pixels, suffix)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, **_WRITTEN[suffix])
    return stream.getvalue()


def write_picture(path: str | Path, pixels: np.ndarray | torch.Tensor) -> str:
    """Write a picture in the format its ending names, whole or not at all; returns the sha256 of the bytes.

    Raises:
        ImageError: See :func:`encode_picture`; or the file cannot be written.
    """
    path = Path(path)
    data = encode_picture(pixels, path.suffix)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise ImageError(f"Cannot write {str(path)!r} ({first_line(error)}); check the folder.") from error
    return hashlib.sha256(data).hexdigest()


def check_batch(x: torch.Tensor, name: str = "input") -> None:
    """Guard of every tensor boundary: float NCHW, three channels.

    Raises:
        ImageError: With the sentence "expected ..., got ...".
    """
    import torch

    wanted = f"{name}: expected a float tensor (N, 3, H, W), RGB in [0, 1]"
    if not isinstance(x, torch.Tensor):
        raise ImageError(f"{wanted}, got {type(x).__name__}.")
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise ImageError(f"{wanted}, got {x.dtype} {tuple(x.shape)}.")


def _listed(folder: Path, suffixes: tuple[str, ...], recursive: bool) -> list[Path]:
    if not folder.is_dir():
        raise ImageError(f"There is no folder {str(folder)!r}; check the path.")

    found = [path for path in _files(folder, recursive) if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """What is no folder; linked folders come after all that lie in here, and none twice, so loops of links end."""
    seen: set[str] = set()
    waiting = [str(folder)]
    for top in waiting:
        for here, folders, files in os.walk(top):
            real = os.path.realpath(here)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(filter(_is_shown, folders)) if recursive else []
            waiting += [path for name in folders if os.path.islink(path := os.path.join(here, name))]
            yield from (Path(here, name) for name in filter(_is_shown, files))


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _bytes_of(source: str | Path | bytes, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        data, name = source, name or "picture"
    else:
        path = Path(source)
        name = name or path.name
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ImageError(f"There is no picture {str(path)!r}; check the path.") from error
        except OSError as error:
            raise ImageError(f"{name} cannot be read ({first_line(error)}).") from error
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); copy or upload it again.")
    return data, name


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """What decoders raise on damaged files, in all its variety, becomes one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, MemoryError, struct.error) as error:
        raise ImageError(f"{name} is damaged or cut off ({first_line(error)}); export it again as PNG.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} claims far too many pixels and was not decoded; make it smaller.") from error


def _png_facts(data: bytes) -> bytes:
    """A PNG without pixels: its size and whatever may hold an orientation, from before and behind the pixels."""
    kept, at, complete = [_PNG], len(_PNG), False
    while at + 8 <= len(data):
        length, tag = struct.unpack_from(">I4s", data, at)
        end = at + length + 12
        if tag in (b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt") and end <= len(data):
            kept.append(data[at:end])
        complete, at = complete or tag == b"IDAT", end
    if not complete:
        return data  # its head is cut off: the decoder says so
    return b"".join([*kept, struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))])


def _opened(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures, and of TIFF files seen by their heads
            refuse_strange_tiff(data, name)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} claims far too many pixels and was not decoded; make it smaller.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"{name} is not a picture this reader knows (PNG, JPEG, WebP, TIFF, BMP, PPM, PGM); export it as PNG."
        ) from error
    if image.mode == "F":
        raise ImageError(f"{name} holds floats (PFM), which are not read; export it with 8 or 16 bits.")
    return image


def _encode_16_bit(pixels: np.ndarray, suffix: str) -> bytes:
    import cv2

    if suffix not in (".png", ".tif", ".tiff"):
        raise ImageError(f"{suffix} cannot hold 16 bits a channel; write PNG or TIFF.")
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return cv2.imencode(suffix, np.ascontiguousarray(bgr))[1].tobytes()
