"""The unit of work: one picture, some methods, all metrics. What a worker process runs; knows nothing of processes.

Whatever goes wrong with one picture becomes a row that says so, and the next picture is not affected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from errors import ImageError, ModelError, UnveilError
from eval.methods import Method
from eval.metrics.niqe_model import NiqeModel
from eval.metrics.registry import is_core, spec
from eval.pairing import Pair
from eval.protocol import Protocol
from eval.rows import BAD_REFERENCE, WHOLE_PICTURE, ScoreRow
from eval.scoring import score
from eval.sources import Source
from eval.store import Store
from images import Picture, read_picture
from version import __version__

if TYPE_CHECKING:
    from restorers.base import Restorer


@dataclass(frozen=True)
class Job:
    """What is the same for every picture of a run.

    Attributes:
        metrics: Metric names.
        protocol: How to measure.
        niqe_parameters: The pristine model, found once for all workers; None lets the scorer say what is missing.
        dataset: Name of the set in the rows.
        device: Where restorers run: "auto", "cpu" or "cuda".
        store: Path of the store to look for rows in that exist already; None to compute everything.
    """

    metrics: tuple[str, ...]
    protocol: Protocol
    niqe_parameters: NiqeModel | None = None
    dataset: str = ""
    device: str = "auto"
    store: str | None = None


@dataclass(frozen=True)
class Unit:
    """One picture and the methods to score on it.

    Attributes:
        pair: The picture.
        methods: The methods, without their listings.
        results: For every method the uploaded file, or None where it is not "results" or has no file for this picture.
    """

    pair: Pair
    methods: tuple[Method, ...]
    results: tuple[Source | None, ...]


@dataclass(frozen=True)
class Outcome:
    """What came out of a unit.

    Attributes:
        rows: Rows that are new.
        found: How many of the unit's methods were in the store already, whole.
        failed: How many of its methods have at least one error.
    """

    rows: tuple[ScoreRow, ...]
    found: int
    failed: int


@dataclass(frozen=True)
class Output:
    """The picture a method made, and what is known about the making."""

    picture: Picture
    weights_sha256: str = ""
    device: str = ""
    seconds: float | None = None
    peak_mib: float | None = None
    input_pixels: int | None = None


Made = Output | UnveilError | None
"""What came of making a picture ahead of time: the picture, the reason why there is none, or nothing to do."""


def run_unit(unit: Unit, job: Job, made: Sequence[Made] = ()) -> Outcome:
    """Score one picture with its methods.

    Args:
        unit: The picture and the methods.
        job: What is the same for all.
        made: What :func:`make_ahead` returned for this unit, where making and scoring happen in different places.
    """
    rows: list[ScoreRow] = []
    found = failed = 0
    files = _Files(unit.pair)
    ahead = made or (None,) * len(unit.methods)
    for method, result, output in zip(unit.methods, unit.results, ahead, strict=True):
        fresh = _run_method(files, method, result, job, output)
        rows += fresh
        found += not fresh
        failed += any(row.error is not None for row in fresh)
    return Outcome(tuple(rows), found, failed)


def make_ahead(unit: Unit, job: Job, picture: Picture | None = None) -> tuple[Made, ...]:
    """Run the restorers of a unit without scoring.

    Args:
        unit: The picture and the methods.
        job: What is the same for all.
        picture: The input, if it has been decoded already.
    """
    files = _Files(unit.pair)
    made: list[Made] = []
    for method in unit.methods:
        made.append(None)
        if method.kind == "restorer":
            try:
                if _look_up(files, method, None, job)[2]:
                    made[-1] = _restore(picture or files.picture(unit.pair.input), method, job)
            except ModelError:
                raise
            except UnveilError as error:
                made[-1] = ImageError(str(error))  # a plain error travels between processes
    return tuple(made)


class _Files:
    """The two files of a pair: read once, decoded once, and only when needed."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._bytes: dict[Source, bytes] = {}
        self._pictures: dict[Source, Picture] = {}

    def data(self, source: Source) -> bytes:
        if source not in self._bytes:
            self._bytes[source] = source.read_bytes()
        return self._bytes[source]

    def sha256(self, source: Source | None) -> str:
        """Hash of the bytes; "" where there are none to be had."""
        try:
            return hashlib.sha256(self.data(source)).hexdigest() if source is not None else ""
        except ImageError:
            return ""

    def picture(self, source: Source) -> Picture:
        if source not in self._pictures:
            self._pictures[source] = read_picture(self.data(source), name=source.name)
        return self._pictures[source]


