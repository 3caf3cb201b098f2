"""The one reader and writer of pictures.

Everything that enters becomes RGB pixels, 8 or 16 bits a channel, upright, in sRGB, with a hash of the file's bytes
and a list of what the reader had to do to get there. Everything that leaves goes through the one encoder.

Uploads are hostile until proven otherwise: the header is checked against a pixel limit before any pixel is decoded.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError

from errors import ImageError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
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
    ".dng": "DNG",
    ".cr2": "CR2",
    ".nef": "NEF",
    ".arw": "ARW",
}
"""File name endings of pictures that are not read, and what people call them."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Pillow's names of the formats that are decoded; anything else is refused whatever its name says."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded, in pixels (100 MPix: three times 8K)."""

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""BT.601 full-range grey of red, green and blue: OpenCV, Pillow and the low-light codes."""

_ORIENTATION = 0x0112


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
    """Height and width as displayed, read from the header alone.

    Raises:
        ImageError: The file is not a picture that is understood.
    """
    data, name = _bytes_of(source, name)
    with _opened(data, name) as image, _decoding(name):
        width, height = image.size
        turned = image.format != "TIFF" and _orientation(image, header_only=True) in (5, 6, 7, 8)
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
            orientation = _orientation(image)
            image.load()
            pixels, notes = _to_rgb(image, data, orientation)
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
    if suffix not in SUFFIXES:
        raise ImageError(f"Cannot write a {suffix or 'nameless'} file; use one of {', '.join(SUFFIXES)}.")
    shape_is_right = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype not in (np.uint8, np.uint16) or not shape_is_right:
        raise ImageError(f"expected uint8 or uint16 pixels (H, W, 3), got {pixels.dtype} {tuple(pixels.shape)}.")
    if pixels.dtype == np.uint16:
        return _encode_16_bit(pixels, suffix)
    options: dict[str, object] = {
        ".png": {"format": "PNG", "compress_level": 4},
        ".webp": {"format": "WEBP", "lossless": True},
        ".bmp": {"format": "BMP"},
        ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
        ".tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    }.get(suffix, {"format": "JPEG", "quality": 95, "subsampling": 0})
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, **options)
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
        raise ImageError(f"Cannot write {str(path)!r} ({_short(error)}); check the folder.") from error
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

    def walk() -> Iterator[Path]:
        for path in folder.rglob("*") if recursive else folder.iterdir():
            inside = path.relative_to(folder)
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
            if not hidden and path.suffix.lower() in suffixes and path.is_file():
                yield path

    return sorted(walk(), key=lambda path: natural_key(path.relative_to(folder).as_posix()))


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
            raise ImageError(f"{name} cannot be read ({_short(error)}).") from error
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
        raise ImageError(f"{name} is damaged or cut off ({_short(error)}); export it again as PNG.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} claims far too many pixels and was not decoded; make it smaller.") from error


def _orientation(image: Image.Image, header_only: bool = False) -> int:
    """EXIF orientation, 1 if there is none; Pillow decodes a whole PNG to answer unless told not to."""
    if header_only and image.format == "PNG":
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
    else:
        exif = image.getexif()
    return exif.get(_ORIENTATION, 1)


def _opened(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures, and of TIFF files seen by their heads
            _refuse_deep_tiff(data, name)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} claims far too many pixels and was not decoded; make it smaller.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"{name} is not a picture this reader knows (PNG, JPEG, WebP, TIFF, BMP); export it as PNG."
        ) from error


def _refuse_deep_tiff(data: bytes, name: str) -> None:
    """Say what is in a TIFF of floats or of more than 16 bits; some of them Pillow does not know for TIFF.

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
        bits, floats = max(tags.get(258, (8,))), 3 in tags.get(339, (1,))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error):
        return  # damaged, or cut off: the decoder says so
    if floats or bits > 16:
        kind = "floats" if floats else "integers"
        raise ImageError(f"{name} is a TIFF with {bits}-bit {kind}, which are not read; export it with 8 or 16 bits.")


def _to_rgb(image: Image.Image, data: bytes, orientation: int) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
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
        image = _to_srgb(image, profile, notes)
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
    if image.info.get("icc_profile") and not _is_srgb(image.info["icc_profile"]):
        notes.append("ICC profile ignored (16 bits a channel)")
    if pixels.ndim == 2:
        notes.append("grey copied to three channels")
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    else:
        alpha = pixels[..., 3:].astype(np.float64) / 65535 if pixels.shape[2] == 4 else None
        pixels = pixels[..., 2::-1]
        if alpha is not None and alpha.min() < 1:
            pixels = np.rint(pixels * alpha + 65535 * (1 - alpha)).astype(np.uint16)
            notes.append("alpha composited over white")
    if orientation != 1:
        notes.append("EXIF orientation applied")
    if image.format == "PNG":  # OpenCV turns TIFF by itself
        pixels = np.rot90(pixels, {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0))
        pixels = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    return pixels


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile says of itself that it is sRGB (then nothing needs to be converted)."""
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return "srgb" in description.lower()


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert to sRGB by the embedded profile; a profile that does not fit is ignored and said so."""
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if image.mode == "RGB" and _is_srgb(profile):
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("damaged ICC profile ignored")
        return image
    notes.append("ICC profile converted to sRGB")
    return converted


def _encode_16_bit(pixels: np.ndarray, suffix: str) -> bytes:
    import cv2

    if suffix not in (".png", ".tif", ".tiff"):
        raise ImageError(f"{suffix} cannot hold 16 bits a channel; write PNG or TIFF.")
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return cv2.imencode(suffix, np.ascontiguousarray(bgr))[1].tobytes()


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__
