"""How much faster are the scan's fast paths than the plain loop, and how does their memory grow?

    python benchmarks/selective_scan.py                     65,536 steps of 64 channels, state 16
    python benchmarks/selective_scan.py --length 4096       a rehearsal

All paths run in one process on the same inputs. Wall time is what a user waits; CPU time (of all threads) says what
the work costs when other programs share the machine. Memory is what autograd keeps between the passes.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import machine  # noqa: E402 - the script runs from anywhere
from restorers.blocks.selective_scan import scan_sequences  # noqa: E402


def draw(length: int, channels: int, state: int) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    u = torch.randn(1, length, channels, generator=g)
    delta = 0.1 * torch.rand(1, length, channels, generator=g)
    a = -torch.arange(1, state + 1.0)[:, None].expand(1, state, channels).contiguous()
    b, c = torch.randn(2, 1, length, state, generator=g).unbind(0)
    return u, delta, a, b, c


def timed(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Best wall and CPU seconds."""
    best = (float("inf"), float("inf"))
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        best = (min(best[0], time.perf_counter() - wall), min(best[1], time.process_time() - cpu))
    return best


def kept_megabytes(tensors: tuple[Tensor, ...], implementation: str) -> float:
    sizes: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    inputs = [t.clone().requires_grad_() for t in tensors]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        result = scan_sequences(*inputs, implementation)[0]
    del result
    return sum(sizes.values()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=65536)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--state", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: torch's own number")
    parser.add_argument("--skip-training", action="store_true", help="forward passes only")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "selective_scan.csv")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    tensors = draw(options.length, options.channels, options.state)
    rows = []

    def note(what: str, implementation: str, seconds: tuple[float, float], base: tuple[float, float] | None) -> None:
        ratio = ["", ""] if base is None else [f"{b / s:.0f}" for b, s in zip(base, seconds, strict=True)]
        rows.append([what, implementation, *(f"{s:.4f}" for s in seconds), *ratio])
        print(f"{what:22} {implementation:10} {seconds[0]:9.3f} s  {seconds[1]:9.3f} s CPU  "
              f"{ratio[0] and ratio[0] + 'x':>6} {ratio[1] and ratio[1] + 'x CPU':>10}", flush=True)  # fmt: skip

    with torch.no_grad():
        fast = {}
        for implementation in ("compiled", "chunked"):
            y = scan_sequences(*tensors, implementation)[0]  # also compiles
            fast[implementation] = (timed(lambda: scan_sequences(*tensors, implementation), options.repeats), y)  # noqa: B023
        kept: list[Tensor] = []
        base = timed(lambda: kept.append(scan_sequences(*tensors, "loop")[0]), 1)
        note("forward", "loop", base, None)
        for implementation, (seconds, y) in fast.items():
            error = (y - kept[0]).abs().max().item()
            note(f"forward (off {error:.0e})", implementation, seconds, base)
    if not options.skip_training:
        for implementation in ("compiled", "chunked"):
            inputs = [t.clone().requires_grad_() for t in tensors]

            def step(name: str = implementation, inputs: list[Tensor] = inputs) -> None:
                scan_sequences(*inputs, name)[0].sum().backward()

            step()
            note("forward and backward", implementation, timed(step, 2), None)
    for length in (options.length // 4, options.length // 2, options.length):
        megabytes = kept_megabytes(draw(length, options.channels, options.state), "compiled")
        rows.append([f"kept for backward, L={length}", "compiled", f"{megabytes:.1f} MiB", "", "", ""])
        print(f"kept for backward, L={length}: {megabytes:.1f} MiB")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["what", "implementation", "seconds", "cpu_seconds", "times_loop", "times_loop_cpu"])
        writer.writerows(rows)
        writer.writerow([])
        shape = f"length {options.length}, channels {options.channels}, state {options.state}"
        writer.writerow([shape, f"{torch.get_num_threads()} threads", *machine("torch", "numba").values()])


if __name__ == "__main__":
    main()