def _run_method(files: _Files, method: Method, result: Source | None, job: Job, made: Made = None) -> list[ScoreRow]:
    """Rows that the store does not have yet."""
    blank = _blank(files, method, job)
    try:
        blank, known, todo = _look_up(files, method, result, job)
        if not todo:
            return _under_this_name(known, blank)
        if isinstance(made, UnveilError):
            raise made
        output = made or _make(files, method, result, job)
    except ModelError:
        raise
    except UnveilError as error:
        return [replace(blank, error=str(error))]
    except MemoryError:
        reason = f"{files.pair.input.name} needs more memory than there is; make it smaller."
        return [replace(blank, error=reason)]
    return _measure(files, output, todo, blank, job) + _under_this_name(known, blank)


@lru_cache(maxsize=16)
def _hash_of(protocol: Protocol) -> str:
    """The protocol's hash, worked out once and not once a picture."""
    return protocol.hash


def _look_up(
    files: _Files, method: Method, result: Source | None, job: Job
) -> tuple[ScoreRow, list[ScoreRow], list[str]]:
    """A row to fill in, the rows that the store has, and the metrics that are to be computed."""
    blank = _blank(files, method, job)
    if method.kind == "restorer":
        weights = _weights_of(method.model, job.device)
        known = _known_rows(blank, job, weights_sha256=weights)
        blank = replace(blank, weights_sha256=weights or "")
    else:
        known = _known_rows(blank, job, output_sha256=files.sha256(_file_of(files.pair, method, result)))
    there = {row.metric for row in known}
    return blank, known, [name for name in job.metrics if name not in there]


def _make(files: _Files, method: Method, result: Source | None, job: Job) -> Output:
    if method.kind == "restorer":
        return _restore(files.picture(files.pair.input), method, job)
    return Output(files.picture(_file_of(files.pair, method, result)))


def _blank(files: _Files, method: Method, job: Job) -> ScoreRow:
    """A row with everything that is known before anything is computed."""
    return ScoreRow(
        image=files.pair.key,
        method=method.name,
        metric=WHOLE_PICTURE,
        error="not scored",
        protocol=job.protocol.name,
        protocol_hash=_hash_of(job.protocol),
        input_sha256=files.sha256(files.pair.input),
        reference_sha256=files.sha256(files.pair.reference),
        code_version=__version__,
        dataset=job.dataset,
    )


def _file_of(pair: Pair, method: Method, result: Source | None) -> Source:
    """The file to score, where it exists before the run."""
    if method.kind == "input":
        return pair.input
    if result is None:
        raise ImageError(f"The method {method.name!r} has no result for {pair.input.name}; add it.")
    return result


def _measure(files: _Files, output: Output, metrics: Sequence[str], blank: ScoreRow, job: Job) -> list[ScoreRow]:
    pair, picture = files.pair, output.picture
    blank = replace(
        blank,
        output_sha256=picture.sha256,
        weights_sha256=output.weights_sha256,
        device=output.device,
        height=picture.height,
        width=picture.width,
        seconds=output.seconds,
        peak_mib=output.peak_mib,
        input_pixels=output.input_pixels,
    )
    reference, problem = None, pair.problem
    if pair.reference is not None:
        try:
            reference = files.picture(pair.reference)
        except ImageError as error:
            problem = f"{BAD_REFERENCE}{error}"
    rows = []
    if reference is None:
        reason = problem or f"{pair.input.name} has no reference."
        rows = [replace(blank, metric=name, error=reason) for name in metrics if spec(name).needs_reference]
        metrics = [name for name in metrics if not spec(name).needs_reference]
    for measured in score(picture, reference, metrics, job.protocol, niqe_parameters=job.niqe_parameters):
        rows.append(
            replace(
                blank,
                metric=measured.metric,
                value=measured.value,
                error=measured.error,
                variant=measured.variant,
                score_seconds=measured.seconds,
            )
        )
    return rows


