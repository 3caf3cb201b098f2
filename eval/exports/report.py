"""A leaderboard as JSON: every number and sentence of it, the protocol's fields, and the versions behind them."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from eval import stats
from eval.rows import in_json
from version import __version__

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard
    from eval.suite import Ranking

_PACKAGES = ("numpy", "scipy", "pandas")


def to_report(ranking: Ranking) -> str:
    """The whole ranking as JSON. Infinite is the string "inf", missing is null; no clock is read.

    Several sets are the list `sets`, a report each, beside the methods' average ranks over all of them.
    """
    reports = [_report(board) for board in ranking.boards]
    report = reports[0]
    if len(reports) > 1:
        methods = ranking.table.to_dict("records")
        report = {"datasets": list(ranking.datasets), "methods": methods, "notes": list(ranking.notes), "sets": reports}
    return json.dumps(_plain(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _report(board: Leaderboard) -> dict[str, Any]:
    return {
        "datasets": list(board.datasets),
        "protocol": {
            "name": board.protocol_name,
            "hash": board.protocol_hash,
            "sentence": board.protocol,
            "fields": board.protocol_json,
        },
        "metrics": {
            metric: {
                "title": board.specs[metric].title,
                "better": board.specs[metric].better,
                "decimals": board.specs[metric].decimals,
                "variant": board.variants[metric],
                "common_images": board.common[metric],
            }
            for metric in board.metrics
        },
        "methods": [
            {**row, "shown": shown, "marks": {m: board.marks.get((row["method"], m), "") for m in board.metrics}}
            for row, shown in zip(board.table.to_dict("records"), board.shown.to_dict("records"), strict=True)
        ],
        "pairs": [asdict(test) for test in board.tests],
        "failures": [asdict(failure) for failure in board.failures],
        "unreferenced": [asdict(failure) for failure in board.unreferenced],
        "notes": list(board.notes),
        "statistics": {
            "interval": {
                "kind": "BCa bootstrap of the mean, expanded for small sets",
                "level": board.level,
                "resamples": {m: stats.resamples_for(max(1, int(board.table[f"{m}_n"].max()))) for m in board.metrics},
                "seed": stats.SEED,
            },
            "test": {"name": "Wilcoxon signed-rank, two-sided", "correction": "Holm", "alpha": stats.ALPHA},
        },
        "versions": {
            "rows": list(board.code_versions),
            "ranking": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _plain(value: Any) -> Any:
    """Values JSON has: numpy scalars unpacked, NaN as null, infinity as its name."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e15 else in_json(value)
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)
