"""``convert``: official checkpoints into weight files that describe themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from errors import UsageError

SUMMARY = "turn an official checkpoint into a safetensors file of ours"
DESCRIPTION = """Convert a released checkpoint of one of this project's networks.

Every tensor must find its place, with its shape, and none may be left over. Pickles are read with PyTorch's
restricted reader, which allows tensors and plain containers only; anything else in them is refused."""
EXAMPLES = """example:
  python -m restorers convert --arch aecr_net released.pth --output aecr_net.safetensors
  python -m restorers run --model aecr_net.safetensors hazy.png --output restored"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=".pth, .pt, .ckpt or .safetensors")
    parser.add_argument("--arch", required=True, metavar="NAME", help="which network it is for")
    parser.add_argument("--output", required=True, metavar="FILE.safetensors", help="file to write")


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

    ours = described(arguments.checkpoint) if arguments.checkpoint.endswith(".safetensors") else None
    if ours and ours[0] != arguments.arch:
        raise UsageError(f"{arguments.checkpoint} is a {ours[0]}, not a {arguments.arch}; it needs no conversion.")
    checkpoint = read_checkpoint(arguments.checkpoint)
    config, tensors = convert_state_dict(arguments.arch, checkpoint, ours[1] if ours else None)
    source = sha256_of(arguments.checkpoint)
    digest = save_file(output, arguments.arch, config, tensors, source_sha256=source)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f"{output}  {len(tensors)} tensors, {numbers:,} numbers, sha256 {digest}")
    return 0
