"""``python -m eval leaderboard``: restore, score and rank several methods on one set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard

_DESCRIPTION = """Rank methods on one set. A method is 'input' (the degraded pictures themselves), a restorer of ours,
a checkpoint (file, folder or Hub repository), or NAME=PLACE with results that exist as a folder, zip or tar. Restoring
and scoring stream; rows are kept in DIR/rows.sqlite, so the same command again computes only what is new. 'python -m
eval export DIR/rows.parquet' prints the table anew: several sets side by side, with other decimals or caption."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``leaderboard`` command."""
    from eval.console import add_set_arguments

    parser = subparsers.add_parser("leaderboard", help="rank methods on a set", description=_DESCRIPTION)
    add_set_arguments(parser)
    parser.add_argument(
        "--methods",
        required=True,
        action="append",
        metavar="LIST",
        help="comma-separated: input, NAME of a restorer, checkpoint, NAME=RESULTS",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for table, report and rows")
    parser.add_argument("--images", choices=("common", "all"), default="common", help="average over the pictures that "
                        "every method has (default), or over each method's own")  # fmt: skip
    costs = parser.add_mutually_exclusive_group()
    costs.add_argument("--costs", type=Path, metavar="FILE.json", help="what 'python -m eval costs' measured")
    costs.add_argument("--timings", action="store_true", help="show seconds per input megapixel and used memory of "
                       "this run's restoring; such a table changes from run to run")  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="forget the rows of earlier runs in DIR")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Open, report, restore and score, rank, write."""
    from eval import console, efficiency
    from eval.export import to_report, write_all
    from eval.leaderboard import build, check_costs
    from eval.methods import parse_methods, remarks
    from eval.runner import make_plan
    from eval.runner import run as run_plan
    from eval.sets import open_set
    from eval.store import Store

    chosen = console.protocol_of(args.protocol)
    methods = parse_methods(args.methods)
    names = [method.name for method in methods]
    costs = efficiency.load(args.costs) if args.costs else None
    check_costs(costs, names)
    images = open_set(
        console.location(args.input), console.location(args.reference), pairing=args.pairing, inspect=True
    )
    console.tell(*images.report.lines(), *remarks(methods, images.pairs))
    dataset = args.dataset or (images.name if len(args.input) == 1 else "")  # a list of files has no name
    plan = make_plan(
        images,
        methods,
        console.metric_names(args.metrics, images.has_references),
        chosen,
        niqe_parameters=args.niqe_parameters,
        dataset=dataset,
        device=args.device,
    )
    with Store(args.output / "rows.sqlite") as store:
        if args.fresh:
            store.delete(dataset=dataset)
        try:
            console.follow(run_plan(plan, store, workers=args.workers, engine=args.engine))
        except KeyboardInterrupt:
            console.tell("Stopped. What is done is kept; the same command goes on.")
            return 130
        frame = plan.frame(store)
    board = build(frame, protocol=chosen, methods=names, images=args.images, costs=costs, timings=args.timings)
    write_all(board, frame, args.output)
    print(to_report(board) if args.json else board_text(board))
    if not args.json:
        console.tell(f"Written to {args.output}: rows.parquet, leaderboard.csv, .md, .tex, .html and report.json.")
    return 1 if args.strict and frame["error"].notna().any() else 0


def board_text(board: Leaderboard) -> str:
    """The table for a terminal; methods with a common letter cannot be told apart."""
    from eval import console
    from eval.exports import printed
    from eval.exports.reasons import reasons
    from eval.leaderboard import COSTS

    heads = ["method", *(printed.title(board, metric) for metric in board.metrics), "average rank"]
    heads += [printed.FAILED.lower(), *(COSTS[name] for name in printed.cost_columns(board))]
    body = [
        [
            f"{line.rank}. {line.method}",
            *(f"{cell.text} {cell.group}".strip() for cell in line.cells),
            line.average_rank,
            str(line.failures),
            *line.costs,
        ]
        for line in printed.lines(board)
    ]
    why = reasons(board.failures, lambda metric: printed.failure_line(board, metric))
    return "\n".join([console.columns(heads, body), "", *printed.sentences(board), *why])
