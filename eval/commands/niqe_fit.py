"""``python -m eval niqe-fit``: fit a pristine model of NIQE to a folder of natural photographs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``niqe-fit`` command."""
    parser = subparsers.add_parser(
        "niqe-fit",
        help="fit a pristine NIQE model to natural photographs",
        description="Fit the pristine model of NIQE (mean and covariance of 36 features of sharp 96x96 blocks) to a "
        "folder of natural, sharp, uncompressed or lightly compressed photographs. The paper used 125. Score with it "
        "by --niqe-parameters FILE.npz; its values are named niqe-custom and not ranked with others.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="photographs, searched recursively")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.npz", help="the model")
    parser.add_argument("--sharpness", type=float, default=0.75, help="keep blocks sharper than this fraction of the "
                        "picture's sharpest (default 0.75, as in the paper)")  # fmt: skip
    parser.add_argument("--about", default="", help="a line about the photographs, stored in the file")
    parser.add_argument("--json", action="store_true", help="print a record for machines")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Fit, write, report."""
    from errors import UsageError
    from eval.metrics.niqe_fit import fit, save_model
    from images import list_pictures

    if args.output.suffix.lower() != ".npz":
        raise UsageError(f"--output writes a NumPy .npz file; {args.output.name!r} does not end in .npz.")
    if not 0.0 <= args.sharpness < 1.0:
        raise UsageError(f"--sharpness is a fraction from 0 up to but not including 1, not {args.sharpness:g}.")
    fitted = fit(list_pictures(args.folder), sharpness=args.sharpness, source=args.output.name)
    save_model(args.output, fitted, args.about)
    for name, reason in fitted.skipped:
        print(f"passed over {name}: {reason}", file=sys.stderr)
    record = {
        "output": str(args.output),
        "variant": fitted.model.variant,
        "pictures": fitted.pictures,
        "blocks": fitted.blocks,
        "skipped": len(fitted.skipped),
    }
    if args.json:
        print(json.dumps(record))
    else:
        print(f"{args.output}: {fitted.model.variant}, from {fitted.blocks} blocks of {fitted.pictures} photographs")
    return 0
