"""Methods that need no weights: the baselines of every leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from restorers.base import Restorer
from restorers.card import RestorerCard


def entries() -> Iterator[tuple[RestorerCard, Callable[[], Restorer]]]:
    """(card, factory) of every classical method, in the order they are shown."""
    from restorers.classical.bicubic import Bicubic, card
    from restorers.classical.dark_channel import CARD as DARK_CHANNEL
    from restorers.classical.dark_channel import DarkChannel
    from restorers.classical.lime import CARD as LIME
    from restorers.classical.lime import Lime

    yield DARK_CHANNEL, DarkChannel
    yield LIME, Lime
    for scale in (2, 4):
        yield card(scale), partial(Bicubic, scale)
