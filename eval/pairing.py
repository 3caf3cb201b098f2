"""Which reference belongs to which input: by name, by a rule that has a name, never by position.

A rule turns the stem of an input and the stem of a reference into the same word. ``auto`` tries every rule and takes
the one that pairs most; the report says which one that was, what it left over, and why.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from errors import SetError, UnknownNameError
from eval.sources import Source
from eval.wording import counted, some


@dataclass(frozen=True)
class Rule:
    """A naming convention.

    Attributes:
        name: What the user types.
        title: What it does, for people.
        input_word: Stem of an input (no folder, no suffix) to the word that pairs.
        reference_word: Stem of a reference to the word that pairs.
    """

    name: str
    title: str
    input_word: Callable[[str], str]
    reference_word: Callable[[str], str]


def _same(stem: str) -> str:
    return stem


def _without(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda stem: compiled.sub("", stem) or stem


_NTIRE = _without(
    r"[_\-. ](hazy|haze|foggy|gt|clear|clean|low|high|lq|hq|input|target|reference|ref|noisy|rainy|blur|sharp)$"
)
strip_output_word = _without(
    r"[_\-. ](pred|predicted|prediction|out|output|result|results|restored|enhanced|dehazed|denoised|derained|deblurred"
    r"|generated|estimate|estimated|fake|fake[_\-]b)$"
)
"""The stem of a result without a last word that says that it is one: ``000_pred`` is the result of ``000``."""

_LOL = _without(r"^(low|normal|high)[_\-]?")
_SR = _without(r"[_\-]?(srf[_\-]?[2348]|x[2348])([_\-]?(lr|hr|sr|bicubic|lrbi|gt))?$|[_\-](lr|hr|sr)$")

RULES = (
    Rule("same-name", "equal names", _same, _same),
    Rule("reside", "RESIDE: 0001_0.8_0.2 pairs with 0001", _without(r"(_[0-9]*\.?[0-9]+){1,2}$"), _same),
    Rule("lol", "LOL: low00001 pairs with normal00001 or high00001", _LOL, _LOL),
    Rule("ntire", "NTIRE: 01_hazy pairs with 01_GT", _NTIRE, _NTIRE),
    Rule("sr", "super-resolution: 0801x4 pairs with 0801", _SR, _SR),
)  # fmt: skip


def names() -> list[str]:
    """What ``pairing`` may be; ``csv:FILE`` names a table of pairs instead."""
    return ["auto", *(rule.name for rule in RULES), "csv:FILE"]


@dataclass(frozen=True)
class Pair:
    """One picture of a set and what it should have been.

    Attributes:
        key: Name of the pair, the ``image`` of its rows.
        input: The degraded picture.
        reference: The clear one, if there is one.
        problem: Why a set with references has none here, as a sentence; else None.
    """

    key: str
    input: Source
    reference: Source | None = None
    problem: str | None = None


@dataclass(frozen=True)
class PairingReport:
    """What was paired and what was not, before anything is scored.

    Attributes:
        rule: Name of the rule that was used; "explicit" where the set itself says what pairs; "none" without one.
        title: The rule in words.
        inputs: How many inputs.
        references: How many references.
        paired: How many inputs have exactly one reference.
        tried: Rule name to how many it would pair (``auto`` only).
        missing: Inputs without a reference.
        unused: References that no input asks for.
        passed_over: Pictures of the set that are on neither side: how many of where and why, and their names.
        ambiguous: Inputs with several references, and those.
        left_out: Sentences about files that were refused or passed over.
        sizes: Sentences about pairs whose sizes differ (see :mod:`eval.inspection`).
        duplicates: Groups of names with the same content.
        scale: Reference size over input size where it is one whole number above 1 for every pair, else 1.
        inspected: Whether sizes and duplicates have been looked for.
    """

    rule: str
    title: str
    inputs: int
    references: int
    paired: int
    tried: dict[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ambiguous: tuple[tuple[str, tuple[str, ...]], ...] = ()
    left_out: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    scale: int = 1
    inspected: bool = False

    @property
    def clean(self) -> bool:
        """Nothing to complain about."""
        passed = self.missing or self.unused or self.passed_over or self.left_out
        return not (passed or self.ambiguous or self.sizes or self.duplicates)

    @property
    def sentence(self) -> str:
        """The report in one line."""
        if self.rule == "none":
            return f"{counted(self.inputs, 'picture')}, no references."
        how = self.title if self.rule == "explicit" else f"by the rule {self.rule!r} ({self.title})"
        inputs, references = counted(self.inputs, "input"), counted(self.references, "reference")
        return f"{self.paired} of {inputs} paired with {references} {how}."

    def lines(self, most: int = 5) -> list[str]:
        """The report as sentences, each list cut after ``most`` names."""
        lines = [self.sentence]
        if self.scale > 1:
            lines.append(
                f"Every reference is {self.scale} times as large as its input: a x{self.scale} super-resolution set."
            )
        if self.missing:
            lines.append(f"{counted(len(self.missing), 'input')} without a reference: {some(self.missing, most)}.")
        if self.unused:
            lines.append(f"{counted(len(self.unused), 'reference')} not used by any input: {some(self.unused, most)}.")
        lines += [f"{reason}: {some(names, most)}." for reason, names in self.passed_over]
        for name, candidates in self.ambiguous[:most]:
            lines.append(f"{name} could pair with any of {some(candidates, most)}.")
        if len(self.ambiguous) > most:
            lines.append(f"{len(self.ambiguous) - most} more inputs could pair with several references.")
        for group in self.duplicates[:most]:
            lines.append(f"The same content more than once: {some(group, most)}.")
        if len(self.duplicates) > most:
            lines.append(f"The same goes for {counted(len(self.duplicates) - most, 'more group')} of files.")
        return [*lines, *cut(self.sizes, most), *cut(self.left_out, most)]


def cut(sentences: Sequence[str], most: int) -> list[str]:
    """The first sentences, and how many more there are."""
    rest = len(sentences) - most
    return [*sentences[:most], *([f"… and {rest} more like the last."] if rest > 0 else [])]


def pair_by_name(
    inputs: Sequence[Source], references: Sequence[Source], pairing: str = "auto"
) -> tuple[list[Pair], PairingReport]:
    """Pair two sets.

    Args:
        inputs: The degraded pictures.
        references: The clear ones.
        pairing: A rule's name, or "auto".

    Returns:
        One pair per input, in the order of the inputs, and the report.

    Raises:
        UnknownNameError: There is no such rule.
        SetError: Nothing pairs at all.
    """
    tried: dict[str, int] = {}
    if pairing == "auto":
        matched = [(rule, match(inputs, references, rule)) for rule in RULES]
        tried = {rule.name: _paired(found) for rule, found in matched}
        rule, found = max(matched, key=lambda item: _paired(item[1]))  # the first of equals: the simplest rule
    else:
        rule = rule_named(pairing)
        found = match(inputs, references, rule)
    if not any(found) and pairing == "auto" and len(inputs) == len(references) == 1:
        report = PairingReport("explicit", "as the only file of each side", 1, 1, 1, tried)
        return [Pair(keys_of([inputs[0].name])[0], inputs[0], references[0])], report
    if not any(found):
        how = "any rule" if pairing == "auto" else f"the rule {rule.name!r}"
        raise SetError(
            f"No input pairs with a reference by {how} (first input {inputs[0].name}, first reference "
            f"{references[0].name}); rename them, or give a table of pairs with csv:FILE."
        )
    keys = keys_of([source.name for source in inputs])
    pairs, missing, ambiguous = [], [], []
    used: set[int] = set()
    for key, source, candidates in zip(keys, inputs, found, strict=True):
        used.update(candidates)
        if len(candidates) == 1:
            pairs.append(Pair(key, source, references[candidates[0]]))
        elif candidates:
            rivals = tuple(references[index].name for index in candidates)
            ambiguous.append((source.name, rivals))
            problem = f"{source.name} could pair with {some(rivals, 3)}; keep one of them."
            pairs.append(Pair(key, source, None, problem))
        else:
            missing.append(source.name)
            problem = f"{source.name} has no reference by the rule {rule.name!r}; add it, or choose another rule."
            pairs.append(Pair(key, source, None, problem))
    report = PairingReport(
        rule=rule.name,
        title=rule.title,
        inputs=len(inputs),
        references=len(references),
        paired=len(inputs) - len(missing) - len(ambiguous),
        tried=tried,
        missing=tuple(missing),
        unused=tuple(source.name for index, source in enumerate(references) if index not in used),
        ambiguous=tuple(ambiguous),
    )
    return pairs, report


def rule_named(name: str) -> Rule:
    """The rule of that name.

    Raises:
        UnknownNameError: There is none.
    """
    for rule in RULES:
        if rule.name == name:
            return rule
    raise UnknownNameError("pairing rule", name, names())


def match(inputs: Sequence[Source], references: Sequence[Source], rule: Rule) -> list[list[int]]:
    """For every input the positions of the references that answer to its word.

    Folders and endings count when they help: ``a/01.png`` pairs with ``a/01.png`` rather than with ``b/01.png`` or
    ``a/01.jpg``. Case counts when it helps: ``IMG_1`` pairs with ``img_1`` only if there is no ``IMG_1``. How accents
    are encoded never counts: references that differ in nothing else are all found.
    """
    indexes: list[dict[str, list[int]]] = [defaultdict(list) for _ in range(6)]
    for position, words in enumerate(_words(references, rule.reference_word)):
        for index, word in zip(indexes, words, strict=True):
            index[word].append(position)
    found = []
    for words in _words(inputs, rule.input_word):
        ways = zip(indexes, words, strict=True)
        found.append(next((index[word] for index, word in ways if word in index), []))
    return found


def keys_of(paths: Sequence[str]) -> list[str]:
    """A short unique name for every path: no common folders, no suffix unless two would look the same without it."""
    short = without_common_folder(paths)
    stems = [stem_of(path) for path in short]
    seen: dict[str, int] = defaultdict(int)
    for stem in stems:
        seen[composed(stem)] += 1
    keys = [stem if seen[composed(stem)] == 1 else path for stem, path in zip(stems, short, strict=True)]
    again: dict[str, int] = defaultdict(int)
    for index, key in enumerate(keys):
        again[composed(key)] += 1
        if (count := again[composed(key)]) > 1:  # the same file listed twice, or one that looks the same
            keys[index] = f"{key}#{count}"
    return keys


def composed(name: str) -> str:
    """The name with its accents in one form (NFC): macOS writes ``é`` as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class NameIndex:
    """Sources by the names that a table may call them.

    Attributes:
        exact: By the names as they are.
        alike: By composed names, where one source alone has that name.
    """

    exact: Mapping[str, Source]
    alike: Mapping[str, Source]

    @classmethod
    def of(cls, sources: Mapping[str, Source]) -> NameIndex:
        """Names for looking up."""
        found: dict[str, set[Source]] = defaultdict(set)
        for name, source in sources.items():
            found[composed(name)].add(source)
        return cls(sources, {name: next(iter(rivals)) for name, rivals in found.items() if len(rivals) == 1})

    def get(self, name: str) -> Source | None:
        """The source of that name, however its accents are encoded; None if there is none, or several."""
        return self.exact.get(name) or self.alike.get(composed(name))


