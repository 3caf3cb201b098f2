"""``python -m eval protocols``: what each protocol computes."""

from __future__ import annotations

import argparse
import json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``protocols`` command."""
    parser = subparsers.add_parser(
        "protocols",
        help="list the protocols",
        description="List the protocols: what each computes, with the hash that every row carries. A policy for "
        "pictures of different size is added with a plus sign, as in dehaze-rgb+sots-10px.",
    )
    parser.add_argument("--json", action="store_true", help="print every field for machines")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Print the presets."""
    from eval import protocol

    presets = [protocol.get(name) for name in protocol.names()]
    if args.json:
        print(json.dumps([json.loads(p.to_json()) | {"sentence": p.sentence} for p in presets], indent=2))
        return 0
    for p in presets:
        default = " [default]" if p.name == protocol.DEFAULT else ""
        print(f"{p.name}{default}: {p.purpose}\n    {p.sentence}\n")
    print("Sizes that differ: add +modcrop, +center-crop, +sots-10px, +resize-output or +resize-reference to a name.")
    return 0
