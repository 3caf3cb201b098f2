"""Colours by the ICC profile that a file embeds: from its colour space to sRGB, at 8 and at 16 bits a channel.

littleCMS, as Pillow has it, converts 8 bits a channel only. At 16 bits the equations of the profile are computed here:
its curves, its matrix, the curve of sRGB (ICC.1, "three-component matrix-based" and "monochrome" profiles).
"""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageCms

_CONVERTED = "ICC profile converted to sRGB"
_UNFIT = "damaged ICC profile ignored"
_BLOCK = 2**20
_LIGHTEST_BLACK = (66 / 116) ** 3  # L* = 50: black point compensation as littleCMS has it


def to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    """A picture of 8 bits a channel in sRGB.

    Args:
        image: Mode RGB, L or CMYK; any other is made RGB first.
        profile: The embedded profile.

    Returns:
        The picture, RGB where it was converted, and what was done as a short clause: "" if the profile is sRGB, and
        the picture as it is if the profile is damaged or not one for such pictures.
    """
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if image.mode == "RGB" and _is_srgb(profile):
        return image, ""
    transform = _transform(profile, image.mode)
    return (transform.apply(image), _CONVERTED) if transform else (image, _UNFIT)


def to_srgb_16(pixels: np.ndarray, profile: bytes) -> tuple[np.ndarray, str]:
    """A picture of 16 bits a channel in sRGB.

    Args:
        pixels: Array (H, W, 3) or grey (H, W), uint16.
        profile: The embedded profile.

    Returns:
        As :func:`to_srgb`; (H, W, 3) uint16 where it was converted. A profile made of tables, as those of scanners
        are, is applied to the picture rounded to 8 bits, and the clause says so.
    """
    mode = "RGB" if pixels.ndim == 3 else "L"
    if mode == "RGB" and _is_srgb(profile):
        return pixels, ""
    if _transform(profile, mode) is None:
        return pixels, _UNFIT
    try:
        curves, matrix = _equations(profile, mode)
    except (LookupError, ValueError, TypeError, struct.error):
        image, note = to_srgb(Image.fromarray(np.rint(pixels / 257).astype(np.uint8)), profile)
        return np.asarray(image).astype(np.uint16) * 257, f"{note} at 8 bits a channel"
    channels = pixels.reshape(*pixels.shape[:2], -1)
    converted = np.empty((*pixels.shape[:2], 3), np.uint16)
    rows = max(1, _BLOCK // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        part = channels[top : top + rows]
        light = np.stack([curve[part[..., i]] for i, curve in enumerate(curves)], axis=2) @ matrix
        converted[top : top + rows] = np.rint(_srgb_curve(light.clip(0, 1)) * 65535)
    return converted, _CONVERTED


def _equations(profile: bytes, mode: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Light of every 16-bit level, one array (65536,) a channel, and the matrix from it to red, green and blue of sRGB.

    Raises:
        LookupError, ValueError, TypeError, struct.error: The profile is made of something else.
    """
    (count,) = struct.unpack_from(">I", profile, 128)
    places = {profile[at : at + 4]: at for at in range(132, 132 + 12 * min(count, 100), 12)}
    if profile[20:24] != b"XYZ " or any(name[:3] in (b"A2B", b"D2B") for name in places):
        raise ValueError("made of tables")

    def curve(name: bytes) -> np.ndarray:
        begin, size = struct.unpack_from(">II", profile, places[name] + 4)
        return _curve(profile[begin : begin + size])

    if mode == "L":
        curves, luminance, matrix = [curve(b"kTRC")], np.ones(1), np.ones((1, 3))
    else:
        xyz = _xyz(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile)
        curves, luminance = [curve(b"rTRC"), curve(b"gTRC"), curve(b"bTRC")], xyz[:, 1]
        matrix = xyz @ np.linalg.inv(_xyz(_srgb_profile()))
    black = np.clip(sum(c[0] * y for c, y in zip(curves, luminance, strict=True)), 0, _LIGHTEST_BLACK)
    return [(c - black) / (1 - black) for c in curves], matrix


def _xyz(profile: ImageCms.core.CmsProfile) -> np.ndarray:
    """XYZ (D50) of red, green and blue, one a row."""
    return np.array([profile.red_colorant[0], profile.green_colorant[0], profile.blue_colorant[0]])


def _curve(tag: bytes) -> np.ndarray:
    """Light in [0, 1] of every 16-bit level (ICC.1, curveType and parametricCurveType)."""
    x = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        values = np.frombuffer(tag, ">u2", count, 12)
        if count == 0:
            return x
        return x ** (values[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError("no curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    g, *p = np.frombuffer(tag, ">i4", (1, 3, 4, 5, 7)[kind], 12) / 65536
    a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):
        a, b = p[:2]
        d = -b / a
        e = f = p[2] if kind == 2 else 0.0
    elif kind > 2:
        a, b, c, d = p[:4]
        e, f = p[4:] or (0.0, 0.0)
    return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).clip(0, 1)


def _srgb_curve(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _srgb_profile() -> ImageCms.core.CmsProfile:
    return ImageCms.createProfile("sRGB")


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile says of itself that it is sRGB (then nothing needs to be converted)."""
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return "srgb" in description.lower()


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, _srgb_profile(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
