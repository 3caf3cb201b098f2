"""One lock a name: whoever loads something slow keeps nobody waiting but those who want the same."""

from __future__ import annotations

from threading import Lock
from weakref import WeakValueDictionary


class Locks:
    """Locks by name; one that nobody holds or waits for is forgotten, as visitors make up names.

    Example:
        >>> locks = Locks()
        >>> with locks.of("a"):
        ...     locks.of("a").locked(), locks.of("b").locked()
        (True, False)
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._lock = Lock()

    def of(self, name: str) -> Lock:
        """The lock of a name."""
        with self._lock:
            return self._locks.setdefault(name, Lock())
