"""RestorerCard: the facts of a method, of which every list, page, model card and table is a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["dehaze", "lowlight", "sr", "refine"]
TASKS: dict[str, str] = {
    "dehaze": "Remove haze",
    "lowlight": "Brighten the dark",
    "sr": "Enlarge",
    "refine": "Refine",
}
"""Task names and what a visitor calls them."""

UNKNOWN_LICENCE = "unknown: see where the checkpoint came from"
"""Licence of weights that came without a word about it."""

Tiling = Literal["exact", "approximate", "whole"]


@dataclass(frozen=True)
class Figure:
    """One measured value and what it was measured on, as printed on model cards."""

    dataset: str
    protocol: str
    metric: str
    value: float
    command: str = ""


@dataclass(frozen=True)
class RestorerCard:
    """What is known about a restorer before it is built.

    Attributes:
        name: The name people type; lower case.
        title: The name people read.
        task: What it does to a picture.
        summary: One plain sentence.
        paper: Authors, title, venue, year; empty for community models.
        paper_url: Where the paper is.
        licence: SPDX name, or a sentence, that governs code and weights together.
        scale: Output size over input size.
        size_multiple: The network needs sides that are multiples of this; the base class pads.
        min_size: Smallest side in pixels after padding.
        tiling: ``exact`` if tiles with a halo of ``receptive_field`` give the untiled result, ``approximate`` if
            statistics of the whole picture enter and tiles change the result, ``whole`` if it must not be tiled.
        receptive_field: Halo in input pixels beyond which nothing influences an output pixel.
        parameters: Learnable numbers.
        weights: File name below ``assets/weights``; None for methods without weights.
        weights_sha256: Hash of that file.
        trained_on: Data and recipe, in a sentence.
        figures: What was measured, and how.
    """

    name: str
    title: str
    task: Task
    summary: str
    paper: str = ""
    paper_url: str = ""
    licence: str = "Apache-2.0"
    scale: int = 1
    size_multiple: int = 1
    min_size: int = 16
    tiling: Tiling = "exact"
    receptive_field: int = 32
    parameters: int = 0
    weights: str | None = None
    weights_sha256: str | None = None
    trained_on: str = ""
    figures: tuple[Figure, ...] = ()
