"""``convert``: official checkpoints into weight files that describe themselves."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from errors import UsageError
from restorers.card import UNKNOWN_LICENCE

SUMMARY = "turn an official checkpoint into a safetensors file of ours"
DESCRIPTION = """Convert a released checkpoint of one of this project's networks.

Every tensor must find its place, with its shape, and none may be left over. A file of ours keeps its licence and what
it was trained on; the licence of any other is unknown unless --licence names it. Pickles are read with PyTorch's
restricted reader, which allows tensors and plain containers only; anything else in them is refused."""
EXAMPLES = """example:
  python -m restorers convert --arch aecr_net released.pth --output aecr_net.safetensors
  python -m restorers run --model aecr_net.safetensors hazy.png --output restored"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=".pth, .pt, .ckpt, .pk or .safetensors")
    parser.add_argument("--arch", required=True, metavar="NAME", help="which network it is for")
    parser.add_argument(
        "--config", metavar="JSON", help='arguments of the network that its tensors do not show, such as {"side": 96}'
    )
    parser.add_argument("--licence", metavar="TEXT", help="terms of the weights (default: the file's own, or unknown)")
    parser.add_argument("--output", required=True, metavar="FILE.safetensors", help="file to write")


def _config(text: str | None) -> dict[str, Any]:
    """The object that ``--config`` holds.

    Raises:
        UsageError: It holds something else.
    """
    try:
        config = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"--config is no JSON ({error}); write it like '{{\"side\": 96}}'.") from error
    if not isinstance(config, dict):
        raise UsageError("--config is no JSON object; write it like '{\"side\": 96}'.")
    return config


def execute(arguments: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    output = Path(arguments.output)
    if output.suffix != ".safetensors":
        raise UsageError(f"--output must end in .safetensors, got {arguments.output!r}.")

    from restorers.networks import architecture

    architecture(arguments.arch)

    from hashing import sha256_of
    from restorers.checkpoint import described, save_file
    from restorers.community import read_checkpoint
    from restorers.convert import convert_state_dict

    given = _config(arguments.config)
    ours = described(arguments.checkpoint) if arguments.checkpoint.endswith(".safetensors") else None
    if ours and ours.architecture != arguments.arch:
        raise UsageError(
            f"{arguments.checkpoint} is a {ours.architecture}, not a {arguments.arch}; it needs no conversion."
        )
    checkpoint = read_checkpoint(arguments.checkpoint)
    config, tensors = convert_state_dict(arguments.arch, checkpoint, {**(ours.config if ours else {}), **given})
    facts = ours.facts if ours else {"licence": UNKNOWN_LICENCE}
    if arguments.licence:
        facts = {**facts, "licence": arguments.licence}
    source = sha256_of(arguments.checkpoint)
    digest = save_file(output, arguments.arch, config, tensors, facts, source_sha256=source)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f"{output}  {len(tensors)} tensors, {numbers:,} numbers, sha256 {digest}")
    return 0
