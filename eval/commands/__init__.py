"""One module per subcommand of `python -m eval`; each has `add_parser(subparsers)` and `run(args) -> int`."""
