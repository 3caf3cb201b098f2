"""What the command lines of all rooms share: one-line errors and exit statuses.

0 done, 1 failed, 2 unusable arguments, 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from errors import UnveilError, UsageError


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, without the usage before it; knows no shortened options."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False} | options)

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and refuse what nobody knows here, where the command's name is known, and not in the parser above."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def with_commands(package: str, names: Sequence[str], description: str) -> Parser:
    """The parser of ``python -m PACKAGE``, with the commands of ``PACKAGE.commands``.

    Args:
        package: Name of the room.
        names: Commands, in the order of the help; ``NAME`` is the module ``PACKAGE.commands.NAME_command`` with
            ``SUMMARY``, ``DESCRIPTION``, ``EXAMPLES``, ``add_arguments`` and ``execute``. They must not import torch
            before they run.
        description: One sentence.
    """
    top = Parser(
        prog=f"python -m {package}",
        description=description,
        epilog="Exit status: 0 done, 1 failed (all that could be done was), 2 unusable arguments. "
        "--debug anywhere shows a traceback on errors.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        module = import_module(f"{package}.commands.{name}_command")
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


def main(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse, run the chosen command, and turn what goes wrong into a line on stderr.

    Args:
        parser: Its commands set the default ``execute``, a function from the parsed arguments to an exit status,
            and ``command``, their name. ``--debug`` is understood anywhere and shows tracebacks.
        argv: Words after the program's name; default: the process's own.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    arguments = parser.parse_args([word for word in words if word != "--debug"])
    try:
        return arguments.execute(arguments)
    except UnveilError as error:
        if debug:
            traceback.print_exc()
        print(f"{parser.prog} {arguments.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug:
            traceback.print_exc()
        print(f"{parser.prog} {arguments.command}: {_of_the_system(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _of_the_system(error: OSError) -> str:
    """What the system refused, as a sentence."""
    what = error.filename if error.filename is not None else "A file"
    return f"{what} cannot be read or written ({error.strerror or error}); check the path, its rights and the disk."
