"""PGM and PPM, binary or text, of any depth: Pillow shows 16-bit colour as 8-bit, and takes seconds a megapixel."""

from __future__ import annotations

import re

import numpy as np

MAGIC = (b"P2", b"P3", b"P5", b"P6")
"""First bytes of PGM as text, PPM as text, PGM, PPM."""

_HEAD = re.compile(rb"P[2356]" + rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" * 3 + rb"\s")


def decode(data: bytes, width: int, height: int) -> tuple[np.ndarray, int]:
    """The first picture of a file.

    Args:
        data: The file's bytes.
        width: Columns, as the head says.
        height: Rows, as the head says.

    Returns:
        Pixels (H, W, 3), or (H, W) of a PGM, uint8 up to a maximal value of 255 and else uint16, scaled to the full
        range; and the maximal value.

    Raises:
        ValueError: The head is malformed, or the samples are too few or outside their range.
    """
    head = _HEAD.match(data)
    if head is None or not 0 < int(head[3]) < 65536:
        raise ValueError("malformed head")
    top, begin = int(head[3]), head.end()
    shape = (height, width, 3) if data[:2] in (b"P3", b"P6") else (height, width)
    count = int(np.prod(shape))
    if data[:2] in (b"P5", b"P6"):
        samples = np.frombuffer(data, ">u2" if top > 255 else np.uint8, count, begin)
    else:
        text = re.sub(rb"#[^\r\n]*", b" ", data[begin:])
        if len(text) < 2 * count - 1:  # before room is made for so many
            raise ValueError("too few samples")
        samples = np.fromstring(text, np.int32, count, sep=" ")
    if samples.size < count or samples.min() < 0 or samples.max() > top:
        raise ValueError("too few samples, or some outside their range")
    dtype, full = (np.uint16, 65535) if top > 255 else (np.uint8, 255)
    scaled = np.rint(np.arange(top + 1) * full / top).astype(dtype)
    return scaled[samples].reshape(shape), top
