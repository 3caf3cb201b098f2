"""Does scoring scale? Time and memory at 1,000, 5,000 and 10,000 pairs; two workers; a kill; shards; Ray.

    python benchmarks/scoring_scale.py                    everything, on 10,000 generated 256x256 pairs
    python benchmarks/scoring_scale.py --pairs 500        a small rehearsal
    python benchmarks/scoring_scale.py --parts scale ray  some of the parts

Every measured run is the command line in a process of its own: its wall time, CPU time and largest resident memory
(all its processes) are what the operating system says. Results go to benchmarks/results/scoring_scale.csv with the
machine and the versions.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import machine  # noqa: E402 - the script runs from anywhere
from images import encode_picture  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "scoring_scale.csv"
METRICS = "psnr,ssim,niqe"


@dataclass(frozen=True)
class Result:
    """One measured run."""

    part: str
    pairs: int
    wall_seconds: float
    cpu_seconds: float
    images_per_second: float
    max_rss_mib: float
    note: str = ""


def generate(folder: Path, pairs: int) -> None:
    """Pairs of 256x256 JPEGs: random smooth scenes with texture; haze of random density on the inputs. Seeded."""
    for side in ("hazy", "clear"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:256, 0:256] / 64
    for index in range(pairs):
        rng = np.random.default_rng(index)
        a, b, c = rng.uniform(0.5, 4, 3)
        waves = 120 + 70 * np.sin(a * y + b * x + c) + 30 * np.sin(7 * b * y - 5 * a * x)
        clear = waves[..., None] * rng.uniform(0.7, 1.1, 3) + rng.normal(0, 6, (256, 256, 1))
        t = rng.uniform(0.4, 0.9)
        for side, scene in (("clear", clear), ("hazy", clear * t + 235 * (1 - t))):
            data = encode_picture(np.clip(scene, 0, 255).astype(np.uint8), ".jpg")
            (folder / side / f"{index:06d}.jpg").write_bytes(data)


def subset(data: Path, folder: Path, pairs: int) -> Path:
    """The first pairs of a set, as links."""
    for side in ("hazy", "clear"):
        (folder / side).mkdir(parents=True)
        for index in range(pairs):
            os.link(data / side / f"{index:06d}.jpg", folder / side / f"{index:06d}.jpg")
    return folder


def command(data: Path, output: Path, *more: str) -> list[str]:
    """The score command."""
    sides = ["--input", str(data / "hazy"), "--reference", str(data / "clear")]
    return [sys.executable, "-m", "eval", "score", *sides, "--metrics", METRICS, "--output", str(output), *more]


def measure(part: str, pairs: int, words: Sequence[str], note: str = "") -> Result:
    """Run a command and ask the operating system what it took; memory is the sum over its processes, sampled."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment())
    largest = [0.0]
    watcher = threading.Thread(target=_watch, args=(child, largest), daemon=True)
    watcher.start()
    _, complaint = child.communicate()
    wall = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(complaint.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(part, pairs, round(wall, 2), round(cpu, 2), round(pairs / wall, 1), round(largest[0], 1), note)


def _watch(child: subprocess.Popen, largest: list[float]) -> None:
    import psutil

    process = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            largest[0] = max(largest[0], sum(_resident(member) for member in family) / 2**20)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.2)


def _resident(process: object) -> int:
    import psutil

    try:
        return process.memory_info().rss  # type: ignore[attr-defined]
    except psutil.NoSuchProcess:
        return 0


