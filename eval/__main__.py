"""``python -m eval``: score · leaderboard · diagnose · export · merge · protocols · niqe-fit."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import command_line
from command_line import Parser
from eval import commands
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
    return command_line.main(build_parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
