"""Command line of the priors: ``python -m priors score | density | learn | compare``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import command_line

_COMMANDS = ("score", "density", "learn", "compare")
_DESCRIPTION = "Ask a vision-language model what is wrong with pictures, and where, in words of your own."


def parser() -> command_line.Parser:
    """Every command and option; made without importing torch."""
    return command_line.with_commands("priors", _COMMANDS, _DESCRIPTION)


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
