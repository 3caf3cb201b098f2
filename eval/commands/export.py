"""``python -m eval export``: score rows as a ranked table, in any of the printed forms."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from eval.suite import Ranking

_HUB_FORMATS = ("model-index", "eval-results")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``export`` command."""
    parser = subparsers.add_parser(
        "export",
        help="rank score rows and write the table as CSV, Markdown, LaTeX, HTML, JSON, YAML",
        description="Rank the methods of score rows and write the table; several sets stand side by side, each with "
        "its own columns. Rows of different protocols are never ranked together: choose one with --protocol. Ranks and "
        "means use the images that every method has, unless --images all.",
    )
    parser.add_argument(
        "rows", nargs="+", type=Path, metavar="ROWS", help="row files (.csv, .parquet, .jsonl) or stores (.sqlite)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--format",
        default="csv,md,tex,html,json,parquet",
        metavar="LIST",
        help="some of csv, md, tex, html, json, parquet, model-index, eval-results (default: the first six)",
    )
    _add_choices(parser)
    _add_looks(parser)
    hub = parser.add_argument_group("model-index and eval-results", "The two forms of a model card on the Hub.")
    hub.add_argument("--hub-method", "--method", metavar="NAME", help="which method the card is of")
    hub.add_argument("--hub-dataset", metavar="ID", help="the set's Hub id")
    hub.add_argument("--source-url", metavar="URL", help="where the board stands")
    parser.set_defaults(execute=run)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """What is ranked."""
    group = parser.add_argument_group("what is ranked")
    group.add_argument("--protocol", "--protocol-hash", metavar="NAME|HASH|FILE", help="which protocol, where the rows "
                       "hold several: name, hash or its beginning, or the JSON file of one of your own")  # fmt: skip
    group.add_argument("--dataset", action="append", metavar="NAME", help="which set, where the rows hold several; "
                       "repeat it for several, in the order of the columns (default: all)")  # fmt: skip
    group.add_argument("--pool", action="store_true", help="pool the sets, every image weighing the same, instead of "
                       "ranking on each")  # fmt: skip
    group.add_argument("--metrics", metavar="LIST", help="which metrics, in this order (default: all)")
    group.add_argument("--methods", metavar="LIST", help="which methods (default: all)")
    group.add_argument(
        "--images", choices=("common", "all"), default="common", help="average over common or own images"
    )
    group.add_argument(
        "--sort-by", default="average_rank", metavar="METRIC", help="order of the table (default: average rank)"
    )
    costs = group.add_mutually_exclusive_group()
    costs.add_argument(
        "--costs", type=Path, metavar="FILE.json", help="efficiency columns, from 'python -m eval costs'"
    )
    costs.add_argument("--timings", action="store_true", help="show the restoring times and memory that rows of a "
                       "store carry")  # fmt: skip


def _add_looks(parser: argparse.ArgumentParser) -> None:
    """How it is printed."""
    group = parser.add_argument_group("how it is printed", "csv, json and parquet always hold every raw number.")
    group.add_argument("--decimals", metavar="LIST", help="digits shown, as in psnr=2,ssim=3; best and second are "
                       "marked at that precision")  # fmt: skip
    group.add_argument("--no-intervals", dest="intervals", action="store_const", const=False, help="without confidence "
                       "intervals (md, tex, html)")  # fmt: skip
    group.add_argument("--no-average-rank", dest="average_rank", action="store_const", const=False, help="without the "
                       "column of average ranks (md, tex, html)")  # fmt: skip
    group.add_argument("--heading", metavar="TEXT", help="title (md, html; default: the set and the protocol)")
    group.add_argument("--caption", metavar="TEXT", help="caption (tex); the set and the protocol's sentence then go "
                       "into the note under the table")  # fmt: skip
    group.add_argument("--label", metavar="NAME", help="label (tex; default: tab:SET-PROTOCOL)")


