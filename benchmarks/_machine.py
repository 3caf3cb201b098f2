"""What a measured number must not travel without, and where it is kept."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from eval.efficiency import processor_name
from version import __version__

RESULTS = Path(__file__).resolve().parent / "results"


def machine(*packages: str) -> dict[str, str]:
    """Processor, load when the measurement ended, and versions."""
    versions = " ".join(f"{name} {metadata.version(name)}" for name in packages)
    return {
        "machine": f"{processor_name()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": f"unveil {__version__} python {platform.python_version()} {versions}".strip(),
    }


def report(name: str, rows: Sequence[Mapping[str, object]], *packages: str, key: Sequence[str] = ()) -> None:
    """Print rows as a table and keep them, with the machine, in ``results/NAME.csv``.

    Args:
        name: Of the file.
        rows: What was measured; a row that was measured earlier brings the machine's facts of then.
        packages: Whose versions matter.
        key: Columns that name a row, where only some rows were measured: the file's others are kept, if it has the
            same columns. Without a key the file is replaced.
    """
    facts = machine(*packages)
    columns = [column for column in rows[0] if column not in facts]
    shown = [columns, *([_shown(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in shown) for i in range(len(columns))]
    for line in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print("; ".join(facts.values()))
    RESULTS.mkdir(exist_ok=True)
    file, header = RESULTS / f"{name}.csv", [*columns, *facts]
    written: list[Mapping[str, object]] = [{**facts, **row} for row in rows]
    if key:
        named = {tuple(str(row[column]) for column in key): row for row in [*_earlier(file, header), *written]}
        written = list(named.values())
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header)
        writer.writeheader()
        writer.writerows(written)


def _earlier(file: Path, header: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a kept table, none if it has other columns."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        return list(reader) if reader.fieldnames == header else []


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1 else (
        f"{value:.2f}" if isinstance(value, float) else str(value)
    )  # fmt: skip
