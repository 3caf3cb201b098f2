"""One score is one row: a value or an error, and everything needed to trace it.

``COLUMNS`` is the order of the columns everywhere. The last four (``TIMING_COLUMNS``) say how long the work took, and
on how much; that changes from run to run, so they stay in the store and out of the written row files: a resumed, a
merged and a plain run write the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

WHOLE_PICTURE = ""
"""The ``metric`` of an error that is not one metric's: the picture could not be read, restored or paired."""

BAD_REFERENCE = "The reference cannot be used: "
"""How the error begins where the set has a reference that cannot be read; no method is to blame."""


@dataclass(frozen=True)
class ScoreRow:
    """One measurement of one picture by one method under one protocol.

    Attributes:
        dataset: Name of the set, chosen by the user; "" where only one set is in play.
        image: Key of the picture in its set: its path without the folders all share and without suffix.
        method: Name of the method as the user wrote it.
        metric: Metric name; ``WHOLE_PICTURE`` ("") for an error that leaves no metric with a value.
        value: The score, or None where ``error`` says why there is none. Infinite is a value (PSNR of equal pictures).
        error: One readable sentence, or None.
        variant: Which implementation or parameters where one metric has several ("niqe-live@1a2b3c4d"), else "".
        protocol: Protocol name.
        protocol_hash: 12 hex digits over every field of the protocol.
        input_sha256: Hash of the degraded picture's file bytes.
        output_sha256: Hash of the scored picture: file bytes for uploaded results; shape, type and pixel bytes for
            pictures restored in memory.
        reference_sha256: Hash of the reference's file bytes; "" without reference.
        weights_sha256: Hash of the restorer's weights; "" without weights.
        code_version: Version of this project that computed the value.
        device: Where the restorer ran ("cpu", "cuda"); "" where nothing was restored.
        height: Rows of the scored picture; None when it could not be read.
        width: Columns of the scored picture.
        seconds: Time the method took on this picture; None where nothing was restored.
        score_seconds: Time this metric took.
        peak_mib: Most memory in use while restoring, where known: of tensors on a GPU, of the whole process on a CPU.
        input_pixels: Pixels of the degraded picture that ``seconds`` were spent on; None where nothing was restored.
    """

    image: str
    method: str
    metric: str
    value: float | None = None
    error: str | None = None
    variant: str = ""
    protocol: str = ""
    protocol_hash: str = ""
    input_sha256: str = ""
    output_sha256: str = ""
    reference_sha256: str = ""
    weights_sha256: str = ""
    code_version: str = ""
    device: str = ""
    dataset: str = ""
    height: int | None = None
    width: int | None = None
    seconds: float | None = None
    score_seconds: float | None = None
    peak_mib: float | None = None
    input_pixels: int | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.error is None):
            raise ValueError("a row holds a value or an error, exactly one of them")
        if self.value is not None and math.isnan(self.value):
            raise ValueError("NaN is not a score; give an error that says why there is none")


COLUMNS = tuple(field.name for field in fields(ScoreRow))
TIMING_COLUMNS = ("seconds", "score_seconds", "peak_mib", "input_pixels")
FILE_COLUMNS = tuple(name for name in COLUMNS if name not in TIMING_COLUMNS)
"""Columns of row files: everything that is the same when the work is done again."""

KEY_COLUMNS = (
    "dataset",
    "image",
    "method",
    "metric",
    "variant",
    "protocol_hash",
    "input_sha256",
    "reference_sha256",
    "weights_sha256",
)
"""What makes a row the same row. Doing the work again replaces it; anything else stands beside it."""

WHOLE_COLUMNS = ("height", "width", "input_pixels")
"""Columns of whole numbers."""

TEXT_COLUMNS = tuple(
    name for name in COLUMNS if name not in ("value", "error", *WHOLE_COLUMNS) and name not in TIMING_COLUMNS
)


def sort_key(row: ScoreRow) -> tuple[str, ...]:
    """The order of rows in every file: by key, plain code point order, no locale."""
    return tuple(getattr(row, name) for name in KEY_COLUMNS)


def in_json(value: float | None) -> float | str | None:
    """A score as JSON can hold it: infinities are the texts "inf" and "-inf"."""
    return value if value is None or math.isfinite(value) else ("inf" if value > 0 else "-inf")


def to_frame(rows: Iterable[ScoreRow]) -> pandas.DataFrame:
    """Rows as a table with the columns ``COLUMNS``, in the order given."""
    import pandas

    return typed(pandas.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS)))


def from_frame(frame: pandas.DataFrame) -> list[ScoreRow]:
    """Rows of a table; columns it lacks take their defaults, columns that are not ours are left out.

    Raises:
        StoreError: A line has neither a value nor an error, or the table has no image, method or metric column.
    """
    from errors import StoreError

    missing = {"image", "method", "metric"} - set(frame.columns)
    if missing:
        raise StoreError(f"These are not score rows: column {sorted(missing)[0]!r} is missing.")
    names = [name for name in COLUMNS if name in frame.columns]
    rows = []
    for line, values in enumerate(zip(*(frame[name].tolist() for name in names), strict=True)):
        record = {name: _plain(name, value) for name, value in zip(names, values, strict=True)}
        try:
            rows.append(ScoreRow(**record))
        except ValueError as error:
            raise StoreError(f"Row {line + 1} cannot be used: {error}.") from error
    return rows


def typed(frame: pandas.DataFrame) -> pandas.DataFrame:
    """The same table with one type per column, also when it is empty."""
    frame = frame.copy()
    for name in frame.columns:
        if name in TEXT_COLUMNS:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
        elif name == "error":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        elif name in WHOLE_COLUMNS:
            frame[name] = frame[name].astype("Int64")
        elif name in COLUMNS:
            frame[name] = frame[name].astype("float64")
    return frame


def _plain(name: str, value: Any) -> Any:
    """A cell of a table as the Python value the row holds."""
    absent = value is None or type(value).__name__ == "NAType" or value != value  # in this order: NA != NA is no bool
    if name in TEXT_COLUMNS:
        return "" if absent else str(value)
    if absent or (name == "error" and value == ""):
        return None
    if name == "error":
        return str(value)
    return int(value) if name in WHOLE_COLUMNS else float(value)
