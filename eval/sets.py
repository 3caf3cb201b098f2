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
from eval.layouts import list_any
from eval.listing import Listing
from eval.pairing import NameIndex, Pair, PairingReport, composed, keys_of, pair_by_name
from eval.sources import Source, same_bytes
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
    if other is not None and not other.as_references:
        raise SetError(_nothing_in(other))
    if pairing.startswith("csv:"):
        pairs, report = _pair_by_table(listing, other, Path(pairing[len("csv:") :]))
    elif other is not None:
        pairs, report = _pair_two_places(listing, other, pairing)
    elif listing.references is not None:
        pairs, report = _paired_already(listing)
    elif listing.other_side:
        pairs, report = pair_by_name(listing.inputs, listing.other_side, pairing)
    else:
        pairs, report = _unpaired(listing.inputs)
    if other is None:
        told = [reference for reference in listing.references or () if reference is not None]
        report = replace(report, passed_over=listing.passed_over(listing.inputs, listing.other_side, told))
    left_out = listing.remarks + (other.remarks if other is not None else ())
    hold = tuple(part.hold for part in (listing, other) if part is not None and part.hold is not None)
    opened = ImageSet(listing.name, tuple(pairs), replace(report, left_out=left_out), hold)
    return opened.inspected() if inspect else opened


def _nothing_in(listing: Listing) -> str:
    reason = f" ({listing.remarks[0]})" if listing.remarks else ""
    return f"{listing.name} holds no pictures{reason}; PNG, JPEG, WebP, TIFF, BMP, PPM and PGM files are read."


def _pair_two_places(listing: Listing, other: Listing, pairing: str) -> tuple[list[Pair], PairingReport]:
    """One place a side: all that lies there, or the side of that name where it pairs more.

    Of equals, all where both places are divided alike; where one of them is divided, it holds a whole set.
    """
    whole = listing.undivided if listing.other_side else listing.inputs, other.undivided
    sides = listing.inputs, other.as_references
    if other.references is not None:
        whole = whole[0], sides[1]
    found, problem = [], None
    for way in dict.fromkeys((whole, sides) if listing.other_side and other.other_side else (sides, whole)):
        try:
            found.append((way, *pair_by_name(*way, pairing)))
        except SetError as error:
            problem = problem or error
    if problem and not found:
        raise SetError(" ".join((str(problem), *(listing.remarks + other.remarks)[:1]))) from problem
    way, pairs, report = max(found, key=lambda item: item[2].paired)  # the first of equals
    if way == whole and _holds_both(pairs, listing, other):
        way, pairs, report = next((item for item in found if item[0] == sides), (way, pairs, report))
    passed = listing.passed_over(way[0]) + other.passed_over(way[1], other.inputs if other.references else ())
    return pairs, replace(report, passed_over=passed)


def _holds_both(pairs: Sequence[Pair], listing: Listing, other: Listing) -> bool:
    """Whether a picture met itself: a reference beside the inputs, or an input beside the references."""
    wrong_side = {*listing.other_side, *(other.inputs if other.other_side else ())}
    crossed = (pair for pair in pairs if pair.reference and (pair.input in wrong_side or pair.reference in wrong_side))
    first = next(crossed, None)
    return first is not None and first.reference is not None and same_bytes(first.input, first.reference)


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
    inputs = _by_name(listing.undivided, listing.inputs)
    references = _by_name(other.undivided, other.as_references)
    first: list[Source] = []
    second: list[Source | None] = []
    for input_name, reference_name in read_pair_table(table):
        first.append(_named(input_name, inputs, table, listing))
        second.append(_named(reference_name, references, table, other) if reference_name else None)
    named = replace(listing, inputs=tuple(first), references=tuple(second), keys=None, how=f"by {table.name}")
    pairs, report = _paired_already(named)
    left = {source.name for source in other.as_references} - {source.name for source in second if source is not None}
    passed = replace(listing, whole=listing.undivided, lacking=f"without a line in {table.name}").passed_over(first)
    return pairs, replace(report, references=len(other.as_references), unused=tuple(sorted(left)), passed_over=passed)


def _named(name: str, known: NameIndex, table: Path, side: Listing) -> Source:
    source = known.get(name)
    if source is None:
        raise SetError(f"{table.name} names {name!r}, which is not in {side.name}; correct the table.")
    return source


def _by_name(*groups: Sequence[Source]) -> NameIndex:
    """Full names and, where they are unique in a group, bare file names; the last group goes before the others."""
    known: dict[str, Source] = {}
    for sources in groups:
        bare: dict[str, list[Source]] = {}
        for source in sources:
            bare.setdefault(composed(source.name.rpartition("/")[2]), []).append(source)
        known |= {name: found[0] for name, found in bare.items() if len(found) == 1}
        known |= {source.name: source for source in sources}
    return NameIndex.of(known)
