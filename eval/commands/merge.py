"""``python -m eval merge``: several row files as one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``merge`` command."""
    parser = subparsers.add_parser(
        "merge",
        help="join row files",
        description="Join row files (shards of one run, or runs of several methods) into one. The order of the files "
        "does not matter and the result is the file that one run over everything would have written. A row that is in "
        "several files is taken once: a value before an error, then the newer version of the program.",
    )
    parser.add_argument("rows", nargs="+", type=Path, metavar="ROWS", help="row files: .csv, .parquet, .jsonl")
    parser.add_argument("--output", required=True, type=Path, metavar="ROWS", help="where to")
    parser.add_argument("--json", action="store_true", help="print a record for machines")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Merge and say how many."""
    from eval.console import tell
    from eval.merging import merge_files

    merged = merge_files(args.rows, args.output)
    if merged.conflicts:
        tell(
            f"{merged.conflicts} rows were in several files with different values (first: {merged.first_conflict}); "
            "one of them was kept by rule. Were the files scored by different versions?"
        )
    record = {
        "output": str(args.output),
        "rows": merged.rows,
        "duplicates": merged.duplicates,
        "conflicts": merged.conflicts,
    }
    told = f"{merged.rows} rows from {len(args.rows)} files, {merged.duplicates} of them more than once"
    print(json.dumps(record) if args.json else f"{told}: {args.output}")
    return 0
