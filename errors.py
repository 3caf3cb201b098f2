"""The error tree: every message is one readable sentence that says what happened, why, and what to do.

Programs print ``str(error)`` and nothing else; ``UsageError`` means the arguments are unusable (exit status 2),
any other ``UnveilError`` means the work failed (exit status 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def first_line(error: BaseException, limit: int = 160) -> str:
    """What a foreign error says, short enough to be part of a sentence: its first line, or its type if it is silent."""
    lines = str(error).strip().splitlines()
    return lines[0][:limit] if lines else type(error).__name__


class UnveilError(Exception):
    """Root of everything this project raises on purpose."""


class UsageError(UnveilError):
    """The arguments cannot be used; nothing was started."""


class UnknownNameError(UsageError):
    """A name that no registry knows; the nearest known names are offered.

    Args:
        kind: What was looked up, in the singular ("restorer", "protocol").
        name: The name that was given.
        known: Every name that exists.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}."
        super().__init__(f"There is no {kind} called {name!r}; {hint}")
        self.kind, self.name, self.known = kind, name, known


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise :class:`UnknownNameError` for the first name that is not known."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


class ImageError(UnveilError):
    """A picture cannot be read, is hostile, or has a shape that cannot be processed."""


class SetError(UnveilError):
    """A set of pictures cannot be opened or paired."""


class ProtocolError(UnveilError):
    """Numbers of different protocols were about to be mixed, or a protocol is malformed."""


class MetricError(UnveilError):
    """A metric has no value on this input."""


class MetricUnavailableError(MetricError):
    """A metric exists but its package or its parameters are not here."""


class WeightsError(UnveilError):
    """Weights are missing, damaged, or do not fit the network."""


class ModelError(UnveilError):
    """A method cannot run at all."""


class PromptError(UnveilError):
    """A prompt set is malformed, or a vision-language model cannot be loaded."""


class StoreError(UnveilError):
    """Stored rows cannot be read or written."""
