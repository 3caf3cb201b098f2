"""``python -m priors learn``: prompts from two folders of pictures."""

from __future__ import annotations

import argparse
import sys

from priors.commands import arguments as shared

SUMMARY = "learn prompts (context vectors) from a folder with and a folder without the degradation"
DESCRIPTION = (
    "Learn prompts (context vectors in place of words) from a folder with and a folder without the "
    "degradation. A few dozen pictures a side are enough; the file works wherever a prompt set does."
)
EXAMPLES = """examples:
  python -m priors learn --positive-dir hazy/ --negative-dir clear/ --output mine.safetensors
  python -m priors score photos/ --prompts mine.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("--positive-dir", required=True, metavar="D1", help="pictures that have the degradation")
    parser.add_argument("--negative-dir", required=True, metavar="D2", help="pictures that have not")
    parser.add_argument("--output", required=True, metavar="SET.safetensors")
    parser.add_argument("--steps", type=int, default=None, metavar="N")
    parser.add_argument("--context", type=int, default=None, metavar="N", help="learned vectors per end")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    shared.add_prompts(parser)
    shared.add_clip(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Encode, learn and save."""
    from errors import UsageError
    from priors.learn import Settings, learn

    for flag, value in (("--steps", arguments.steps), ("--context", arguments.context)):
        if value is not None and value < 1:
            raise UsageError(f"{flag} is at least 1, not {value}.")
    start = shared.prompts_of(arguments)
    sides = [shared.pictures_of([folder]) for folder in (arguments.positive_dir, arguments.negative_dir)]
    chosen = {k: v for k, v in (("steps", arguments.steps), ("context", arguments.context)) if v is not None}
    settings = Settings(seed=arguments.seed, **chosen)
    prior = shared.clip_of(arguments)
    learned = learn(prior, *sides, start=start, settings=settings, progress=shared.progress("encoding"))
    for sentence in learned.skipped:
        print(f"priors learn: skipped: {sentence}", file=sys.stderr)
    learned.save(arguments.output)
    record = {"output": arguments.output, "pictures": learned.pictures, "steps": settings.steps, "clip": prior.name,
              "clip_sha256": prior.sha256, "first_loss": learned.curve[0], "last_loss": learned.curve[-1]}  # fmt: skip
    if arguments.json:
        shared.print_json(record)
    else:
        print(
            f"loss {record['first_loss']:.4f} -> {record['last_loss']:.4f}, {settings.steps} steps: {arguments.output}"
        )
    return 0
