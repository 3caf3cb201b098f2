"""A leaderboard as CSV: raw numbers at full precision, one row a method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from eval.suite import called

if TYPE_CHECKING:
    from eval.suite import Ranking

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(ranking: Ranking) -> str:
    """The raw table, then the set and the protocol's name and hash on every row, so that no row can lose them.

    Several sets stand side by side, their columns as SET/COLUMN. Numbers are written so that reading them back gives
    the same float; infinite is `inf`, missing is empty. A name that a spreadsheet would run as a formula gets a leading
    apostrophe.
    """
    import pandas

    table = ranking.table.copy()
    table["rank"] = table["rank"].astype("Int64")
    for board in ranking.boards if len(ranking.boards) > 1 else ():
        own = board.table.set_index("method").drop(columns=list(board.costs)).add_prefix(f"{called(board)}/")
        table = table.join(own, on="method")
    table["dataset"] = ", ".join(ranking.datasets)
    table["protocol"] = ranking.protocol_name
    table["protocol_hash"] = ranking.protocol_hash
    table.columns = [_text(name) for name in table.columns]
    cells = pandas.DataFrame({name: [_text(value) for value in table[name].tolist()] for name in table.columns})
    return cells.to_csv(index=False, lineterminator="\n")


def _text(value: Any) -> str:
    if value is None or type(value).__name__ == "NAType" or value != value:
        return ""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and math.fabs(value) < 1e15 else repr(value)
    text = str(value)
    return "'" + text if isinstance(value, str) and text.startswith(_FORMULA) else text
