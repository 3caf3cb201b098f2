"""Any set of pictures as one list of pairs: folder, zip, list of files, table of pairs, tar, Parquet, Hub data set.

:func:`open_set` looks at names and directories only. Pixels stay where they are until a scorer asks a pair for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errors import SetError, UsageError
from eval.archives import Limits
from eval.inspection import inspect as look_at
from eval.layouts import Listing, list_any
from eval.pairing import NameIndex, Pair, PairingReport, composed, keys_of, pair_by_name
from eval.sources import Source
from eval.tables import read_pair_table

Location = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class ImageSet:
    """A set that is ready to be scored.

    Attributes:
        name: Short name of where it came from.
        pairs: The pairs in the set's own order.
        report: What paired and what did not.
        hold: Keeps temporary files alive as long as the set is.
    """

    name: str
    pairs: tuple[Pair, ...]
    report: PairingReport
    hold: tuple[object, ...] = ()

    @property
    def has_references(self) -> bool:
        """Whether any pair has a reference."""
        return any(pair.reference is not None for pair in self.pairs)

    def shard(self, index: int, count: int) -> ImageSet:
        """Every ``count``-th pair, starting at ``index``: the same split on every machine."""
        return replace(self, pairs=self.pairs[index::count])

    def inspected(self) -> ImageSet:
        """The same set, its report with sizes and duplicates filled in."""
        return self if self.report.inspected else replace(self, report=look_at(self.pairs, self.report))


def open_set(
    input: Location,
    reference: Location | None = None,
    *,
    pairing: str = "auto",
    limits: Limits | None = None,
    inspect: bool = False,
) -> ImageSet:
    """Open a set of pictures, with or without references.

    Args:
        input: A folder, zip, tar, Parquet file, text file with one path a line, CSV with a column of inputs and one of
            references, ``hf://datasets/ORG/NAME[@REVISION][/FOLDER]``, one picture, or a sequence of paths.
        reference: The same, for the references. Without it, references are taken from ``input`` where that says what
            pairs: a table, ``metadata.csv`` with ``*_file_name`` columns, tar fields, image columns, two folders such
            as ``hazy`` and ``gt``.
        pairing: Name of a rule of :mod:`eval.pairing`, "auto", or "csv:FILE" with a table of file names.
        limits: What archives may claim.
        inspect: Whether the report shall also compare sizes and contents.

    Returns:
        The set. Unpaired and unreadable pictures are in it, with the reason.

    Raises:
        SetError: The place cannot be opened, or holds no pictures, or nothing pairs.
        UsageError: The pairing is unknown.

    Example:
        >>> from eval.sets import open_set  # doctest: +SKIP
        >>> print(open_set("hazy.zip", "clear/").report.sentence)  # doctest: +SKIP
        20 of 20 inputs paired with 20 references by the rule 'same-name' (equal names).
    """
    listing = list_any(input, limits)
    other = list_any(reference, limits) if reference is not None else None
    if not listing.inputs:
        raise SetError(_nothing_in(listing))
    if other is not None and not other.inputs:
        raise SetError(_nothing_in(other))
    if pairing.startswith("csv:"):
        pairs, report = _pair_by_table(listing, other, Path(pairing[len("csv:") :]))
    elif other is not None:
        pairs, report = pair_by_name(listing.inputs, other.as_references, pairing)
    elif listing.references is not None:
        pairs, report = _paired_already(listing)
    elif listing.other_side:
        pairs, report = pair_by_name(listing.inputs, listing.other_side, pairing)
    else:
        pairs, report = _unpaired(listing.inputs)
    left_out = listing.remarks + (other.remarks if other is not None else ())
    hold = tuple(part.hold for part in (listing, other) if part is not None and part.hold is not None)
    opened = ImageSet(listing.name, tuple(pairs), replace(report, left_out=left_out), hold)
    return opened.inspected() if inspect else opened


def _nothing_in(listing: Listing) -> str:
    reason = f" ({listing.remarks[0]})" if listing.remarks else ""
    return f"{listing.name} holds no pictures{reason}; PNG, JPEG, WebP, TIFF and BMP files are read."


def _unpaired(sources: Sequence[Source]) -> tuple[list[Pair], PairingReport]:
    keys = keys_of([source.name for source in sources])
    pairs = [Pair(key, source) for key, source in zip(keys, sources, strict=True)]
    return pairs, PairingReport("none", "no references", len(pairs), 0, 0)


def _paired_already(listing: Listing) -> tuple[list[Pair], PairingReport]:
    """The set itself says what pairs."""
    references = listing.references or ()
    pairs, missing = [], []
    keys = listing.keys or keys_of([source.name for source in listing.inputs])
    for key, source, reference in zip(keys, listing.inputs, references, strict=True):
        problem = None
        if reference is None:
            missing.append(source.name)
            problem = f"{source.name} has no reference in {listing.name}; add it."
        pairs.append(Pair(key, source, reference, problem))
    found = [reference for reference in references if reference is not None]
    report = PairingReport(
        rule="explicit",
        title=listing.how,
        inputs=len(pairs),
        references=len(set(found)),
        paired=len(found),
        missing=tuple(missing),
    )
    return pairs, report


def _pair_by_table(listing: Listing, other: Listing | None, table: Path) -> tuple[list[Pair], PairingReport]:
    """File names in a table, looked up among the files of the set."""
    if other is None:
        raise UsageError("A table of pairs needs both sides: give --reference as well.")
    inputs, references = _by_name(listing.inputs), _by_name(other.as_references)
    first: list[Source] = []
    second: list[Source | None] = []
    for input_name, reference_name in read_pair_table(table):
        first.append(_named(input_name, inputs, table, listing))
        second.append(_named(reference_name, references, table, other) if reference_name else None)
    named = replace(listing, inputs=tuple(first), references=tuple(second), keys=None, how=f"by {table.name}")
    pairs, report = _paired_already(named)
    left = {source.name for source in other.as_references} - {source.name for source in second if source is not None}
    return pairs, replace(report, references=len(other.as_references), unused=tuple(sorted(left)))


def _named(name: str, known: NameIndex, table: Path, side: Listing) -> Source:
    source = known.get(name)
    if source is None:
        raise SetError(f"{table.name} names {name!r}, which is not in {side.name}; correct the table.")
    return source


def _by_name(sources: Sequence[Source]) -> NameIndex:
    """Full names and, where they are unique, bare file names."""
    by_name = {source.name: source for source in sources}
    bare: dict[str, list[Source]] = {}
    for source in sources:
        bare.setdefault(composed(source.name.rpartition("/")[2]), []).append(source)
    return NameIndex.of({name: found[0] for name, found in bare.items() if len(found) == 1} | by_name)
