"""What the command lines of all rooms share: one-line errors and exit statuses.

0 done, 1 failed, 2 unusable arguments, 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from errors import HubError, UsageError


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


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
    except HubError as error:
        if debug:
            traceback.print_exc()
        print(f"{parser.prog} {arguments.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
