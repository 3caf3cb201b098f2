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
        "several files is taken once: a value before an error, then the newer version of the program. Where shards are "
        "missing, or one method has two results for a picture, the file is written all the same, and the exit status "
        "is 1.",
    )
    parser.add_argument(
        "rows", nargs="+", type=Path, metavar="ROWS", help="row files (.csv, .parquet, .jsonl) or stores (.sqlite)"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="ROWS", help="where to")
    parser.add_argument("--json", action="store_true", help="print a record for machines")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Merge and say how many."""
    from eval.console import tell
    from eval.merging import merge_files
    from eval.wording import listed, some

    merged = merge_files(args.rows, args.output)
    if merged.conflicts:
        tell(
            f"{merged.conflicts} rows were in several files with different values (first: {merged.first_conflict}); "
            "one of them was kept by rule. Were the files scored by different versions?"
        )
    if merged.doubled:
        tell(
            f"{some(merged.doubled)}: two results under one method name, which cannot be ranked; give them different "
            "names with --method, or leave one of the files out."
        )
    if merged.missing:
        tell(
            f"{listed(merged.missing, 20)}: of these shards there are no rows in the files; add the files that "
            "'score --shard' wrote for them."
        )
    record = {
        "output": str(args.output),
        "rows": merged.rows,
        "duplicates": merged.duplicates,
        "conflicts": merged.conflicts,
        "doubled": list(merged.doubled),
        "missing": list(merged.missing),
    }
    told = f"{merged.rows} rows from {len(args.rows)} files, {merged.duplicates} of them more than once"
    print(json.dumps(record) if args.json else f"{told}: {args.output}")
    return 1 if merged.doubled or merged.missing else 0
