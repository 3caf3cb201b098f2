"""A look at every file of a set before anything is scored, cheap enough to always take.

Sizes come from the heads of the files. Duplicates are searched among files that have the same length (and, in a zip,
the same checksum) only, so most sets are compared without reading a single file whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from errors import ImageError
from eval.pairing import Pair, PairingReport
from eval.sources import Source


def inspect(pairs: Sequence[Pair], report: PairingReport) -> PairingReport:
    """The report with sizes and duplicates filled in.

    Args:
        pairs: The pairs of the set.
        report: What is known about them by name.
    """
    sizes, scale = compare_sizes(pairs)
    files = {source.name + side: source for pair in pairs for side, source in _sides(pair)}
    return replace(report, sizes=sizes, scale=scale, duplicates=find_duplicates(files), inspected=True)


def compare_sizes(pairs: Iterable[Pair]) -> tuple[tuple[str, ...], int]:
    """Sentences about pairs whose sizes differ and about files that are no pictures; and the scale of the set.

    A set whose references are all the same whole number of times larger than the inputs is a super-resolution set:
    that number is the scale, and the sizes are as they should be.
    """
    unreadable: list[str] = []
    differing: list[str] = []
    factors: set[float] = set()
    for pair in pairs:
        try:
            height, width = pair.input.picture_size()
            if pair.reference is None:
                continue
            tall, wide = pair.reference.picture_size()
        except ImageError as error:
            unreadable.append(str(error))
            continue
        same_factor = tall * width == wide * height and tall % height == 0
        factors.add(tall // height if same_factor else 0)
        if (height, width) != (tall, wide):
            differing.append(
                f"{pair.input.name} is {width}x{height} but its reference {pair.reference.name} is {wide}x{tall}."
            )
    if len(factors) == 1 and (factor := int(factors.pop())) > 1:
        return tuple(unreadable), factor
    return tuple(unreadable + differing), 1


def find_duplicates(files: dict[str, Source]) -> tuple[tuple[str, ...], ...]:
    """Groups of names whose bytes are equal, each in the order given."""
    alike: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, source in files.items():
        alike[source.fingerprint()].append(name)
    groups: dict[str, list[str]] = defaultdict(list)
    for names in alike.values():
        for name in names if len(names) > 1 else ():
            try:
                groups[hashlib.sha256(files[name].read_bytes()).hexdigest()].append(name)
            except ImageError:
                continue  # its own row will say so
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _sides(pair: Pair) -> list[tuple[str, Source]]:
    if pair.reference is None:
        return [("", pair.input)]
    return [("", pair.input), (" (reference)", pair.reference)]
