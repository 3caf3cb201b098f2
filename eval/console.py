"""What the commands print: progress while they work, reports of sets, tables of plain text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import UsageError

if TYPE_CHECKING:
    from eval.pairing import PairingReport
    from eval.protocol import Protocol
    from eval.runner import Progress
    from eval.sets import Location


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what to score and how; the same for every command that scores."""
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="SET",
        help="the pictures: a folder, zip, tar (also WebDataset), Parquet file, list of files (.txt), table of pairs "
        "(.csv), hf://datasets/ORG/NAME[@REVISION][/FOLDER], or several picture files",
    )
    parser.add_argument(
        "--reference", nargs="+", metavar="SET", help="what they should look like; the same kinds of places"
    )
    parser.add_argument(
        "--pairing",
        default="auto",
        metavar="RULE",
        help="how names pair: auto (the rule that pairs most), same-name, reside, lol, ntire, sr, or csv:FILE with "
        "columns input and reference (default auto)",
    )
    parser.add_argument(
        "--metrics",
        default=None,
        metavar="NAMES",
        help="comma-separated: psnr, ssim, niqe, or any pyiqa name where pyiqa is installed (default: psnr,ssim,niqe "
        "with references, niqe without)",
    )
    parser.add_argument("--protocol", default=None, metavar="NAME|FILE.json", help="see 'python -m eval protocols'; a "
                        "file holds one of your own, like an entry of 'python -m eval protocols --json'")  # fmt: skip
    parser.add_argument("--niqe-parameters", metavar="FILE", help="pristine model of NIQE, .mat or .npz")
    parser.add_argument("--dataset", default="", metavar="NAME", help="name of the set, in every row and table")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: Ray Data, for a cluster")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="where restorers run: auto, cpu, cuda")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if any picture has an error")
    parser.add_argument("--json", action="store_true", help="print a record for machines")


def location(words: Sequence[str] | None) -> Location | None:
    """One word is a place, several are a list of files."""
    if not words:
        return None
    return words[0] if len(words) == 1 else [Path(word) for word in words]


def is_protocol_file(text: str) -> bool:
    """Whether ``--protocol`` names a file and not a protocol."""
    return text.lower().endswith(".json")


def protocol_of(text: str | None) -> Protocol:
    """What ``--protocol`` says: a name, or a JSON file. Only here are files opened: a name may come from anybody.

    Raises:
        UnknownNameError: There is no such protocol.
        UsageError: There is no such file.
        ProtocolError: The file holds no protocol, or one under the name of another.
    """
    from errors import ProtocolError
    from eval import protocol

    if text is None or not is_protocol_file(text):
        return protocol.get(text or protocol.DEFAULT)
    try:
        found = protocol.Protocol.from_json(Path(text).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"The protocol {text!r} cannot be read ({reason}); check the path.") from error
    if not found.name.strip():
        raise ProtocolError(f"The protocol in {text!r} has no name; give it one that no other has.")
    if found.name.partition("+")[0] in protocol.names() and found.hash != protocol.get(found.name).hash:
        raise ProtocolError(f"The protocol in {text!r} is not {found.name!r}; give it a name of its own.")
    return found


def metric_names(text: str | None, has_references: bool) -> list[str]:
    """What ``--metrics`` says, or the metrics that the set allows."""
    if text is None:
        return ["psnr", "ssim", "niqe"] if has_references else ["niqe"]
    from eval.metrics.registry import parse

    names = list(parse(text))
    if not names:
        raise UsageError("No metric is named; give for example --metrics psnr,ssim,niqe.")
    return names


def tell(*lines: str) -> None:
    """Print lines for people, beside what goes to standard output."""
    for line in lines:
        print(line, file=sys.stderr)


def follow(progress: Iterator[Progress]) -> Progress:
    """Run to the end, showing a bar where somebody is watching; returns the last progress."""
    last = next(progress)
    watched = sys.stderr.isatty()
    for last in progress:
        if watched:
            print(f"\r{bar(last)}\x1b[K", end="", file=sys.stderr, flush=True)
    if watched:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return last


def bar(progress: Progress, width: int = 30) -> str:
    """A progress as one line."""
    filled = round(width * progress.done / max(progress.total, 1))
    line = f"[{'#' * filled}{'.' * (width - filled)}] {progress.done}/{progress.total}"
    if progress.failed:
        line += f", {progress.failed} failed"
    if progress.eta_seconds is not None:
        line += f", {duration(progress.eta_seconds)} left"
    return line


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def columns(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in plain text: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (heads, *body)) for i in range(len(heads))]
    lines = []
    for line in (heads, *body):
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def report_record(report: PairingReport) -> dict[str, Any]:
    """A pairing report for machines."""
    from dataclasses import asdict

    return asdict(report) | {"sentence": report.sentence}
