"""Two pictures of noise, and files made by hand: what encoders write seldom or never."""

import io
import struct
import zlib

import numpy as np
import tifffile

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
RGB16 = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), dtype=np.uint16)


def encoded(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def png_chunk(tag, data):
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def png_with(data, *chunks, behind=False):
    """Chunks put into a PNG, after its header or after its pixels."""
    place = len(data) - 12 if behind else 33
    return data[:place] + b"".join(png_chunk(tag, body) for tag, body in chunks) + data[place:]


def tiff(pixels, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def netpbm(kind, pixels, top):
    head = f"{kind} # a comment, 7 words\n# and another\n{pixels.shape[1]}\t{pixels.shape[0]}\n{top}\n".encode()
    if kind in ("P2", "P3"):
        return head + b"# one more\n" + " ".join(map(str, pixels.ravel())).encode()
    return head + pixels.astype(">u2" if top > 255 else np.uint8).tobytes()