def without_common_folder(paths: Sequence[str]) -> list[str]:
    """The paths without the leading folders that all of them share."""
    parts = [path.split("/") for path in paths]
    shared = 0
    for level in zip(*(part[:-1] for part in parts), strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    return ["/".join(part[shared:]) for part in parts]


def _words(sources: Sequence[Source], word: Callable[[str], str]) -> Iterator[tuple[str, ...]]:
    """Words of every file, from strict to lenient.

    The whole path; with folder and ending; with folder; with ending; the bare word; the bare word without case.
    """
    paths = [composed(source.name) for source in sources]
    for path, short in zip(paths, without_common_folder(paths), strict=True):
        stem = stem_of(short)
        folder, _, name = stem.rpartition("/")
        paired, ending = word(name), short[len(stem) :]
        whole = f"{path[: len(path) - len(name) - len(ending)]}{paired}{ending}"
        yield whole, f"{folder}/{paired}{ending}", f"{folder}/{paired}", paired + ending, paired, paired.casefold()


def stem_of(path: str) -> str:
    """The path without its last ending."""
    head, dot, suffix = path.rpartition(".")
    return head if dot and "/" not in suffix and not head.endswith("/") and head else path


def _paired(found: Iterable[list[int]]) -> int:
    return sum(len(candidates) == 1 for candidates in found)
