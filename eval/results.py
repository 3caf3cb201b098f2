"""Which file that somebody brought is a method's result for which picture.

Folders of results often hold more than results, and test scripts lengthen names: ``000_pred.png`` beside
``000_gt.png``. Inputs and references among the files are never taken for results, and what was taken can be said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from eval.pairing import RULES, Pair, Rule, composed, match, stem_of, strip_output_word, without_common_folder
from eval.sources import Source, same_bytes
from eval.tables import side_of
from eval.wording import counted, some

_SEPARATOR = re.compile(r"[_\-. ]")


@dataclass(frozen=True)
class Results:
    """What was taken for results.

    Attributes:
        chosen: The file of each picture, by the key of its pair.
        left_out: Names of the files that belong to no picture.
        same_name: Whether every result is called like its input.
    """

    chosen: Mapping[str, Source]
    left_out: tuple[str, ...]
    same_name: bool

    def remarks(self, pairs: Sequence[Pair], most: int = 3) -> list[str]:
        """Sentences about what may surprise: files of other names, files left out, files that are no results.

        Args:
            pairs: The pairs that the results were matched with.
            most: Most names in a list.
        """
        used = {pair: self.chosen[pair.key] for pair in pairs if pair.key in self.chosen}
        sentences: list[str] = []
        if not used:
            return sentences
        if self.left_out or not self.same_name:
            total = counted(len(used) + len(self.left_out), "file")
            examples = [f"{source.name} for {pair.input.name}" for pair, source in used.items()]
            sentence = f"{len(used):,} of {total} used ({some(examples, most)})"
            left = f"; {len(self.left_out):,} left out: {some(self.left_out, most)}" if self.left_out else ""
            sentences.append(f"{sentence}{left}.")
        copies = [source.name for pair, source in used.items() if pair.reference and same_bytes(source, pair.reference)]
        if copies:
            sentences.append(
                f"{len(copies):,} of {len(used):,} results have the very bytes of their references "
                f"({some(copies, most)}); check that results and references were not mixed up."
            )
        if all(same_bytes(source, pair.input) for pair, source in used.items()):
            sentences.append("Every result has the very bytes of its input; check that these are results.")
        return sentences


def match_results(name: str, files: Sequence[Source], pairs: Sequence[Pair]) -> Results:
    """Match files with pictures by name.

    A result is called like its input. Where not all are, the pairing rules are tried, on the names as they are, then
    without a last word such as ``_pred`` or the method's name, then without endings that all files share; the first
    that matches most is taken. One file is never the result of two inputs. One file alone is the result of one input.

    Args:
        name: The method's name.
        files: The files.
        pairs: The pairs of the set.

    Returns:
        What was taken; nothing is chosen where no file matches.
    """
    inputs = [pair.input for pair in pairs]
    others = _inputs_and_references(files, inputs, name)
    candidates = [source for source in files if source not in others]
    best: dict[str, Source] = {}
    for rule in _rules(candidates, name):
        found = match(inputs, candidates, rule)
        claims = Counter(index for indexes in found for index in indexes)
        chosen = {
            pair.key: candidates[indexes[0]]
            for pair, indexes in zip(pairs, found, strict=True)
            if len(indexes) == 1 and claims[indexes[0]] == 1
        }
        if len(chosen) > len(best):
            best = chosen
        if len(best) == len(pairs):
            break
    if not best and len(candidates) == len(pairs) == 1:
        best = {pairs[0].key: candidates[0]}
    same_name = all(_bare(best[pair.key]) == _bare(pair.input) for pair in pairs if pair.key in best)
    taken = set(best.values())
    return Results(best, tuple(source.name for source in files if source not in taken), same_name)


def _rules(files: Sequence[Source], name: str) -> Iterator[Rule]:
    """Every pairing rule under every way to read the stem of a result, the simplest first."""
    for read in _readings(files, name):
        for rule in RULES:
            yield replace(rule, reference_word=lambda stem, read=read, word=rule.reference_word: word(read(stem)))


def _readings(files: Sequence[Source], name: str) -> Iterator[Callable[[str], str]]:
    """Ways to read the stem of a result, the simplest first."""
    yield lambda stem: stem
    yield lambda stem: _strip(stem, name)
    for ending in _shared_endings([_bare(source) for source in files]):
        yield lambda stem, ending=ending: stem.removesuffix(ending)


def _strip(stem: str, name: str) -> str:
    """Without the method's name at the end, or a word that says that it is a result."""
    head = stem[: -len(name) - 1]
    if head and stem.lower().endswith(name.lower()) and _SEPARATOR.match(stem[len(head)]):
        return head
    return strip_output_word(stem)


def _shared_endings(stems: Sequence[str]) -> list[str]:
    """Endings from a separator on that all stems share and that leave something of each, the shortest first."""
    if len(stems) < 2:
        return []
    first = stems[0]
    endings = [first[found.start() :] for found in _SEPARATOR.finditer(first) if found.start()]
    return [
        ending
        for ending in reversed(endings)
        if all(stem.endswith(ending) and len(stem) > len(ending) for stem in stems)
    ]


def _inputs_and_references(files: Sequence[Source], inputs: Sequence[Source], name: str) -> set[Source]:
    """Files that a name or a folder calls an input or a reference, where another of that name is not called so.

    One that is called like an input of the set may well be its result, unless a sibling says that it is the result:
    ``01_low`` may have been made from ``01_low``, but not beside ``01_output``.
    """
    asked = {_bare(source) for source in inputs}
    paths = [composed(source.name) for source in inputs]
    places = {stem_of(path) for path in (*paths, *without_common_folder(paths))}
    plain: Counter[str] = Counter()  # beginnings of the files that are called neither
    outputs = set()
    sided: list[tuple[Source, str, str, bool]] = []
    for source in files:
        path = PurePosixPath(composed(source.name))
        stem = stem_of(path.name)
        base, _, ending = _last_word(stem)
        folder = "/".join(part for part in path.parts[:-1] if not side_of(part) and not _is_output(part, name))
        if side_of(ending):
            sided.append((source, f"{folder}/{base}", f"{folder}/{stem}", stem in asked))
        elif any(side_of(part) for part in path.parts[:-1]):
            own = f"{folder}/{stem}"
            sided.append((source, own, own, stem_of(path.as_posix()) in places))
        else:
            plain.update(f"{folder}/{beginning}" for beginning in _beginnings(stem))
            if stem not in asked:
                outputs.add(f"{folder}/{_strip(stem, name)}")
    found = set()
    for source, base, own, is_asked in sided:
        beside = plain[base] - (plain[own] if own != base else 0)
        if base in outputs or (beside and not is_asked):
            found.add(source)
    return found


def _last_word(stem: str) -> tuple[str, str, str]:
    """The stem in front of its last separator, the separator, and the word behind it; no word where there is none."""
    marks = [found.start() for found in _SEPARATOR.finditer(stem) if found.start()]
    return (stem[: marks[-1]], stem[marks[-1]], stem[marks[-1] + 1 :]) if marks else (stem, "", "")


def _beginnings(stem: str) -> Iterator[str]:
    yield from (stem[: found.start()] for found in _SEPARATOR.finditer(stem) if found.start())
    yield stem


def _is_output(folder: str, name: str) -> bool:
    return folder.lower() == name.lower() or strip_output_word(f"x_{folder}") == "x"


def _bare(source: Source) -> str:
    return stem_of(composed(source.name).rpartition("/")[2])
