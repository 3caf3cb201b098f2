"""Score one picture: every metric asked for, from one decoding, each a value or a reason why there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from errors import MetricError, UnveilError
from eval.alignment import PEAK, Aligned, align, cut
from eval.metrics import registry
from eval.metrics.niqe import BLOCK, niqe
from eval.metrics.niqe_model import NiqeModel, resolve_model
from eval.metrics.psnr import psnr
from eval.metrics.ssim import ssim
from eval.protocol import Protocol
from images import Picture


@dataclass(frozen=True)
class Measurement:
    """One metric of one picture.

    Attributes:
        metric: Metric name.
        value: The score, or None. PSNR of identical pictures is infinite; NaN never occurs.
        error: One sentence that says why there is no value, or None.
        variant: Which implementation or parameters, where a metric has several ("niqe-live@f6284a2b"), else "".
        seconds: Time it took; the first full-reference metric carries the alignment.
        notes: What the protocol did to the pair ("10 pixels cut from each side of the reference").
    """

    metric: str
    value: float | None
    error: str | None = None
    variant: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def score(
    output: Picture,
    reference: Picture | None,
    metrics: Sequence[str],
    protocol: Protocol,
    *,
    niqe_parameters: NiqeModel | str | Path | None = None,
) -> list[Measurement]:
    """Measure one picture. Safe to call from any number of threads; the core metrics release the interpreter lock.

    Args:
        output: The picture under test.
        reference: What it should look like; None leaves full-reference metrics with an error.
        metrics: Metric names.
        protocol: What exactly is computed.
        niqe_parameters: A pristine model or its file; None takes what the protocol accepts and this machine has.

    Returns:
        One measurement a metric, in the order asked for.

    Raises:
        UnknownNameError: There is no metric of that name. (What is wrong with a picture never raises.)
    """
    specs = [registry.spec(name) for name in metrics]
    aligned = cache(lambda: _aligned(output, reference, protocol))
    # Other people's metrics choose their own colours: they get RGB, aligned and cut as the protocol says.
    aligned_rgb = cache(lambda: _aligned(output, reference, replace(protocol, color="rgb")))
    measured = []
    for spec in specs:
        start = time.perf_counter()
        notes: tuple[str, ...] = ()
        try:
            if spec.name == "niqe":
                model = _model(niqe_parameters, protocol)
                value, variant = niqe(cut(output.pixels, protocol.niqe_border), model), model.variant
            elif spec.name in _FULL:
                pair = aligned()
                value, variant, notes = _FULL[spec.name](pair, protocol), "", pair.notes
            else:
                from eval.metrics import pyiqa_bridge

                pair = aligned_rgb() if spec.needs_reference else None
                value, variant = pyiqa_bridge.measure(spec.name, output, pair), pyiqa_bridge.variant()
                notes = pair.notes if pair else ()
            if math.isnan(value):
                raise MetricError(f"{spec.title} came out as NaN, so it has no value on this picture.")
            error = None
        except UnveilError as reason:
            value, variant, error = None, "", str(reason)
        measured.append(Measurement(spec.name, value, error, variant, time.perf_counter() - start, notes))
    return measured


_FULL: dict[str, Callable[[Aligned, Protocol], float]] = {
    "psnr": lambda pair, _: psnr(pair.output, pair.reference, PEAK),
    "ssim": lambda pair, protocol: ssim(pair.output, pair.reference, protocol.ssim, PEAK),
}


def _aligned(output: Picture, reference: Picture | None, protocol: Protocol) -> Aligned:
    if reference is None:
        raise MetricError("This metric compares with a reference, and there is none for this picture.")
    return align(output, reference, protocol)


@cache
def _resolved(path: str | None, want: str) -> NiqeModel:
    return resolve_model(path, want)


def _model(parameters: NiqeModel | str | Path | None, protocol: Protocol) -> NiqeModel:
    if isinstance(parameters, NiqeModel):
        return resolve_model(parameters, protocol.niqe)
    return _resolved(None if parameters is None else str(parameters), protocol.niqe)


def warm_up() -> None:
    """Compile the inner loops, if this machine has not yet: about ten seconds once, milliseconds ever after.

    Call it at installation, or before a timing.
    """
    from eval.metrics.niqe_model import embedded_model
    from eval.protocol import get

    pixels = np.random.default_rng(0).integers(0, 256, (2, BLOCK, 2 * BLOCK, 3), dtype=np.uint8)
    pair = Picture(pixels[0], "", "warm-up"), Picture(pixels[1], "", "warm-up")
    for name in ("dehaze-rgb", "sr-y4", "lowlight-gtmean"):  # bytes; one plane of floats; floats against bytes
        score(*pair, ("psnr", "ssim", "niqe"), get(name), niqe_parameters=embedded_model())
