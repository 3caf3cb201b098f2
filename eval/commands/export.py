"""``python -m eval export``: score rows as a ranked table, in any of the printed forms."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from eval.leaderboard import Leaderboard

_HUB_FORMATS = ("model-index", "eval-results")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``export`` command."""
    parser = subparsers.add_parser(
        "export",
        help="rank score rows and write the table as CSV, Markdown, LaTeX, HTML, JSON, YAML",
        description="Rank the methods of score rows and write the table. Rows of different protocols are never ranked "
        "together: choose one with --protocol-hash. Ranks and means use the images that every method has, unless "
        "--images all.",
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
    parser.add_argument("--protocol-hash", metavar="HASH", help="which protocol to rank, where the rows hold several")
    parser.add_argument("--dataset", metavar="NAME", help="which set to rank, where the rows hold several")
    parser.add_argument("--metrics", metavar="LIST", help="which metrics, in this order (default: all)")
    parser.add_argument("--methods", metavar="LIST", help="which methods (default: all)")
    parser.add_argument(
        "--images", choices=("common", "all"), default="common", help="average over common or own images"
    )
    parser.add_argument(
        "--sort-by", default="average_rank", metavar="METRIC", help="order of the table (default: average rank)"
    )
    parser.add_argument(
        "--costs", type=Path, metavar="FILE.json", help="efficiency columns, from 'python -m eval costs'"
    )
    parser.add_argument("--timings", action="store_true", help="show the restoring times and memory that rows of a "
                        "store carry")  # fmt: skip
    parser.add_argument("--heading", help="title of the HTML page and the Markdown table (default: the set and the "
                        "protocol)")  # fmt: skip
    parser.add_argument("--method", metavar="NAME", help="for model-index and eval-results: which method")
    parser.add_argument("--hub-dataset", metavar="ID", help="for model-index and eval-results: the set's Hub id")
    parser.add_argument("--source-url", metavar="URL", help="for model-index and eval-results: where the board stands")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Read, rank, write, and print the paths written."""
    from errors import UnknownNameError, UsageError
    from eval.efficiency import load
    from eval.export import FORMATS, write_all
    from eval.leaderboard import build

    formats = _listed(args.format) or []
    known = [*FORMATS, "parquet", *_HUB_FORMATS]
    for name in formats:
        if name not in known:
            raise UnknownNameError("format", name, known)
    hub = [name for name in formats if name in _HUB_FORMATS]
    if hub and not (args.method and args.hub_dataset):
        raise UsageError(f"--format {hub[0]} describes one method on one set; give --method NAME and --hub-dataset ID.")
    frame = read(args.rows)
    board = build(
        frame,
        protocol_hash=args.protocol_hash,
        dataset=args.dataset,
        metrics=_listed(args.metrics),
        methods=_listed(args.methods),
        images=args.images,
        sort_by=args.sort_by,
        costs=load(args.costs) if args.costs else None,
        timings=args.timings,
    )
    plain = [name for name in formats if name not in hub]
    written = write_all(board, frame, args.output, formats=plain, heading=args.heading)
    written += [_write_hub(board, name, args) for name in hub]
    for path in written:
        print(path)
    return 0


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


def _write_hub(board: Leaderboard, name: str, args: argparse.Namespace) -> Path:
    from eval.export import to_eval_results, to_model_index

    if name == "model-index":
        path = args.output / "model-index.yaml"
        text = to_model_index(board, args.method, dataset=args.hub_dataset, source_url=args.source_url)
    else:
        path = args.output / ".eval_results" / f"{args.hub_dataset.replace('/', '_')}.yaml"
        text = to_eval_results(board, args.method, dataset=args.hub_dataset, source_url=args.source_url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


def _listed(text: str | None) -> list[str] | None:
    return [item.strip() for item in text.split(",") if item.strip()] if text else None
