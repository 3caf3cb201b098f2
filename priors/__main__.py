"""``python -m priors score | density | learn | compare``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import command_line
from command_line import Parser

COMMANDS = ("score", "density", "learn", "compare")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 1 on failure, 2 on unusable arguments."""
    parser = Parser(prog="python -m priors", description="Ask a vision-language model what is wrong with pictures.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for name in COMMANDS:
        module = importlib.import_module(f"priors.commands.{name}")
        child = commands.add_parser(name, help=module.SUMMARY, description=module.__doc__)
        module.add_arguments(child)
        child.set_defaults(execute=module.run)
    return command_line.main(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
