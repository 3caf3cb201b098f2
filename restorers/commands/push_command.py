"""``push``: a model to the Hub."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from errors import UsageError

SUMMARY = "put a model on the Hub, with its measured figures"
DESCRIPTION = """Create a Hub repository if needed and commit config.json, model.safetensors and a model card to it.

Log in first ('hf auth login'), or set HF_TOKEN. The weights go as they lie on disk, so their hash stays the one that
the figures on the card were measured with."""
EXAMPLES = """example:
  python -m restorers push aecr_net --repo-id me/aecr-net --private"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="NAME", help="a name from 'list', a weight file, or a model folder")
    parser.add_argument("--repo-id", required=True, metavar="ORG/NAME")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--json", action="store_true", help="print repo_id, revision and weights_sha256")


def execute(arguments: argparse.Namespace) -> int:
    """Load, check, and push."""
    from restorers import hub, registry
    from restorers.networks import WEIGHTS
    from restorers.publish import push

    if arguments.model in registry.names():
        card = registry.card(arguments.model)
        if card.weights is None:
            raise UsageError(f"{card.title} has no weights; there is nothing to push.")
        file = WEIGHTS / card.weights
    else:
        path = Path(arguments.model)
        file = path / "model.safetensors" if path.is_dir() else path
    done = push(
        hub.load(arguments.model, device="cpu"),
        arguments.repo_id,
        private=arguments.private,
        weights_file=file if file.suffix == ".safetensors" and file.is_file() else None,
    )
    if arguments.json:
        print(json.dumps(asdict(done)))
    else:
        print(f"{done.repo_id}@{done.revision}  weights sha256 {done.weights_sha256}")
    return 0
