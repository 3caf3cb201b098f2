"""Command line of training: ``python -m training fit | evaluate | publish``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command_line
from command_line import Parser
from errors import UsageError

EXAMPLES = """examples:
  python -m training fit training/recipes/aecr_net.yaml --data ~/data --output runs/aecr_net --workers 8
  python -m training fit training/recipes/aecr_net.yaml --data ~/data --output runs/aecr_net --resume
  accelerate launch --num_processes 2 -m training fit training/recipes/aecr_net.yaml --data ~/data
  python -m training evaluate runs/aecr_net --data ~/data
  python -m training publish runs/aecr_net
  python -m training evaluate aecr_net --data ~/data --limit 30
"""


def parser() -> argparse.ArgumentParser:
    """Every command and option; made without importing torch."""
    top = Parser(
        prog="python -m training",
        description="Train the embedded networks, or your own, and measure what came out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    fit = commands.add_parser(
        "fit",
        help="train by a recipe",
        description="Train by a recipe. The run's folder gets recipe.yaml, train.csv, validation.csv, sample sheets, "
        "state.pt (to resume from) and weights.safetensors (half precision, moving average, traceable; the folder "
        "open_clip for the haze CLIP). SIGTERM and Ctrl-C save the state first. Put 'accelerate launch' in front for "
        "several GPUs.",
    )
    fit.add_argument("recipe", type=Path, help="YAML file; training/recipes holds those of the embedded weights")
    _data_options(fit)
    fit.add_argument("--output", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME)")
    fit.add_argument("--steps", type=int, metavar="N", help="length of the run in place of the recipe's")
    fit.add_argument("--stop-after", type=int, metavar="N", help="end after step N, without shortening the schedule")
    fit.add_argument("--resume", action="store_true", help="go on from RUN/state.pt if it is there")
    fit.add_argument("--changed", action="store_true", help="with --resume: go on by a recipe that is not the run's")
    fit.add_argument("--workers", type=int, default=0, metavar="N", help="processes that draw samples (default 0)")
    fit.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace an entry of the recipe, dots reach inside: --set loss.contrastive=0",
    )
    fit.set_defaults(execute=_fit)

    evaluate = commands.add_parser(
        "evaluate",
        help="measure a run's weights, or embedded ones, on all validation pairs",
        description="Restore every validation pair with RUN/weights.safetensors as published, print mean PSNR and "
        "SSIM by the task's protocol beside those of the input, and write RUN/evaluation.json and .csv. Figures of an "
        "embedded method are only printed, unless --output says where to keep them.",
    )
    evaluate.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="folder of a run; or name of an embedded method, if there is no such folder",
    )
    _data_options(evaluate)
    evaluate.add_argument("--limit", type=int, metavar="N", help="only N pairs, drawn from all, always the same")
    evaluate.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for evaluation.json and .csv (default: RUN)"
    )
    evaluate.add_argument("--assets", type=Path, metavar="DIR", help="folder of embedded weights")
    evaluate.set_defaults(execute=_evaluate)

    publish = commands.add_parser(
        "publish",
        help="put a run's weights among the embedded ones",
        description="Copy RUN/weights.safetensors to assets/weights and write its description (architecture, sha256, "
        "recipe, data, figures of RUN/evaluation.json), from which the method's card is made.",
    )
    publish.add_argument("run", type=Path, metavar="RUN", help="folder of a run that was evaluated")
    publish.add_argument("--name", help="name of the method (default: the recipe's)")
    publish.add_argument("--assets", type=Path, metavar="DIR", help="folder of embedded weights")
    publish.set_defaults(execute=_publish)

    for command in (fit, evaluate, publish):
        command.add_argument("--json", action="store_true", help="print the result for machines")
    return top


def _data_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, required=True, metavar="ROOT", help="folder of the training data")
    command.add_argument(
        "--cache", type=Path, default=Path("var/training"), metavar="DIR", help="packed data (default: var/training)"
    )
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to run")


def _fit(arguments: argparse.Namespace) -> int:
    from training.fit import Options, train
    from training.recipe import load_recipe

    changes: dict[str, Any] = dict(_setting(text) for text in arguments.set)
    if arguments.steps is not None:
        changes["steps"] = arguments.steps
    recipe = load_recipe(arguments.recipe, changes)
    output = arguments.output or Path("runs") / recipe.name
    outcome = train(
        recipe,
        Options(
            data=arguments.data,
            output=output,
            cache=arguments.cache,
            resume=arguments.resume,
            changed=arguments.changed,
            device=arguments.device,
            workers=arguments.workers,
            stop_after=arguments.stop_after,
        ),
    )
    record = {"run": str(output), "step": outcome.step, "finished": outcome.finished, **outcome.figures}
    line = f"{output}: {_means(outcome.figures)}"
    if not outcome.finished:
        line = f"{output}: stopped after {outcome.step} of {outcome.steps} steps with a saved state; go on by --resume."
    elif not outcome.taken:
        line = f"{output} has already taken all {outcome.steps} steps: {_means(outcome.figures)}"
    _report(arguments.json, record, line)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from restorers.networks import WEIGHTS
    from training.evaluate import evaluate

    figures = evaluate(
        arguments.run,
        arguments.data,
        arguments.cache,
        device=arguments.device,
        limit=arguments.limit,
        output=arguments.output,
        assets=arguments.assets or WEIGHTS,
    )
    _report(arguments.json, figures, f"{figures['pairs']} pairs of {figures['dataset']}: {_means(figures)}")
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from restorers.networks import WEIGHTS
    from training.publish import publish

    facts = publish(arguments.run, arguments.assets or WEIGHTS, name=arguments.name)
    card = facts["card"]
    _report(arguments.json, facts, f"{card['name']}: {card['weights']} sha256 {card['weights_sha256'][:12]}")
    return 0


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set wants KEY=VALUE, got {text!r}.")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(
            f"--set {key}: {value!r} is no value of a recipe, which is YAML; quote it or mend it."
        ) from error


def _means(figures: dict[str, Any]) -> str:
    if "psnr" not in figures:
        return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    return (
        f"PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.4f} "
        f"(input {figures['input_psnr']:.2f} dB, {figures['input_ssim']:.4f})"
    )


def _report(as_json: bool, record: dict[str, Any], line: str) -> None:
    print(json.dumps(record) if as_json else line)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Exit status: 0 done, 1 failed, 2 unusable arguments.
    """
    return command_line.main(parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
