"""From a picture to a restored picture: device, precision, tiles, and a record of what it took."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from devices import choose_device
from errors import ImageError, UsageError, first_line
from images import Picture, check_batch, read_picture, to_pixels, write_picture
from restorers.base import Restorer, flush_denormals
from restorers.device import choose_dtype, free_memory, peak_mib, precision, reset_peak
from restorers.memory import bytes_per_pixel
from restorers.targets import check_targets, target_of
from restorers.tiling import SMALLEST_TILE, restore_tiled, tile_count

Tile = int | Literal["auto", "none"]

_MODEL_ERRORS = (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError)
"""What a network raises on a picture that it cannot work on."""
_SMALL_PICTURE = 1 << 20
"""Pixels up to which ``auto`` does not think about memory."""
_CPU_BUDGET = 3 << 29
"""Bytes of activations and whole pictures that ``auto`` allows itself in main memory, which other programs want too."""
_SHARE_OF_FREE = 0.6
_RANGE_TOLERANCE = 1e-2
"""How far beyond [0, 1] values may lie: interpolation overshoots, while values of 0 to 255 lie far outside."""
_BLEND_APPROXIMATE = 32
"""Pixels over which tiles are blended when the method looks at the whole picture and tiles therefore differ."""


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored picture and what it took.

    Attributes:
        pixels: Uint8 (sH, sW, 3).
        seconds: Wall time of the method, without reading, writing and loading.
        peak_mib: Most memory in use meanwhile: of tensors on a GPU, of the process on a CPU.
        tiles: How many tiles the picture was cut into; 1 means whole.
        tile: Their side in input pixels; None when whole.
        weights_sha256: Hash of the weights; None for methods without.
        device: Where it ran.
        dtype: In which precision.
        notes: What a person should know about the result, each a short clause.
    """

    pixels: np.ndarray
    seconds: float
    peak_mib: float
    tiles: int
    tile: int | None
    weights_sha256: str | None
    device: str
    dtype: str
    notes: tuple[str, ...] = field(default=())

    @property
    def picture(self) -> Picture:
        """The pixels as whatever takes pictures wants them: to score, to restore again, to write."""
        pixels = np.ascontiguousarray(self.pixels).view()
        pixels.flags.writeable = False
        return Picture(pixels, hash_pixels(pixels), "restored.png", self.notes)


def hash_pixels(pixels: np.ndarray) -> str:
    """Hash of a picture that is no file, in hex: over shape, type and pixel bytes.

    Args:
        pixels: Array (H, W, 3) of any type.
    """
    head = f"{pixels.shape} {pixels.dtype.name}\n".encode()
    return hashlib.sha256(head + pixels.tobytes()).hexdigest()


@dataclass(frozen=True)
class FileRecord:
    """What became of one file; the record that ``run --json`` prints."""

    input: str
    output: str
    width: int
    height: int
    seconds: float
    peak_mib: float
    tiles: int
    model: str
    weights_sha256: str | None
    device: str
    dtype: str
    input_sha256: str
    output_sha256: str
    notes: tuple[str, ...]


def place(restorer: Restorer, device: str | torch.device = "auto") -> Restorer:
    """Move a restorer to a device, by name, and set it up for inference."""
    flush_denormals()
    return restorer.to(choose_device(str(device))).eval()


def device_of(restorer: Restorer) -> torch.device:
    """Where a restorer's numbers are; the CPU if it has none."""
    tensor = next(iter(restorer.parameters()), None)
    if tensor is None:
        tensor = next(iter(restorer.buffers()), torch.empty(0))
    return tensor.device


