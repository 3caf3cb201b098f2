"""What is ranked: the input itself, one of our restorers, a checkpoint, or results that somebody uploaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from errors import SetError, UnknownNameError, UsageError
from eval.archives import Limits
from eval.layouts import list_any
from eval.listing import Listing
from eval.pairing import Pair, cut
from eval.results import Results, match_results
from eval.sources import Source

INPUT = "input"


@dataclass(frozen=True)
class Method:
    """One line of the leaderboard.

    Attributes:
        name: As shown.
        kind: "input" scores the degraded pictures, "results" files that exist, "restorer" pictures made on the fly.
        model: What :func:`restorers.hub.load` understands, for restorers.
        listing: The files, for results.
    """

    name: str
    kind: Literal["input", "restorer", "results"]
    model: str = ""
    listing: Listing | None = field(default=None, repr=False)


def parse_methods(items: str | Iterable[str], limits: Limits | None = None) -> tuple[Method, ...]:
    """Methods from what a person types.

    Args:
        items: "input,dark_channel,AECR=results/aecr.zip": a comma-separated text, or several. An item is ``input``, a
            restorer of ours, a checkpoint (file, folder or Hub repository), or ``NAME=`` results or a checkpoint.
            A restorer's bare name is the restorer, whatever lies in the working directory; ``./dark_channel`` is a
            folder.
        limits: What archives of results may claim.

    Raises:
        UsageError: Nothing is named, a name comes twice, or an item is nothing that can be ranked.
        SetError: Results cannot be opened.
    """
    if isinstance(items, str):
        items = [items]
    methods = [parse_method(part.strip(), limits) for item in items for part in _parts(item) if part.strip()]
    if not methods:
        raise UsageError("No method is named; give for example --methods input,dark_channel.")
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"The method {name!r} is named twice; give one of them another name with NAME=….")
    return tuple(methods)


def _parts(text: str) -> Iterator[str]:
    """What commas separate; one inside the path of something that exists separates nothing."""
    parts = text.split(",")
    while parts:
        joined = [_split(",".join(parts[:count])) for count in range(1, len(parts) + 1)]
        ends = (end for end, (name, place) in enumerate(joined, 1) if "," not in name and os.path.exists(place))
        end = next(ends, 1)
        yield ",".join(parts[:end])
        del parts[:end]


def _split(item: str) -> tuple[str, str]:
    """Name and place of ``NAME=PLACE``; no name where none is given."""
    name, equals, place = item.partition("=")
    return (name.strip(), place.strip()) if equals else ("", item.strip())


def parse_method(item: str, limits: Limits | None = None) -> Method:
    """One method; see :func:`parse_methods`."""
    name, place = _split(item)
    if not place or ("=" in item and not name):
        raise UsageError(f"{item!r} is no method; write NAME=FOLDER, or the name of a restorer.")
    if place == INPUT:
        return Method(name or INPUT, "input")
    from restorers.hub import WEIGHT_SUFFIXES, is_local_path
    from restorers.registry import names as restorer_names

    if not name and place in restorer_names():
        return Method(place, "restorer", place)
    path = Path(place)
    if path.is_dir() and not _is_checkpoint_folder(path):
        return _results(name or path.name, place, limits)
    if path.is_file() and path.suffix.lower() not in WEIGHT_SUFFIXES:
        return _results(name or path.name.split(".")[0], place, limits)
    if path.exists():
        return Method(name or path.stem, "restorer", place)
    if place.startswith("hf://"):
        return _results(name or place.rstrip("/").rpartition("/")[2], place, limits)
    if place in restorer_names():
        return Method(name, "restorer", place)
    if is_local_path(place):
        raise SetError(f"There is nothing at {place!r} for the method {name or place!r}; check the path.")
    if "/" in place:  # a Hub repository; whether it exists is known when it is loaded
        return Method(name or place, "restorer", place)
    raise UnknownNameError("method", place, [INPUT, *restorer_names()])


def remarks(methods: Iterable[Method], pairs: Sequence[Pair] = (), most: int = 5) -> list[str]:
    """What to know about results, as sentences with the method's name.

    Args:
        methods: The methods.
        pairs: The pairs to score; with them, what was taken for results is said where that may surprise.
        most: Most sentences a method about files that were left out of its archive.
    """
    sentences = []
    for method in methods:
        if method.listing is not None:
            sentences += [f"{method.name}: {remark}" for remark in cut(method.listing.remarks, most)]
            sentences += [f"{method.name}: {remark}" for remark in _matched(method, pairs).remarks(pairs)]
    return sentences


def results_of(method: Method, pairs: Sequence[Pair]) -> Mapping[str, Source]:
    """Which uploaded file belongs to which pair, by name (see :func:`eval.results.match_results`): pair key to file.

    Raises:
        SetError: Not one of the files belongs to any pair.
    """
    if method.listing is None:
        return {}
    found = _matched(method, pairs).chosen
    if not found:
        raise SetError(
            f"No file of the method {method.name!r} (first: {method.listing.undivided[0].name}) is named like an input "
            f"(first: {pairs[0].input.name}); give the results the names of the inputs."
        )
    return found


def _matched(method: Method, pairs: Sequence[Pair]) -> Results:
    return match_results(method.name, method.listing.undivided if method.listing else (), pairs)


def _results(name: str, place: str, limits: Limits | None) -> Method:
    listing = list_any(place, limits)
    if not listing.undivided:
        reason = f" ({listing.remarks[0]})" if listing.remarks else ""
        raise SetError(f"The results of {name!r} at {place!r} hold no pictures{reason}; check the path.")
    return Method(name, "results", listing=listing)


def _is_checkpoint_folder(path: Path) -> bool:
    return (path / "config.json").is_file() or any(path.glob("*.safetensors"))