def _environment() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def run_scale(data: Path, work: Path, pairs: int) -> list[Result]:
    """One process at a tenth, a half and all of the pairs."""
    results = []
    for count in (pairs // 10, pairs // 2, pairs):
        part = subset(data, work / f"scale-{count}", count)
        results.append(measure("scale", count, command(part, work / f"plain-{count}.csv")))
        print(_line(results[-1]), flush=True)
    return results


def run_workers(data: Path, work: Path, pairs: int) -> list[Result]:
    """One and two processes on the same pairs, one run after the other."""
    count = max(pairs // 5, 1)
    part = subset(data, work / "workers", count)
    results = []
    for workers in (1, 2):
        words = command(part, work / f"workers-{workers}.csv", "--workers", str(workers))
        results.append(measure("workers", count, words, f"{workers} workers"))
        print(_line(results[-1]), flush=True)
    _same(work / "workers-1.csv", work / "workers-2.csv")
    return results


def run_resume(data: Path, work: Path, pairs: int) -> list[Result]:
    """SIGKILL at 40 percent, then --resume; the rest is scored and the bytes are those of a plain run."""
    plain = _plain(data, work, pairs)
    output = work / "resumed.csv"
    journal = output.with_name(output.name + ".journal")
    child = subprocess.Popen(command(data, output), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and _stored(journal) < 0.4 * 3 * pairs:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = _stored(journal) // 3
    result = measure("resume", pairs, command(data, output, "--resume"), f"killed with {kept} pairs on disk")
    _same(plain, output)
    print(_line(result), flush=True)
    return [result]


def run_shards(data: Path, work: Path, pairs: int) -> list[Result]:
    """Four shards, merged."""
    plain = _plain(data, work, pairs)
    parts = [work / f"part-{index}.parquet" for index in range(4)]
    results = []
    for index, part in enumerate(parts):
        words = command(data, part, "--shard", f"{index}/4")
        results.append(measure("shards", len(range(index, pairs, 4)), words, f"shard {index}/4"))
        print(_line(results[-1]), flush=True)
    merged = work / "merged.csv"
    merge = [sys.executable, "-m", "eval", "merge", *map(str, reversed(parts)), "--output", str(merged)]
    results.append(measure("shards", pairs, merge, "merge"))
    print(_line(results[-1]), flush=True)
    _same(plain, merged)
    return results


def run_ray(data: Path, work: Path, pairs: int) -> list[Result]:
    """Ray Data on this machine."""
    try:
        import ray  # noqa: F401
    except ImportError:
        print("ray: not installed (pip install -r requirements-cluster.txt)")
        return []
    plain = _plain(data, work, pairs)
    output = work / "ray.csv"
    result = measure(
        "ray",
        pairs,
        command(data, output, "--engine", "ray", "--workers", "2"),
        "Ray Data, 2 actors; shared memory is counted in every process",
    )
    _same(plain, output)
    print(_line(result), flush=True)
    return [result]


def _plain(data: Path, work: Path, pairs: int) -> Path:
    path = work / f"plain-{pairs}.csv"
    if not path.exists():
        subprocess.run(command(data, path), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=_environment())
    return path


def _stored(journal: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        return connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def _same(a: Path, b: Path) -> None:
    if not filecmp.cmp(a, b, shallow=False):
        raise SystemExit(f"{a} and {b} differ")
    print(f"same bytes: {a.name} and {b.name}", flush=True)


def _line(result: Result) -> str:
    rate = f"{result.wall_seconds:8.1f} s  {result.images_per_second:7.1f} pairs/s  cpu {result.cpu_seconds:7.1f} s"
    return f"{result.part:8} {result.pairs:6} pairs {rate}  {result.max_rss_mib:7.1f} MiB  {result.note}"


def save(results: Sequence[Result]) -> None:
    """Replace the rows of the parts that were run, keep the others; with machine, load and versions."""
    packages = ["numpy", "scipy", "numba", *(["ray"] if results[0].part == "ray" else [])]
    facts = {"date": time.strftime("%Y-%m-%d"), **machine(*packages)}
    rows: list[dict[str, object]] = []
    if RESULTS.exists():
        with RESULTS.open(newline="", encoding="utf-8") as stream:
            again = {result.part for result in results}
            rows = [row for row in csv.DictReader(stream) if row["part"] not in again]
    rows += [asdict(result) | facts for result in results]
    rows.sort(key=lambda row: list(PARTS).index(str(row["part"])))
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*asdict(results[0]), *facts])
        writer.writeheader()
        writer.writerows(rows)


PARTS = {"scale": run_scale, "workers": run_workers, "resume": run_resume, "shards": run_shards, "ray": run_ray}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--data", type=Path, help="keep the generated pairs here")
    parser.add_argument("--save", action="store_true", help=f"put the rows into {RESULTS.relative_to(ROOT)}")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="scoring-scale-", dir=args.data.parent if args.data else None))
    data = args.data or work / "data"
    try:
        if not data.exists():
            generate(data, args.pairs)
        for part in args.parts:
            results = PARTS[part](data, work, args.pairs)
            if args.save and results:
                save(results)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
