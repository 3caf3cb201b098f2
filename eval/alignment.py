"""Make an output and its reference comparable, as the protocol says and in no other way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from errors import MetricError
from eval.metrics.color import grey, luma
from eval.protocol import MODCROP, Protocol, names
from images import Picture
from resample import imresize

PEAK = 255.0
"""Everything is compared on a 0-255 scale."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two arrays that full-reference metrics can look at.

    Attributes:
        output: uint8 or float64, 0-255, ``(H, W, 3)`` or ``(H, W)``.
        reference: Same shape.
        notes: What had to be done, each as a short clause.
    """

    output: np.ndarray
    reference: np.ndarray
    notes: tuple[str, ...] = ()


def align(output: Picture, reference: Picture, protocol: Protocol) -> Aligned:
    """Bring two pictures to one size, range, colour space and border.

    The order is: size, 8-bit rounding, GT-mean, border, colour.

    Raises:
        MetricError: The sizes differ in a way the protocol does not provide for, the border leaves nothing, or GT-mean
            is asked of a black output.
    """
    notes: list[str] = []
    x, y = _match_sizes(output.pixels, reference.pixels, protocol, notes)
    x, y = _on_255(x, protocol), _on_255(y, protocol)
    if protocol.gt_mean:
        x = _scale_to_mean(x, y, notes)
    if protocol.border:  # colours are made pixel by pixel, so the order of these two is free: the cheaper one
        x, y = (np.ascontiguousarray(cut(side, protocol.border)) for side in (x, y))
    if protocol.color != "rgb":
        plane = luma if protocol.color == "y" else grey
        x, y = plane(x), plane(y)
    return Aligned(x, y, tuple(notes))


def cut(image: np.ndarray, border: int) -> np.ndarray:
    """Remove ``border`` pixels from each side.

    Raises:
        MetricError: Nothing would be left.
    """
    height, width = image.shape[:2]
    if min(height, width) <= 2 * border:
        raise MetricError(f"The protocol cuts {border} pixels from each side; nothing is left of {width}x{height}.")
    return image[border : height - border, border : width - border]


def _match_sizes(x: np.ndarray, y: np.ndarray, protocol: Protocol, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    (h, w), (rh, rw) = x.shape[:2], y.shape[:2]
    if (h, w) == (rh, rw):
        return x, y
    policy = protocol.size_mismatch
    sizes = f"the output is {w}x{h} and the reference {rw}x{rh}"
    few = max(abs(h - rh), abs(w - rw)) <= MODCROP
    if policy == "modcrop" and few:
        height, width = min(h, rh), min(w, rw)
        notes.append(f"cut at the bottom and right to {width}x{height}: {sizes}")
        return x[:height, :width], y[:height, :width]
    if policy == "center-crop":
        height, width = min(h, rh), min(w, rw)
        notes.append(f"cut to the common centre {width}x{height}: {sizes}")
        return _centre(x, height, width), _centre(y, height, width)
    if policy == "sots-10px" and (rh, rw) == (h + 20, w + 20):
        notes.append("10 pixels cut from each side of the reference")
        return x, cut(y, 10)
    if policy == "resize-output":
        notes.append(f"output resized: {sizes}")
        return _resize(x, (rh, rw)), y
    if policy == "resize-reference":
        notes.append(f"reference resized: {sizes}")
        return x, _resize(y, (h, w))
    layout, example, more = "", "center-crop", "or resize-output, resize-reference"
    if (rh, rw) == (h + 20, w + 20):
        layout, example, more = "; this is the layout of SOTS indoor", "sots-10px", f"or center-crop, {more[3:]}"
    elif few:  # the other policies would compare pixels that do not belong together
        example, more = "modcrop", "the larger is cut at the bottom and right, to a multiple of the scale"
    preset = protocol.name.partition("+")[0]
    policy = f"for example {preset}+{example}" if preset in names() else f'for example "size_mismatch": "{example}"'
    raise MetricError(
        f"Sizes differ: {sizes}{layout}; restore at the input's size, or name a policy in the protocol, "
        f"{policy} ({more})."
    )


def _centre(image: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top = float(np.iinfo(pixels.dtype).max)
    resized = imresize(pixels, size=size)
    np.clip(resized, 0.0, top, out=resized)
    resized *= PEAK / top
    return resized


def _on_255(pixels: np.ndarray, protocol: Protocol) -> np.ndarray:
    """8-bit samples stay as they are (every kernel takes them); others become float64 on 0-255."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        pixels = pixels * (PEAK / 65535.0)
    return np.rint(pixels).astype(np.uint8) if protocol.rounding == "uint8" else pixels


def _scale_to_mean(x: np.ndarray, y: np.ndarray, notes: list[str]) -> np.ndarray:
    mean = float(grey(x).mean())
    if mean == 0.0:
        raise MetricError("The output is black, so it cannot be scaled to the reference's mean (GT-mean).")
    gain = float(grey(y).mean()) / mean
    notes.append(f"output scaled by {gain:.4f} (GT-mean)")
    scaled = np.multiply(x, gain, dtype=np.float64)
    return np.clip(scaled, 0.0, PEAK, out=scaled)
