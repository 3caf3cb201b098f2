"""What the dehazing networks cost: seconds, share of the machine's convolution rate, and peak memory.

    python benchmarks/networks.py                                     620x460 and 1600x1200, fp32 and bf16
    python benchmarks/networks.py --sizes 620x460 --models aecr_net --dtypes fp32
    python benchmarks/networks.py --memory 3456x2304                  peak resident memory of 8 megapixels

Weights are random: they change neither time nor memory. The convolution rate is that of a 64-to-64 3x3 convolution on
256x256, channels last, measured in the same run. Each memory figure is a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from restorers.base import Restorer, flush_denormals  # noqa: E402 - the script runs from anywhere
from restorers.networks import architecture  # noqa: E402
from version import __version__  # noqa: E402

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def build(name: str) -> Restorer:
    torch.manual_seed(0)
    options = {"guidance": "none"} if name == "clip_haze" else {}  # the guide's cost is measured with the priors
    return architecture(name).load()(**options).eval()


def convolution_rate(dtype: torch.dtype) -> float:
    """Floating point operations a second."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
    x = torch.rand(1, 64, 256, 256, dtype=dtype).to(memory_format=torch.channels_last)
    seconds = best(lambda: layer(x), 5)
    return 2 * 64 * 64 * 9 * 256 * 256 / seconds


def best(run: object, repeats: int) -> float:
    run()  # type: ignore[operator]
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()  # type: ignore[operator]
        times.append(time.perf_counter() - started)
    return min(times)


def operations(model: Restorer) -> float:
    """Floating point operations for a pixel, counted by torch on a small picture."""
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.rand(1, 3, 128, 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return counter.get_total_flops() / x[0, 0].numel()


@torch.inference_mode()
def speed(names: list[str], sizes: list[str], dtypes: list[str], repeats: int) -> list[list[str]]:
    rates = {name: convolution_rate(DTYPES[name]) for name in dtypes}
    rows = []
    for name in names:
        model = build(name)
        with torch.inference_mode(False):
            per_pixel = operations(model)
        for size in sizes:
            width, height = (int(side) for side in size.split("x"))
            x = torch.rand(1, 3, height, width)
            for dtype in dtypes:
                with torch.autocast("cpu", DTYPES[dtype], enabled=dtype != "fp32"):
                    seconds = best(lambda: model(x), repeats)  # noqa: B023 - called before the loop goes on
                share = per_pixel * width * height / seconds / rates[dtype]
                row = [name, size, dtype, f"{seconds:.2f}", f"{seconds / (width * height / 1e6):.2f}", f"{share:.2f}"]
                rows.append([*row, f"{rates[dtype] / 1e12:.3f}"])
                print(f"{name:10} {size:>9} {dtype}: {seconds:7.2f} s, {share:.0%} of {rates[dtype] / 1e12:.3f} TFLOPS",
                      flush=True)  # fmt: skip
    return rows


def memory(name: str, size: str) -> float:
    """Peak resident MiB of a process that restores one picture of ``size``."""
    code = f"import benchmarks.networks as n; print(n.restored_peak({name!r}, {size!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


@torch.inference_mode()
def restored_peak(name: str, size: str) -> float:
    """Restore one picture here; AECR-Net applies each shared block once, which is its peak for any number of uses."""
    from restorers.pipeline import restore

    flush_denormals()
    model = build(name)
    for uses in ("attention_uses", "deformable_uses"):
        if hasattr(model, uses):
            setattr(model, uses, 1)
    width, height = (int(side) for side in size.split("x"))
    restore(model, torch.rand(1, 3, height, width))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["aecr_net", "clip_haze"])
    parser.add_argument("--sizes", nargs="*", default=["620x460", "1600x1200"])
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--memory", nargs="*", default=["620x460"], metavar="WxH")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "networks.csv")
    options = parser.parse_args()
    flush_denormals()
    rows = speed(options.models, options.sizes, options.dtypes, options.repeats) if options.sizes else []
    for name in options.models:
        for size in options.memory:
            peak = memory(name, size)
            rows.append([name, size, "fp32", "", "", "", "", f"{peak:.0f}"])
            print(f"{name:10} {size:>9}: peak {peak:.0f} MiB", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", "size", "dtype", "seconds", "seconds_per_mpix", "share_of_conv_rate", "conv_tflops",
                         "peak_mib"])  # fmt: skip
        writer.writerows(rows)
        machine = platform.processor() or platform.machine()
        writer.writerow([])
        writer.writerow([machine, f"{torch.get_num_threads()} threads", f"torch {torch.__version__}", __version__])


if __name__ == "__main__":
    main()
