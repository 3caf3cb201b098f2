"""Command line of the restorers: ``python -m restorers list | run | convert | verify | push``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from errors import HubError, UsageError

_COMMANDS = ("list", "run", "convert", "verify", "push")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see '{self.prog} --help').\n")


def parser() -> argparse.ArgumentParser:
    """Every command and option; made without importing torch."""
    top = _Parser(
        prog="python -m restorers",
        description="Restore hazy, dark and small pictures, and manage the methods that do it.",
        epilog="Exit status: 0 done, 1 failed (all that could be done was), 2 unusable arguments.",
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
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(execute=module.execute)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Exit status: 0 done, 1 failed, 2 unusable arguments.
    """
    arguments = parser().parse_args(argv)
    try:
        return arguments.execute(arguments)
    except HubError as error:
        if arguments.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())
