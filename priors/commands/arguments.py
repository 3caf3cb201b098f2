"""Arguments that several commands share: which CLIP, which words, and how results are printed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priors.inputs import find_inputs, left_out
from priors.prompts import DEFAULT, PromptSet
from priors.prompts import load as load_prompts

if TYPE_CHECKING:
    from priors.clip import ClipPrior


def add_clip(parser: argparse.ArgumentParser) -> None:
    """--clip, --device and --json."""
    parser.add_argument(
        "--clip", default="embedded", metavar="NAME",
        help="embedded, local-dir:FOLDER, hf-hub:ORG/NAME, or NAME:TAG such as ViT-B-32:laion2b_s34b_b79k",
    )  # fmt: skip
    parser.add_argument("--device", default=None, metavar="DEVICE", help="cpu (default), cuda, ...")
    parser.add_argument("--json", action="store_true", help="print records for machines")


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """--prompts, or --positive and --negative."""
    parser.add_argument(
        "--prompts", metavar="SET",
        help=f"a built-in set, a .json file, or learned prompts (.safetensors); default {DEFAULT}",
    )  # fmt: skip
    parser.add_argument("--positive", nargs="+", metavar="TEXT", help="your own words for haze, instead of a set's")
    parser.add_argument("--negative", nargs="+", metavar="TEXT", help="your own words for its absence")


def prompts_of(arguments: argparse.Namespace) -> PromptSet:
    """The set that the flags describe; words given replace that end of the set."""
    prompts = load_prompts(arguments.prompts or DEFAULT)
    if arguments.positive or arguments.negative:
        prompts = prompts.with_texts(
            arguments.positive or list(prompts.positives), arguments.negative or list(prompts.negatives)
        )
        prompts = replace(prompts, name=f"{prompts.name}, own words")
    return prompts


def words(prompts: PromptSet) -> dict[str, Any]:
    """What a record says about the prompts: the set's name, and the words of both ends."""
    return {"prompts": prompts.name, "positive": list(prompts.positives), "negative": list(prompts.negatives)}


def clip_of(arguments: argparse.Namespace) -> ClipPrior:
    """The CLIP that the flags name, on the device that they name."""
    from devices import choose_device
    from priors.clip import load

    return load(arguments.clip, device=str(choose_device(arguments.device or "cpu")))


def pictures_of(inputs: list[str]) -> list[Path]:
    """Every picture named or inside a folder named; on stderr, how many there were in formats that are not read.

    Raises:
        UsageError: an input does not exist, or a folder holds no pictures.
    """
    found, unread = find_inputs(inputs)
    if unread:
        print(left_out(unread), file=sys.stderr)
    return found


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1))


def progress(label: str) -> Any:
    """A counter line on stderr when that is a terminal, otherwise nothing."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\r{label} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
