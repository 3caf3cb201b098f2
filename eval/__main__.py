"""``python -m eval``: score · leaderboard · diagnose · export · merge · protocols · niqe-fit."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence

from errors import HubError, UsageError
from eval import commands
from eval.console import Parser, tell
from version import __version__

ORDER = ("score", "leaderboard", "merge", "export", "diagnose", "protocols", "niqe_fit")


def build_parser() -> Parser:
    """The parser with the commands of every module in :mod:`eval.commands`."""
    parser = Parser(
        prog="python -m eval",
        description="Score sets of pictures under a named protocol and rank methods honestly.",
        epilog="'python -m eval COMMAND --help' explains a command. --debug anywhere shows a traceback on errors.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    found = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    for name in sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        importlib.import_module(f"{commands.__name__}.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    args = build_parser().parse_args([word for word in words if word != "--debug"])
    try:
        return args.run(args)
    except HubError as error:
        if debug:
            traceback.print_exc()
        tell(f"python -m eval {args.command}: {error}")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        tell("Stopped.")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