def restore(
    restorer: Restorer,
    picture: Picture | Tensor | np.ndarray,
    *,
    tile: Tile = "auto",
    overlap: int | None = None,
    dtype: str = "auto",
) -> Restored:
    """Restore one picture of any size from 16x16.

    Args:
        restorer: A method, on the device where it shall run (:func:`place`).
        picture: A picture; a float tensor (1, 3, H, W) in [0, 1] of any precision, worked on in float32; or uint8 or
            uint16 pixels (H, W, 3), as NumPy holds them or Pillow in mode RGB.
        tile: ``none``: the whole picture at once. A number: tiles that contribute so many pixels a side. ``auto``:
            whole if memory allows, or else the largest tiles that fit. When memory runs out all the same, tiles are
            halved until it does not.
        overlap: Pixels over which neighbouring tiles are blended, beyond the halo that a method's receptive field
            needs anyway; None: none for methods whose tiles are exact, 32 for others.
        dtype: ``auto`` (fp32), ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        ImageError: The picture is too small or not a picture, its values are out of range, or it does not fit
            into memory in any way.
        UsageError: An argument makes no sense.
    """
    x = _batch_of(picture)
    device = device_of(restorer)
    number = choose_dtype(dtype, device)
    side, notes = _choose_tile(restorer, x, tile, device)
    if overlap is None:
        overlap = _BLEND_APPROXIMATE if restorer.card.tiling == "approximate" else 0
    elif overlap < 0:
        raise UsageError(f"The overlap of tiles cannot be negative, got {overlap}.")
    restorer.ready(device)
    reset_peak(device)
    started = time.perf_counter()
    while True:
        try:
            with torch.inference_mode(), precision(device, number):
                y = _run(restorer, x, side, overlap, device)
            break
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        side = _smaller_tile(restorer, x, side)
        notes = [f"out of memory, cut into tiles of {side} pixels"]
    pixels = to_pixels(y)
    seconds = time.perf_counter() - started
    height, width = x.shape[-2:]
    if side is not None and restorer.card.tiling == "approximate":
        notes.append(
            f"{restorer.card.title} looks at the whole picture: in tiles its result differs a little from the whole"
        )
    return Restored(
        pixels=pixels,
        seconds=seconds,
        peak_mib=peak_mib(device),
        tiles=1 if side is None else tile_count(height, width, side, overlap),
        tile=side,
        weights_sha256=restorer.weights_sha256,
        device=str(device),
        dtype=str(number).removeprefix("torch."),
        notes=tuple(notes),
    )


def restore_picture(restorer: Restorer, picture: Picture, **options: Any) -> Restored:
    """:func:`restore`, with whatever goes wrong said in one sentence that names the picture.

    Args:
        restorer: See :func:`restore`.
        picture: One picture of several, known by its file's name.
        options: See :func:`restore`.

    Raises:
        ImageError: The picture cannot be restored, or the model failed on it in its own way.
        UsageError: An option makes no sense.
    """
    try:
        return restore(restorer, picture, **options)
    except ImageError as error:
        raise ImageError(f"{picture.name}: {error}") from error
    except _MODEL_ERRORS as error:
        reason = f"{type(error).__name__} {first_line(error)}"
        raise ImageError(f"{restorer.card.title} failed on {picture.name}: {reason}.") from error


def restore_file(
    path: str | Path,
    output_dir: str | Path,
    model: str | Path | Restorer,
    *,
    device: str = "auto",
    dtype: str = "auto",
    tile: Tile = "auto",
    overlap: int | None = None,
    overwrite: bool = False,
) -> FileRecord:
    """Restore a file and write ``output_dir/<stem>.png``; no reference is needed.

    Args:
        path: A picture.
        output_dir: Made if it does not exist.
        model: What :func:`restorers.hub.load` takes, or a restorer, which then stays where it is.
        device: Where a model given by name runs.
        dtype: See :func:`restore`.
        tile: See :func:`restore`.
        overlap: See :func:`restore`.
        overwrite: Whether a result that is there already may be replaced; the picture itself never is.

    Raises:
        UsageError: The result would overwrite the picture, or another result.
        UnveilError: The picture, the model or the output folder cannot be used; the message says what to do.
    """
    check_targets([Path(path)], Path(output_dir), overwrite=overwrite)
    if not isinstance(model, Restorer):
        from restorers.hub import load

        model = load(model, device=device)
    picture = read_picture(path)
    done = restore_picture(model, picture, tile=tile, overlap=overlap, dtype=dtype)
    output = target_of(Path(path), Path(output_dir))
    return FileRecord(
        input=str(path),
        output=str(output),
        width=done.pixels.shape[1],
        height=done.pixels.shape[0],
        seconds=round(done.seconds, 4),
        peak_mib=round(done.peak_mib, 1),
        tiles=done.tiles,
        model=model.card.name,
        weights_sha256=done.weights_sha256,
        device=done.device,
        dtype=done.dtype,
        input_sha256=picture.sha256,
        output_sha256=write_picture(output, done.pixels),
        notes=(*picture.notes, *done.notes),
    )


