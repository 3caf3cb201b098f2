"""What a job's set and its uploaded results are called on the server's leaderboard.

The board holds one row a set, picture, method and metric, and a row that is written again replaces the older one. So a
title that the board has for other pictures, and a name that it has for other results, get a number: whoever comes
second replaces nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count

from errors import ImageError, SetError
from eval.methods import Method, results_of
from eval.pairing import Pair
from eval.sources import Source
from eval.store import Store

Contents = set[tuple[str, str]]
"""Picture's key and hash of a file."""


def board_name(board: Store, title: str, pairs: Sequence[Pair]) -> str:
    """The title, with a number where the board has other pictures of that name: two sets never share a table."""

    def held(name: str) -> Contents:
        return {(row.image, row.input_sha256) for row in board.rows(dataset=name) if row.input_sha256}

    names = chain([title], (f"{title} ({number})" for number in count(2)))
    return _first_free(names, held, lambda: _contents((pair.key, pair.input) for pair in pairs))


def result_names(board: Store, dataset: str, methods: Sequence[Method], pairs: Sequence[Pair]) -> dict[str, str]:
    """Uploaded results that the board cannot take under their own name, because other results have it, to a free one.

    Args:
        board: The server's rows.
        dataset: Name of the set on the board.
        methods: The job's methods.
        pairs: The job's pictures.
    """

    def held(name: str) -> Contents:
        return {(row.image, row.output_sha256) for row in board.rows(dataset=dataset, method=name) if row.output_sha256}

    taken = {method.name for method in methods}
    renamed = {}
    for method in methods:
        if method.kind == "results":
            try:
                files = results_of(method, pairs)
            except SetError:  # each of its rows will say so
                files = {}
            others = (f"{method.name}-{number}" for number in count(2))
            names = chain([method.name], (name for name in others if name not in taken))
            name = _first_free(names, held, lambda files=files: _contents(files.items()))
            if name != method.name:
                taken.add(name)
                renamed[method.name] = name
    return renamed


def _first_free(names: Iterator[str], held: Callable[[str], Contents], own: Callable[[], Contents]) -> str:
    """The first name that holds nothing yet, or of the pictures in question nothing but our own."""
    mine: Contents = set()
    for name in names:
        there = held(name)
        if not there:
            break
        mine = mine or own()
        keys = {key for key, _ in mine}
        common = {content for content in there if content[0] in keys}
        if common and common <= mine:
            break
    return name


def _contents(sources: Iterable[tuple[str, Source]]) -> Contents:
    """Key and hash of every file that can be read."""
    found = set()
    for key, source in sources:
        with contextlib.suppress(ImageError):  # it becomes a row with the reason
            found.add((key, hashlib.sha256(source.read_bytes()).hexdigest()))
    return found
