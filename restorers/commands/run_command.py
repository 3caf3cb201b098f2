"""``run``: restore pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ImageError, UnveilError, UsageError
from images import is_picture_name
from restorers.targets import check_targets, find_clashes

if TYPE_CHECKING:
    from restorers.pipeline import Tile

SUMMARY = "restore pictures"
DESCRIPTION = """Restore pictures with one method and write them as PNG under the same name.

A picture that cannot be restored is reported by its name, and the others are restored all the same (exit status 1 at
the end)."""
EXAMPLES = """examples:
  python -m restorers run --model dark_channel hazy.jpg --output restored
  python -m restorers run --model ORG/NAME folder/ more.png --output restored --dtype bf16 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture, or a folder of pictures")
    parser.add_argument(
        "--model", required=True, help="a name from 'list', a .safetensors file, a model folder, or a Hub repo id"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write to; made if needed")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are in DIR already")
    parser.add_argument("--revision", help="Hub commit, tag or branch of the model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="precision (default: auto, fp32)"
    )
    parser.add_argument(
        "--tile", type=tile_argument, default="auto", help="auto, none, or pixels a side (default: auto)"
    )
    parser.add_argument("--overlap", type=int, metavar="N", help="pixels over which tiles are blended")
    parser.add_argument("--json", action="store_true", help="print one JSON record a line and picture")


def tile_argument(text: str) -> Tile:
    """``auto``, ``none`` or a number."""
    if text in ("auto", "none"):
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, none or a number") from None


def execute(arguments: argparse.Namespace) -> int:
    """Restore every picture; failures are reported one by one and counted at the end."""
    from devices import choose_device
    from priors.inputs import find_inputs, left_out
    from restorers.device import choose_dtype

    choose_dtype(arguments.dtype, choose_device(arguments.device))
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{arguments.output} is a file; --output names a folder.")
    if is_picture_name(output.name) and not output.exists():
        raise UsageError(
            f"{arguments.output} names a picture; --output is a folder, in which results keep their pictures' names."
        )
    paths, unread = find_inputs(arguments.inputs)
    clashes = find_clashes(paths, output)
    check_targets([path for path in paths if path not in clashes], output, overwrite=arguments.overwrite)

    from restorers.hub import load

    restorer = load(arguments.model, revision=arguments.revision, device=arguments.device)
    if unread:
        print(left_out(unread), file=sys.stderr)
    return _restore_all(restorer, paths, clashes, output, arguments)


def _restore_all(
    restorer: object, paths: Sequence[Path], clashes: Mapping[Path, str], output: Path, arguments: argparse.Namespace
) -> int:
    from restorers.pipeline import restore_file

    failed = 0
    for number, path in enumerate(paths, 1):
        _watch(f"{number}/{len(paths)} {path.name}")
        try:
            if path in clashes:
                raise ImageError(clashes[path])
            record = restore_file(
                path,
                output,
                restorer,
                dtype=arguments.dtype,
                tile=arguments.tile,
                overlap=arguments.overlap,
                overwrite=arguments.overwrite,
            )
        except UsageError:
            raise
        except UnveilError as error:
            failed += 1
            _watch("")
            print(f"error: {error}", file=sys.stderr)
            if arguments.json:
                print(json.dumps({"input": str(path), "error": str(error)}), flush=True)
            continue
        _watch("")
        if arguments.json:
            print(json.dumps(asdict(record)), flush=True)
        else:
            notes = f"  ({'; '.join(record.notes)})" if record.notes else ""
            print(f"{record.output}  {record.width}x{record.height}  {record.seconds:.2f} s{notes}", flush=True)
    if failed and len(paths) > 1:
        print(f"error: {failed} of {len(paths)} pictures could not be restored.", file=sys.stderr)
    return 1 if failed else 0


def _watch(line: str) -> None:
    """Show what is being worked on, in place of what was, to somebody who watches."""
    if sys.stderr.isatty():
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
