"""The files of a place before anything is paired, and how one place is divided into inputs and references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from eval.pairing import without_common_folder
from eval.sources import Source
from eval.tables import side_of
from eval.wording import counted


@dataclass(frozen=True)
class Listing:
    """The files of a set before anything is paired.

    Attributes:
        name: Short name of the place.
        inputs: The degraded pictures, or all pictures where nothing says which side they are on.
        references: One entry per input where the set itself says what pairs; else None.
        other_side: References that still have to be paired by name.
        whole: All pictures of the place where ``inputs`` and ``other_side`` are a choice among them; else empty.
        keys: Names of the pairs where the set has some; else None.
        how: What says what pairs, for the report ("by metadata.csv").
        lacking: What pictures lack that were not chosen, for the report ("without a line in metadata.csv").
        remarks: Sentences about what was left out.
        hold: A temporary folder the sources point into.
    """

    name: str
    inputs: tuple[Source, ...]
    references: tuple[Source | None, ...] | None = None
    other_side: tuple[Source, ...] = ()
    whole: tuple[Source, ...] = ()
    keys: tuple[str, ...] | None = None
    how: str = ""
    lacking: str = ""
    remarks: tuple[str, ...] = ()
    hold: object | None = None

    @property
    def undivided(self) -> tuple[Source, ...]:
        """The pictures when the place is one side by itself: all of them, unless a table tells inputs and references.

        A table that names no references says nothing about pictures that are references or results.
        """
        return self.inputs if self.references is not None else self.whole or self.inputs

    @property
    def as_references(self) -> tuple[Source, ...]:
        """The side with the references when the place was given as the references."""
        told = tuple(dict.fromkeys(source for source in self.references or () if source is not None))
        return told or self.other_side or self.undivided

    def passed_over(self, *used: Sequence[Source]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What of the place is on none of these sides, for :attr:`eval.pairing.PairingReport.passed_over`."""
        known = {source for side in used for source in side}
        names = tuple(source.name for source in self.whole or self.inputs if source not in known)
        if not names:
            return ()
        why = self.lacking or "on the other side by name"
        return ((f"{counted(len(names), 'picture')} of {self.name} left out, {why}", names),)


def two_sides(listing: Listing) -> Listing:
    """Both sides in one place: folders ``hazy`` and ``gt``, or names ``01_hazy`` and ``01_GT``, and nothing else."""
    paths = without_common_folder([source.name for source in listing.inputs])
    for find in (_side_by_folder, _side_by_ending):
        sides = [find(path) for path in paths]
        if set(sides) == {"input", "reference"}:
            pick = {
                side: tuple(s for s, its in zip(listing.inputs, sides, strict=True) if its == side) for side in sides
            }
            return replace(listing, inputs=pick["input"], other_side=pick["reference"], whole=listing.inputs)
    return listing


def _side_by_folder(path: str) -> str | None:
    return next((side for part in PurePosixPath(path).parts[:-1] if (side := side_of(part))), None)


def _side_by_ending(path: str) -> str | None:
    head, mark, ending = PurePosixPath(path).stem.rpartition("_")
    return side_of(ending) if head and mark else None