def _known_rows(blank: ScoreRow, job: Job, **content: str | None) -> list[ScoreRow]:
    """Rows of the same content, made by this version, under whatever name."""
    if job.store is None or not blank.input_sha256 or any(value is None for value in content.values()):
        return []
    rows = kept_store(job.store).find(
        input_sha256=blank.input_sha256,
        protocol_hash=blank.protocol_hash,
        method=blank.method,
        reference_sha256=blank.reference_sha256,
        code_version=blank.code_version,
        **{name: value for name, value in content.items() if value is not None},
    )
    wanted = {name: variant_of(name, job) for name in job.metrics}
    return [row for row in rows if row.error is None and wanted.get(row.metric) == row.variant]


def _under_this_name(known: Sequence[ScoreRow], blank: ScoreRow) -> list[ScoreRow]:
    """Rows that stand in the store under another picture's or set's name only, copied to this one's."""
    here = {row.metric for row in known if (row.image, row.dataset) == (blank.image, blank.dataset)}
    copies = {row.metric: replace(row, image=blank.image, dataset=blank.dataset) for row in known}
    return [row for metric, row in copies.items() if metric not in here]


def variant_of(metric: str, job: Job) -> str:
    """The variant that a score of this metric will carry."""
    if metric == "niqe":
        return job.niqe_parameters.variant if job.niqe_parameters is not None else ""
    if is_core(metric):
        return ""
    from eval.metrics import pyiqa_bridge

    return pyiqa_bridge.variant()


def _restore(picture: Picture, method: Method, job: Job) -> Output:
    """Make the picture. A model that fails in its own way is one failed picture, named with the model's own words."""
    from restorers.pipeline import restore_picture

    restored = restore_picture(kept_restorer(method.model, job.device), picture)
    pixels = np.ascontiguousarray(restored.pixels)
    pixels.flags.writeable = False
    return Output(
        picture=Picture(pixels, hash_pixels(pixels), picture.name),
        weights_sha256=restored.weights_sha256 or "",
        device=restored.device,
        seconds=restored.seconds,
        peak_mib=restored.peak_mib,
        input_pixels=picture.height * picture.width,
    )


def hash_pixels(pixels: np.ndarray) -> str:
    """Hash of a picture that is no file: over shape, type and pixel bytes."""
    head = f"{pixels.shape} {pixels.dtype.name}\n".encode()
    return hashlib.sha256(head + pixels.tobytes()).hexdigest()


def _weights_of(model: str, device: str) -> str | None:
    """Hash of a restorer's weights without building it where its card tells; "" without weights; None if unknown."""
    from restorers.registry import card, names

    if model in names():
        return card(model).weights_sha256 or ""
    return kept_restorer(model, device).weights_sha256


@lru_cache(maxsize=1)
def kept_restorer(model: str, device: str) -> Restorer:
    """The restorer a process is working with; the last one is let go when the next one comes.

    Raises:
        ModelError: It cannot be loaded: not one picture's fault, so it ends the run.
    """
    from restorers.hub import load

    try:
        return load(model, device=device)
    except UnveilError as error:
        raise ModelError(str(error)) from error


def check_model(model: str, device: str) -> None:
    """Load a model that is not built in, to learn before the run and not in it whether that works.

    Raises:
        ModelError: It does not.
    """
    from restorers.registry import names

    if model not in names():
        kept_restorer(model, device)


@lru_cache(maxsize=4)
def kept_store(path: str) -> Store:
    """The store a process looks things up in."""
    return Store(path)


def crashed(unit: Unit, job: Job) -> Outcome:
    """The outcome of a unit whose process died: a failed picture for each of its methods."""
    name = unit.pair.input.name
    reason = (
        f"The process died while scoring {name}, probably for lack of memory; make it smaller or use fewer workers."
    )
    files = _Files(unit.pair)
    rows = [replace(_blank(files, method, job), error=reason) for method in unit.methods]
    return Outcome(tuple(rows), found=0, failed=len(rows))
