"""``python -m eval costs``: what methods cost, for the efficiency columns of a leaderboard."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``costs`` command."""
    parser = subparsers.add_parser(
        "costs",
        help="measure parameters, GMACs, seconds per megapixel and memory of methods",
        description="Measure what methods cost on one picture of 620x460 (RESIDE's indoor size): parameters, 10^9 "
        "multiply-accumulates as torch counts them, median seconds per input megapixel, peak memory; with the name of "
        "the device. The file goes into a leaderboard with --costs.",
    )
    parser.add_argument(
        "methods",
        nargs="*",
        metavar="METHOD",
        help="names of 'python -m restorers list', files, folders or Hub ids; default: all that are built in",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="the measurements")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="auto, cpu, cuda or cuda:N (default cpu)")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes, of which the median counts (default 3)")
    parser.add_argument("--json", action="store_true", help="print the measurements for machines")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write, report."""
    from dataclasses import asdict

    from devices import choose_device
    from errors import UsageError
    from eval import efficiency
    from restorers import hub, registry

    if args.repeats < 1:
        raise UsageError(f"--repeats is at least 1, not {args.repeats}.")
    if not args.output.resolve().parent.is_dir():  # said now, not after minutes of measuring
        raise UsageError(f"There is no folder {str(args.output.parent)!r} for {args.output.name}; make it first.")
    device = str(choose_device(args.device))
    costs = {}
    for name in args.methods or registry.names():
        print(f"measuring {name} ...", file=sys.stderr)
        costs[name] = efficiency.measure(hub.load(name, device=device), device=device, repeats=args.repeats)
    efficiency.save(costs, args.output)
    if args.json:
        print(json.dumps({name: asdict(cost) for name, cost in costs.items()}))
        return 0
    for name, cost in costs.items():
        gmacs = "-" if cost.gmacs is None else f"{cost.gmacs:.4g}"
        peak = "-" if cost.peak_mib is None else f"{cost.peak_mib:.0f}"
        print(
            f"{name}: {cost.parameters:,} parameters, {gmacs} GMACs, {cost.seconds_per_mpix:.3g} s/MPix, {peak} MiB, "
            f"{cost.device}{''.join(f' ({note})' for note in cost.notes)}"
        )
    return 0
