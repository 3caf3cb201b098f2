"""Pictures behind the numbers: a small one for a list, and input, output and reference of one case.

Outputs of restorers are not kept while a set is scored; the one that is opened is made again (same weights, same
bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import numpy as np

from errors import ImageError, SetError
from eval.methods import Method, results_of
from eval.pairing import Pair
from images import Picture, to_8_bit, write_picture
from ui.engine import Engine, run
from ui.session import safe_stem

THUMBNAIL = 360
"""Longest side of a picture in a list, in pixels."""


def thumbnails(engine: Engine, job: str, images: Sequence[str], request: gr.Request | None) -> list[Path]:
    """Small PNGs of the inputs of some pairs.

    Raises:
        UnveilError: The job or its pictures are gone.
    """
    pairs = {pair.key: pair for pair in engine.jobs.image_set(job).pairs}
    folder = engine.scratch.folder(request)
    written = []
    for index, image in enumerate(images):
        path = folder / f"{index}-{safe_stem(image)}.png"
        write_picture(path, shrunk(pairs[image].input.read(), THUMBNAIL))
        written.append(path)
    return written


def pictures(engine: Engine, job: str, image: str, method: str, request: gr.Request | None) -> dict[str, Path]:
    """PNGs "Input", "Output" and, where there is one, "Reference" of one picture of a job.

    Raises:
        UnveilError: The job or its pictures are gone, or the output cannot be made.
    """
    images = engine.jobs.image_set(job)
    pair = next((pair for pair in images.pairs if pair.key == image), None)
    chosen = next((found for found in engine.jobs.methods(job) if found.name == method), None)
    if pair is None or chosen is None:
        raise SetError(f"There is no picture {image!r} with a result of {method!r} in this job.")
    found = {"Input": pair.input.read(), "Output": _output(engine, pair, images.pairs, chosen)}
    if pair.reference is not None:
        found["Reference"] = pair.reference.read()
    folder = engine.scratch.folder(request)
    paths = {side: folder / f"{safe_stem(image)}-{side.lower()}.png" for side in found}
    for side, picture in found.items():
        write_picture(paths[side], to_8_bit(picture.pixels))
    return paths


def shrunk(picture: Picture, side: int) -> np.ndarray:
    """Pixels uint8 whose longest side is at most ``side``."""
    import cv2

    pixels = to_8_bit(picture.pixels)
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _output(engine: Engine, pair: Pair, pairs: Sequence[Pair], method: Method) -> Picture:
    if method.kind == "input":
        return pair.input.read()
    if method.kind == "results":
        source = results_of(method, pairs).get(pair.key)
        if source is None:
            raise ImageError(f"The method {method.name!r} has no result for {pair.input.name}.")
        return source.read()
    picture = pair.input.read()
    return Picture(run(engine.restorer(method.model), picture).pixels, "", picture.name)
