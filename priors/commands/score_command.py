"""``python -m priors score``: how hazy is each picture, 0 to 1."""

from __future__ import annotations

import argparse
import sys
import time

from errors import ImageError
from priors.commands import arguments as shared

SUMMARY = "score pictures: 0 = the negative end, 1 = the positive end of a prompt pair"
DESCRIPTION = (
    "Score pictures: 0 is the negative end, 1 the positive end of a prompt pair. --json prints one record "
    "per picture with path and haze."
)
EXAMPLES = """examples:
  python -m priors score photos/
  python -m priors score street.jpg --positive 'a smoky street' --negative 'a clear street' --json
  python -m priors score photos/ --clip ViT-B-32:laion2b_s34b_b79k --prompts my_words.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("input", nargs="+", metavar="INPUT", help="pictures or folders")
    shared.add_prompts(parser)
    shared.add_clip(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Score, print, and return 1 if a picture could not be read."""
    from images import read_picture
    from priors.density import encode_picture

    prompts, paths = shared.prompts_of(arguments), shared.pictures_of(arguments.input)
    prior = shared.clip_of(arguments)
    records, failed = [], False
    for path in paths:
        began = time.perf_counter()
        try:
            encoded = encode_picture(prior, read_picture(path), maps=False)
        except ImageError as error:
            print(f"priors score: {error}", file=sys.stderr)
            records.append({"path": str(path), "haze": None, "error": str(error)})
            failed = True
            continue
        record = {"path": str(path), "haze": encoded.score(prompts), **shared.words(prompts), "clip": prior.name,
                  "clip_sha256": prior.sha256, "seconds": time.perf_counter() - began}  # fmt: skip
        records.append(record)
        if not arguments.json:
            print(f"{record['haze']:.4f}  {path}")
    if arguments.json:
        shared.print_json(records)
    return int(failed)