def _batch_of(picture: Picture | Tensor | np.ndarray) -> Tensor:
    """Float32 (1, 3, H, W) in [0, 1] of whatever a picture comes as."""
    if isinstance(picture, Picture):
        return picture.to_tensor()
    if not isinstance(picture, Tensor) and hasattr(picture, "__array_interface__"):  # NumPy's arrays, Pillow's images
        pixels = np.ascontiguousarray(picture)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
            raise ImageError(
                f"picture: expected uint8 or uint16 pixels (H, W, 3), RGB, got {pixels.dtype} {pixels.shape}; read "
                "files with images.read_picture, which knows every kind."
            )
        return Picture(pixels, "", "picture").to_tensor()
    check_batch(picture, "picture")
    low, high = (float(extreme) for extreme in picture.detach().aminmax()) if picture.numel() else (0.0, 0.0)
    if not -_RANGE_TOLERANCE <= low <= high <= 1 + _RANGE_TOLERANCE:
        raise ImageError(
            f"picture: expected values in [0, 1], got {low:.4g} to {high:.4g}; divide what is in 0 to 255 by 255."
        )
    return picture.float()


def _run(restorer: Restorer, x: Tensor, side: int | None, overlap: int, device: torch.device) -> Tensor:
    if side is None:
        return restorer(x.to(device)).float().cpu()
    card = restorer.card
    return restore_tiled(
        lambda window: restorer(window.to(device)),
        x,
        side,
        scale=card.scale,
        overlap=overlap,
        halo=card.receptive_field,
        multiple=card.size_multiple,
    )


def _choose_tile(restorer: Restorer, x: Tensor, tile: Tile, device: torch.device) -> tuple[int | None, list[str]]:
    """Side of the tiles (None: whole) and what to say about it."""
    height, width = x.shape[-2:]
    card = restorer.card
    if tile == "none" or (tile == "auto" and (card.tiling == "whole" or height * width <= _SMALL_PICTURE)):
        return None, []
    if tile == "auto":
        side = _fitting_tile(restorer, x, device)
        return side, [] if side is None else [f"cut into tiles of {side} pixels to fit into memory"]
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < SMALLEST_TILE:
        raise UsageError(f"A tile is auto, none, or a number of pixels from {SMALLEST_TILE}, got {tile!r}.")
    if tile >= max(height, width):
        return None, []
    if card.tiling == "whole":
        return None, [f"not tiled: {card.title} needs to see the whole picture"]
    return tile, []


def _fitting_tile(restorer: Restorer, x: Tensor, device: torch.device) -> int | None:
    """Largest tile whose activations fit; None if the whole picture does."""
    height, width = x.shape[-2:]
    budget = _SHARE_OF_FREE * free_memory(device)
    if device.type == "cpu":
        budget = min(budget, _CPU_BUDGET)
        # The picture, the canvas of its result and the copy that becomes bytes lie beside the activations.
        pictures = x.numel() * x.element_size() * (1 + 2 * restorer.card.scale**2)
        budget = max(budget - pictures, budget / 4)
    pixels = budget / bytes_per_pixel(restorer, device)
    if height * width <= pixels:
        return None
    side = int(math.sqrt(pixels)) - 2 * restorer.card.receptive_field
    multiple = restorer.card.size_multiple
    return max(SMALLEST_TILE, side // multiple * multiple)


def _smaller_tile(restorer: Restorer, x: Tensor, side: int | None) -> int:
    height, width = x.shape[-2:]
    card = restorer.card
    if card.tiling == "whole":
        raise ImageError(
            f"{card.title} ran out of memory on {width}x{height} pixels and cannot work in tiles; make the picture "
            "smaller, or use a machine with more memory."
        )
    half = (side or max(height, width)) // 2
    if half < SMALLEST_TILE:
        raise ImageError(
            f"{card.title} runs out of memory even on tiles of {side} pixels; close other programs or use --device cpu."
        )
    return half


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
