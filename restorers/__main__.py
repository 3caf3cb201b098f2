"""Command line of the restorers: ``python -m restorers list | run | convert | verify | push``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import command_line

_COMMANDS = ("list", "run", "convert", "verify", "push")
_DESCRIPTION = "Restore hazy, dark and small pictures, and manage the methods that do it."


def parser() -> command_line.Parser:
    """Every command and option; made without importing torch."""
    return command_line.with_commands("restorers", _COMMANDS, _DESCRIPTION)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Words after the program's name; default: the process's own.

    Returns:
        0 on success, 1 on failure, 2 on unusable arguments.
    """
    return command_line.main(parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
