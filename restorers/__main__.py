"""Command line of the restorers: ``python -m restorers list | run | convert | verify | push``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

import command_line
from command_line import Parser

_COMMANDS = ("list", "run", "convert", "verify", "push")


def parser() -> argparse.ArgumentParser:
    """Every command and option; made without importing torch."""
    top = Parser(
        prog="python -m restorers",
        description="Restore hazy, dark and small pictures, and manage the methods that do it.",
        epilog="Exit status: 0 done, 1 failed (all that could be done was), 2 unusable arguments. "
        "--debug anywhere shows a traceback on errors.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        module = import_module(f"restorers.commands.{name}_command")
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Exit status: 0 done, 1 failed, 2 unusable arguments.
    """
    return command_line.main(parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
