"""``python -m priors score | density | learn | compare``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from errors import HubError, UsageError
from priors.commands.arguments import Parser

COMMANDS = ("score", "density", "learn", "compare")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 1 on failure, 2 on unusable arguments."""
    parser = Parser(prog="python -m priors", description="Ask a vision-language model what is wrong with pictures.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for name in COMMANDS:
        module = importlib.import_module(f"priors.commands.{name}")
        child = commands.add_parser(name, help=module.SUMMARY, description=module.__doc__)
        module.add_arguments(child)
        child.set_defaults(run=module.run)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except HubError as error:
        if arguments.debug:
            raise
        print(f"priors {arguments.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
