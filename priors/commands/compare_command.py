"""``python -m priors compare``: a leaderboard of prompt sets."""

from __future__ import annotations

import argparse
import json
import sys

from priors.commands import arguments as shared

SUMMARY = "rank prompt sets by AUROC, accuracy and calibration on two labelled folders"
DESCRIPTION = (
    "A leaderboard of prompt sets on two labelled folders: AUROC, balanced accuracy at 0.5, calibration "
    "error. Pictures are encoded once."
)
EXAMPLES = """examples:
  python -m priors compare --positive-dir hazy/ --negative-dir clear/ --prompts haze fog mine.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    known = "built-in names, .json files, learned .safetensors; default: every built-in set"
    parser.add_argument("--positive-dir", required=True, metavar="D1", help="pictures that have the degradation")
    parser.add_argument("--negative-dir", required=True, metavar="D2", help="pictures that have not")
    parser.add_argument("--prompts", nargs="+", metavar="SET", help=known)
    shared.add_clip(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Encode once, judge every set, print a table."""
    from priors import prompts as prompt_sets
    from priors.evaluate import encode_folders, rank

    sets = [prompt_sets.load(name) for name in arguments.prompts or prompt_sets.names()]
    prior = shared.clip_of(arguments)
    labelled = encode_folders(
        prior, arguments.positive_dir, arguments.negative_dir, progress=shared.progress("encoding")
    )
    for sentence in labelled.skipped:
        print(f"priors compare: skipped: {sentence}", file=sys.stderr)
    table = rank(prior, labelled, sets)
    if arguments.json:
        shared.print_json(json.loads(table.to_json(orient="records")))
        return 0
    width = max(len("prompts"), *map(len, table["prompts"]))
    print(f"{'prompts':{width}}  AUROC   accuracy  calibration  mean hazy  mean clear")
    for row in table.itertuples():
        print(f"{row.prompts:{width}}  {row.auroc:.4f}  {row.accuracy:.4f}    {row.calibration_error:.4f}       "
              f"{row.mean_positive:.4f}     {row.mean_negative:.4f}")  # fmt: skip
    print(f"{row.positives} with, {row.negatives} without; {prior.name}")
    return 0
