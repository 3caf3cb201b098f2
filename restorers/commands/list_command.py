"""``list``: which methods there are."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from restorers.card import TASKS

SUMMARY = "list the methods"
DESCRIPTION = "List every method that can be used by name; --json prints their whole cards."
EXAMPLES = """examples:
  python -m restorers list
  python -m restorers list --task dehaze --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--task", choices=tuple(TASKS), help="only methods for this task")
    parser.add_argument("--json", action="store_true", help="print a JSON array of cards")


def execute(arguments: argparse.Namespace) -> int:
    """Print the methods."""
    from restorers.registry import cards

    found = cards(arguments.task)
    if arguments.json:
        print(json.dumps([asdict(card) for card in found], indent=2))
        return 0
    if not found:
        kinds = ", ".join(task for task in TASKS if cards(task))
        print(f"There are no methods for the task {arguments.task}; there are some for {kinds}.", file=sys.stderr)
    width = max((len(card.name) for card in found), default=0)
    for card in found:
        size = f"{card.parameters:,} parameters" if card.parameters else "no weights"
        print(f"{card.name:{width}}  {card.task:8}  {size:>21}  {card.summary}")
    return 0
