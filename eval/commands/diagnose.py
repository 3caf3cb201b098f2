"""``python -m eval diagnose``: one pair under every protocol, and what explains the differences."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.diagnose import Diagnosis


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``diagnose`` command."""
    parser = subparsers.add_parser(
        "diagnose",
        help="score one pair under every protocol and explain the differences",
        description="Score one pair of pictures under every protocol, and show what each choice (colour space, border, "
        "window, GT-mean, rounding) does to PSNR, SSIM and NIQE: why your number differs from somebody else's.",
    )
    parser.add_argument("output", type=Path, metavar="A", help="the picture under test")
    parser.add_argument("reference", type=Path, nargs="?", metavar="B", help="the reference (without: NIQE only)")
    parser.add_argument("--sizes", metavar="POLICY", help="where sizes differ: modcrop, center-crop, sots-10px, "
                        "resize-output, resize-reference (default: sots-10px or modcrop where it fits, else "
                        "center-crop)")  # fmt: skip
    parser.add_argument("--niqe-parameters", type=Path, metavar="FILE.mat|.npz", help="pristine NIQE model")
    parser.add_argument("--json", action="store_true", help="print a record for machines")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Read both pictures, diagnose, print."""
    from eval.diagnose import diagnose
    from images import read_picture

    output = read_picture(args.output)
    reference = read_picture(args.reference) if args.reference else None
    found = diagnose(output, reference, size_policy=args.sizes, niqe_parameters=args.niqe_parameters)
    print(json.dumps(to_record(found), indent=2) if args.json else to_text(found))
    return 0


def to_record(found: Diagnosis) -> dict:
    """Plain values for JSON; infinities are texts."""
    from eval.rows import in_json

    return {
        "protocols": [
            {
                "protocol": scores.protocol.name,
                "protocol_hash": scores.protocol.hash,
                "sentence": scores.protocol.sentence,
                "measurements": [
                    {"metric": m.metric, "value": in_json(m.value), "error": m.error, "variant": m.variant,
                     "notes": list(m.notes)}
                    for m in scores.measurements
                ],
            }
            for scores in found.scores
        ],
        "effects": [
            {"metric": e.metric, "choice": e.choice, "before": in_json(e.before), "after": in_json(e.after),
             "who": e.who}
            for e in found.effects
        ],
        "remarks": list(found.remarks),
    }  # fmt: skip


def to_text(found: Diagnosis) -> str:
    """Tables for the terminal."""
    from eval.metrics.registry import spec

    metrics = [m.metric for m in found.scores[0].measurements]
    width = max(len(s.protocol.name) for s in found.scores)
    lines = [f"{'protocol':{width}}  hash          " + "  ".join(f"{m.upper():>9}" for m in metrics)]
    reasons: dict[str, str] = {}
    for s in found.scores:
        cells = []
        for m in s.measurements:
            cells.append("-" if m.value is None else f"{m.value:.{spec(m.metric).decimals}f}")
            if m.error:
                reasons.setdefault(m.error, f"{m.metric} under {s.protocol.name}")
        lines.append(f"{s.protocol.name:{width}}  {s.protocol.hash}  " + "  ".join(f"{c:>9}" for c in cells))
    variants = sorted({m.variant for s in found.scores for m in s.measurements if m.variant})
    lines += [f"NIQE: {', '.join(variants)}"] if variants else []
    lines += [f"- {where}: {reason}" for reason, where in reasons.items()]
    for metric in metrics:
        effects = [e for e in found.effects if e.metric == metric]
        if effects:
            digits = spec(metric).decimals
            lines += ["", f"What changes {metric.upper()} (primary value {effects[0].before:.{digits}f}):"]
            lines += [f"  {e.change:+9.{digits}f}  {e.choice}  [{e.who}]" for e in effects]
    lines += ["", *found.remarks] if found.remarks else []
    return "\n".join(lines)
