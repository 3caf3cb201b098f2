"""How the inner loops are compiled: by numba, without the interpreter lock, kept on disk after the first use."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

FUSED = {"contract"}
"""Multiplications and additions may be fused."""

SUM = {"contract", "reassoc", "nsz"}
"""The additions of one sum may be reordered too, which is what lets it be vectorised."""


def compiled(
    fastmath: bool | set[str] = False, *, inline: bool = False, within: bool = False
) -> Callable[[Callable], Callable]:
    """Decorator of a compiled loop.

    Args:
        fastmath: What may be done to the order of floating-point operations; nothing unless said.
        inline: Copy the function into its callers before they are compiled; it takes their ``fastmath``.
        within: Copy its machine code into its callers, with its own ``fastmath``. Every function that compiled ones
            call is one or the other: a process that compiles a helper would else call the helper's own machine code,
            and one that finds the caller on disk the copy linked to it, whose sums differ in the last bit.
    """
    # error_model="numpy": Python's check for division by zero would keep loops from being vectorised.
    options = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": fastmath,
        "inline": "always" if inline else "never",
        "forceinline": within,
    }

    def decorate(function: Callable) -> Callable:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # a read-only installation without a home: there is no folder to keep machine code in
            return njit(**options)(function)

    return decorate
