"""``python -m eval score``: scores of one set, a row per picture and metric."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.rows import ScoreRow
    from eval.runner import Plan
    from eval.store import Store

_DESCRIPTION = """Score a set of pictures, with references or without, and write one row per picture and metric.
A picture that cannot be scored becomes a row that says why; the rest is scored. While it works, rows are kept in
OUTPUT.journal: after a crash, the same command with --resume goes on where it stopped and writes the same bytes.
With --resume the rows of other methods, metrics, pictures and protocols that OUTPUT holds are kept, too; without it,
OUTPUT is replaced, and a journal that holds rows is a reason not to start."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the ``score`` command."""
    from eval.console import add_set_arguments

    parser = subparsers.add_parser("score", help="score a set of pictures", description=_DESCRIPTION)
    add_set_arguments(parser)
    parser.add_argument(
        "--output", required=True, type=Path, metavar="ROWS", help="rows: .csv, .parquet or .jsonl; sorted by picture"
    )
    parser.add_argument("--method", default="input", metavar="NAME", help="who made these pictures (default: input)")
    parser.add_argument("--shard", metavar="I/N", help="score every N-th picture from the I-th (0/4 … 3/4); see merge")
    parser.add_argument("--resume", action="store_true", help="go on with what the journal or OUTPUT holds already")
    parser.set_defaults(execute=run)


def run(args: argparse.Namespace) -> int:
    """Open, report, score, write, summarise."""
    from errors import UnveilError, UsageError
    from eval import console
    from eval.distributed import parse_shard
    from eval.methods import Method
    from eval.rowfiles import check_suffix, write_rows
    from eval.runner import make_plan
    from eval.runner import run as run_plan
    from eval.sets import open_set

    check_suffix(args.output)
    if "," in args.method or "=" in args.method or not args.method.strip():
        raise UsageError(f"--method {args.method!r} is no name; leave out commas and equals signs.")
    shard = parse_shard(args.shard) if args.shard else None
    chosen = console.protocol_of(args.protocol)
    images = open_set(
        console.location(args.input), console.location(args.reference), pairing=args.pairing, inspect=shard is None
    )
    known = images.has_references
    metrics = console.metric_names(args.metrics, known)
    if shard:
        images = images.shard(*shard).inspected()
    console.tell(*images.report.lines())
    plan = make_plan(
        images,
        [Method(args.method.strip(), "input")],
        metrics,
        chosen,
        niqe_parameters=args.niqe_parameters,
        dataset=args.dataset,
        device=args.device,
        has_references=known,
    )
    if args.output.is_file() and not args.resume:
        console.tell(f"{args.output} exists and will be replaced; to keep its rows stop this, and add --resume.")
    journal = args.output.with_name(args.output.name + ".journal")
    with _open_journal(journal, args.output, args.resume) as store:
        try:
            last = console.follow(run_plan(plan, store, workers=args.workers, engine=args.engine))
        except KeyboardInterrupt:
            console.tell("Stopped. What is done is kept; the same command with --resume goes on.")
            return 130
        except UnveilError:
            if not len(store):
                _remove(journal)
            raise
        mine = sum(1 for _ in plan.rows(store))
        kept = sum(1 for _ in plan.rows(store, others=True)) - mine
        part = "{}/{}".format(*shard) if shard and not kept else ""
        write_rows(args.output, plan.rows(store, others=True), shard=part)
        summary = summarise(plan, store)
    if kept:
        rows = f"{kept:,} row{'s' if kept > 1 else ''}"
        console.tell(f"{args.output} keeps {rows} of other methods, metrics, pictures, sets or protocols.")
    _remove(journal)
    record = summary | {
        "output": str(args.output),
        "pairing": console.report_record(images.report),
        "found": last.found,
        "kept": kept,
        "seconds": round(last.seconds, 3),
    }
    print(json.dumps(record, ensure_ascii=False) if args.json else summary_text(record))
    return 1 if args.strict and record["failures"] else 0


def summarise(plan: Plan, store: Store) -> dict[str, Any]:
    """Mean, median, standard deviation and failures per metric, for machines; infinite scores are counted apart."""
    import numpy as np

    from eval import stats
    from eval.rows import in_json

    values: dict[str, list[float]] = {name: [] for name in plan.job.metrics}
    variants: dict[str, set[str]] = {name: set() for name in plan.job.metrics}
    failed: dict[str, int] = dict.fromkeys(plan.job.metrics, 0)
    failures: list[ScoreRow] = []
    for row in plan.rows(store):
        if row.value is None:
            failures.append(row)
            for name in [row.metric] if row.metric else plan.job.metrics:
                failed[name] += 1
        else:
            values[row.metric].append(row.value)
            variants[row.metric].add(row.variant)
    metrics = {}
    for name, scores in values.items():
        found = stats.summary(np.array(scores, dtype=np.float64))
        figures = {"mean": found.mean, "median": found.median, "std": found.std}
        metrics[name] = {
            "images": len(scores),
            "infinite": found.infinite,
            "failed": failed[name],
            **{key: None if math.isnan(value) else in_json(value) for key, value in figures.items()},
            "variant": ", ".join(sorted(variants[name])),
        }
    return {
        "method": plan.methods[0].name,
        "protocol": plan.job.protocol.name,
        "protocol_hash": plan.job.protocol.hash,
        "protocol_sentence": plan.job.protocol.sentence,
        "metrics": metrics,
        "failures": [{"image": row.image, "metric": row.metric, "error": row.error} for row in failures],
    }


def summary_text(record: dict[str, Any]) -> str:
    """The summary for people."""
    from eval.console import columns
    from eval.exports.reasons import reasons
    from eval.metrics.registry import spec
    from eval.selection import Failure

    body, remarks = [], []
    for name, facts in record["metrics"].items():
        metric = spec(name)

        def show(value: float | str | None, digits: int = metric.decimals) -> str:
            return "-" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"

        title = f"{metric.title} {metric.arrow}" + (f" ({facts['variant']})" if facts["variant"] else "")
        numbers = [show(facts[key]) for key in ("mean", "median", "std")]
        if facts["infinite"]:
            count = facts["infinite"]
            left = "; left out of mean, median and std" if count < facts["images"] else ""
            images = f"{count} image{'s' if count > 1 else ''}"
            remarks.append(f"{metric.title}: infinite on {images} (output identical to the reference){left}.")
        body.append([title, str(facts["images"]), str(facts["failed"]), *numbers])
    heads = ["metric", "images", "failed", "mean", "median", "std"]
    lines = [columns(heads, body), "", record["protocol_sentence"], *remarks]
    failures = [Failure(method=record["method"], **item) for item in record["failures"]]
    lines += reasons(failures, lambda metric: spec(metric).title)
    lines.append(f"Rows: {record['output']}")
    return "\n".join(lines)


def _open_journal(journal: Path, output: Path, resume: bool) -> Store:
    """The journal, empty or with what is known; of two rows of one picture, method and protocol its own counts.

    Raises:
        UsageError: It holds rows of a run that was stopped, and nothing says what shall become of them.
    """
    from errors import UsageError
    from eval.rowfiles import read_rows
    from eval.store import Store

    store = Store(journal)
    if not resume and (held := len(store)):
        store.close()
        raise UsageError(
            f"{journal} holds {held:,} row{'s' if held > 1 else ''} of a run that was stopped; add --resume to go on "
            "with them, or remove that file to start anew."
        )
    if resume and output.exists():
        held = list(store.rows())
        store.import_rows(read_rows(output))
        store.replace(held)
    return store


def _remove(journal: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        journal.with_name(journal.name + ending).unlink(missing_ok=True)