def run(args: argparse.Namespace) -> int:
    """Read, rank, write, and print the paths written."""
    from errors import UsageError, check_names
    from eval import console
    from eval.efficiency import load
    from eval.export import FORMATS, LOOKS, write_all
    from eval.leaderboard import build
    from eval.selection import chosen
    from eval.suite import build_suite

    formats = _listed(args.format) or []
    check_names("format", formats, [*FORMATS, "parquet", *_HUB_FORMATS])
    hub = [name for name in formats if name in _HUB_FORMATS]
    looks = {name: getattr(args, name) for name in LOOKS if getattr(args, name) is not None}
    for name in looks:
        _refuse_without(LOOKS[name], formats, f"--no-{name}" if looks[name] is False else f"--{name}")
    for name in ("hub_method", "hub_dataset", "source_url"):
        if getattr(args, name) is not None:
            _refuse_without(_HUB_FORMATS, formats, f"--{name}")
    if hub and not (args.hub_method and args.hub_dataset):
        raise UsageError(
            f"--format {hub[0]} describes one method on one set; give --hub-method NAME and --hub-dataset ID."
        )
    frame = read(args.rows)
    if args.timings and frame["seconds"].isna().all():
        raise UsageError("These rows carry no restoring times; give a store (.sqlite) of a run that restored pictures.")
    own = args.protocol and console.is_protocol_file(args.protocol)
    protocol = console.protocol_of(args.protocol) if own else args.protocol
    options = {
        "protocol": protocol,
        "metrics": _listed(args.metrics),
        "methods": _listed(args.methods),
        "images": args.images,
        "sort_by": args.sort_by,
        "costs": load(args.costs) if args.costs else None,
        "timings": args.timings,
        "decimals": _decimals(args.decimals),
    }
    if args.pool:
        ranking: Ranking = build(chosen(frame, None, args.dataset), **options)
    else:
        ranking = build_suite(frame, datasets=args.dataset, **options)
    cards = {name: _card(ranking, name, args) for name in hub}
    written = write_all(ranking, frame, args.output, formats=[f for f in formats if f not in hub], **looks)
    for path, text in cards.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
        written.append(path)
    for path in written:
        print(path)
    return 0


def _refuse_without(forms: Sequence[str], formats: Sequence[str], option: str) -> None:
    """Refuse an option that no form would show.

    Raises:
        UsageError: None of its forms is written.
    """
    from errors import UsageError
    from eval.wording import listed

    if not set(forms) & set(formats):
        raise UsageError(
            f"{option.replace('_', '-')} has an effect on {listed(forms)} only; add one to --format or leave it out."
        )


def _decimals(text: str | None) -> dict[str, int]:
    """What ``--decimals`` says.

    Raises:
        UsageError: It is no list of METRIC=DIGITS.
    """
    from errors import UsageError

    pairs = [item.partition("=") for item in _listed(text) or []]
    if not all(digits.isdecimal() for _, _, digits in pairs):
        raise UsageError(f"--decimals {text!r} is no list of digits a metric; write it as in psnr=2,ssim=3.")
    return {metric: int(digits) for metric, _, digits in pairs}


def read(paths: list[Path]) -> pandas.DataFrame:
    """Rows of several files or stores as one table.

    Raises:
        UsageError: A path does not exist.
        StoreError: A file holds no rows.
    """
    import pandas

    from errors import StoreError, UsageError
    from eval.rowfiles import SUFFIXES, read_rows
    from eval.rows import to_frame
    from eval.store import Store, is_store

    frames = []
    for path in paths:
        if not path.is_file():
            raise UsageError(f"There is no file {str(path)!r}; give row files or a store.")
        if path.suffix.lower() in SUFFIXES:
            frames.append(to_frame(read_rows(path)))
        else:
            if not is_store(path):
                raise StoreError(f"{path.name} is neither a row file (.csv, .parquet, .jsonl) nor a store; check it.")
            with Store(path) as store:
                frames.append(store.frame())
    return pandas.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _card(ranking: Ranking, name: str, args: argparse.Namespace) -> tuple[Path, str]:
    """Where a form of the Hub goes, and its text.

    Raises:
        UsageError: There are several sets, or the method has no finite mean.
        UnknownNameError: The method is not on the board.
    """
    from errors import UsageError
    from eval.export import to_eval_results, to_model_index

    if len(ranking.boards) > 1:
        raise UsageError(f"--format {name} describes one set; choose it with --dataset, or pool the sets with --pool.")
    board, method = ranking.boards[0], args.hub_method
    if name == "model-index":
        text = to_model_index(board, method, dataset=args.hub_dataset, source_url=args.source_url)
        return args.output / "model-index.yaml", text
    text = to_eval_results(board, method, dataset=args.hub_dataset, source_url=args.source_url)
    return args.output / ".eval_results" / f"{args.hub_dataset.replace('/', '_')}.yaml", text


def _listed(text: str | None) -> list[str] | None:
    return [item.strip() for item in text.split(",") if item.strip()] if text else None
