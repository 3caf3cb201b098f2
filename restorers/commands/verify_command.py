"""``verify``: are the embedded weights what the cards say?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

SUMMARY = "check every embedded weight"
DESCRIPTION = "Check the hash of every embedded weight file, load it strictly, and count the parameters."
EXAMPLES = """example:
  python -m restorers verify"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON record a line and weight file")


def execute(arguments: argparse.Namespace) -> int:
    """Check all; exit status 1 if one fails."""
    from restorers.verify import verify

    count = failed = 0
    for verdict in verify():
        count += 1
        failed += verdict.problem is not None
        if arguments.json:
            print(json.dumps(asdict(verdict)), flush=True)
        elif verdict.problem is None:
            print(f"ok    {verdict.name}  {verdict.parameters:,} parameters  sha256 {verdict.sha256}", flush=True)
        if verdict.problem is not None:
            print(f"error: {verdict.name}: {verdict.problem}", file=sys.stderr)
    if not arguments.json:
        print(f"{count - failed} of {count} embedded weight files are what their cards say.")
    return 1 if failed else 0
