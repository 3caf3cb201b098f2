"""``push``: a model to the Hub."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from errors import UsageError
from restorers.card import UNKNOWN_LICENCE

SUMMARY = "put a model on the Hub, with its measured figures"
DESCRIPTION = """Create a Hub repository if needed and commit config.json, model.safetensors and a model card to it.

Log in first ('hf auth login'), or set HF_TOKEN. The weights go as they lie on disk, so their hash stays the one that
the figures on the card were measured with; of a run's folder the figures that 'python -m training evaluate' measured go
with them."""
EXAMPLES = """example:
  python -m restorers push aecr_net --repo-id me/aecr-net --private"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", metavar="NAME", help="a name from 'list', a weight file, a model folder, or the folder of a run"
    )
    parser.add_argument("--repo-id", required=True, metavar="ORG/NAME")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--json", action="store_true", help="print repo_id, revision and weights_sha256")


def execute(arguments: argparse.Namespace) -> int:
    """Load, check, and push."""
    from restorers import hub, registry
    from restorers.publish import measured, push

    if arguments.model in registry.names() and registry.card(arguments.model).weights is None:
        title = registry.card(arguments.model).title
        raise UsageError(f"{title} has no weights; there is nothing to push.")
    model = hub.load(arguments.model, device="cpu")
    run = Path(arguments.model)
    if (run / "evaluation.json").is_file():
        figures = measured(run, model.weights_sha256)
        if not figures:
            print(f"{run / 'evaluation.json'} is of other weights; its figures are left out.", file=sys.stderr)
        model.card = replace(model.card, figures=figures or model.card.figures)
    if model.card.licence == UNKNOWN_LICENCE:
        print(
            "The licence of these weights is unknown, and their page will say so; state it with 'convert --licence'.",
            file=sys.stderr,
        )
    done = push(model, arguments.repo_id, private=arguments.private, weights_file=model.weights_file)
    if arguments.json:
        print(json.dumps(asdict(done)))
    else:
        print(f"{done.repo_id}@{done.revision}  weights sha256 {done.weights_sha256}")
    return 0
