"""The ordered list of methods: a name, its card, and how to build it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from errors import UnknownNameError
from restorers.card import RestorerCard

if TYPE_CHECKING:
    from restorers.base import Restorer

Factory = Callable[[], "Restorer"]


def check_name(name: str) -> None:
    """Refuse what no method can be called: names are typed, are parts of lists and are file names.

    Raises:
        ValueError: It is empty, or not lower case without spaces.
    """
    if not name or name != name.lower() or any(c.isspace() or c in "=,/" for c in name):
        raise ValueError(f"restorer name {name!r}: lower case, no spaces, none of '=,/'")


class Registry:
    """Names in the order they were added; a failed addition changes nothing."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[RestorerCard, Factory]] = {}

    def register(self, *entries: tuple[RestorerCard, Factory]) -> None:
        """Add methods, all or none.

        Raises:
            ValueError: A name is taken, repeated, or not lower case without spaces.
        """
        fresh: dict[str, tuple[RestorerCard, Factory]] = {}
        for card, factory in entries:
            if card.name in self._entries or card.name in fresh:
                raise ValueError(f"a restorer called {card.name!r} is already registered")
            check_name(card.name)
            fresh[card.name] = (card, factory)
        self._entries.update(fresh)

    def names(self, task: str | None = None) -> list[str]:
        """Names in order, of one task if given."""
        return [name for name, (card, _) in self._entries.items() if task in (None, card.task)]

    def cards(self, task: str | None = None) -> list[RestorerCard]:
        """Cards in order, of one task if given."""
        return [self._entries[name][0] for name in self.names(task)]

    def card(self, name: str) -> RestorerCard:
        """The facts of a method.

        Raises:
            UnknownNameError: With the nearest names.
        """
        return self._entry(name)[0]

    def create(self, name: str) -> Restorer:
        """Build a method, load its weights, and set it to evaluation.

        Raises:
            UnknownNameError: With the nearest names.
            WeightsError: Its weights are missing or do not fit.
        """
        return self._entry(name)[1]().eval()

    def _entry(self, name: str) -> tuple[RestorerCard, Factory]:
        if name not in self._entries:
            raise UnknownNameError("restorer", name, self._entries)
        return self._entries[name]


_METHODS: tuple[str, ...] = ("restorers.networks", "restorers.classical")
"""Packages that offer a function ``entries()`` with their (card, factory) pairs, in the order shown to people."""

RECOMMENDED: dict[str, str] = {"dehaze": "aecr_net-real", "lowlight": "scl_lle-denoise", "sr": "crl_sr"}
"""The method to try first on a picture that nothing is known about: the best of what is embedded, see docs/methods."""

_default: Registry | None = None


def default() -> Registry:
    """The registry with every built-in method; made at the first call."""
    global _default
    if _default is None:
        registry = Registry()
        for module in _METHODS:
            registry.register(*_entries(module))
        _default = registry
    return _default


def _entries(module: str) -> Iterable[tuple[RestorerCard, Factory]]:
    return import_module(module).entries()


def names(task: str | None = None) -> list[str]:
    """See :meth:`Registry.names`."""
    return default().names(task)


def cards(task: str | None = None) -> list[RestorerCard]:
    """See :meth:`Registry.cards`."""
    return default().cards(task)


def card(name: str) -> RestorerCard:
    """See :meth:`Registry.card`."""
    return default().card(name)


def create(name: str) -> Restorer:
    """See :meth:`Registry.create`."""
    return default().create(name)


def register(card: RestorerCard, factory: Factory) -> None:
    """Add one method to the default registry; see :meth:`Registry.register`."""
    default().register((card, factory))
