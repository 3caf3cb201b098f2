"""What does a restored picture cost? Seconds, memory, and how much of the machine's convolution rate is used.

    python benchmarks/restorers.py                                  620x460, fp32, every method
    python benchmarks/restorers.py --sizes 620x460 1600x1200 --dtypes fp32 bf16 --models aecr_net dark_channel

Every line is measured in a process of its own, so that the peak (MiB of the process on a CPU, of tensors on a GPU) is
that of this method. ``seconds`` is the best of several runs, ``cpu_seconds`` the least processor time, summed over
threads: on a machine that is busy with other work, look at that. The rate is that of one convolution, 64 to 64
channels, 256x256, measured before and after everything else; ``of_rate`` is what a method's own operations (counted by
PyTorch on a small picture, so only those of networks) would take at that rate, over what it took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere


def convolution_rate(device: str, dtype: str) -> float:
    """Operations a second of a 3x3 convolution, 64 to 64 channels, on 256x256 pixels."""
    import torch

    from devices import choose_device
    from restorers.device import choose_dtype

    place = choose_device(device)
    number = choose_dtype(dtype, place)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(place, number).to(memory_format=torch.channels_last)
    x = torch.rand(1, 64, 256, 256, device=place, dtype=number).to(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(10):
            started = time.perf_counter()
            layer(x)
            if place.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
    return 2 * 64 * 64 * 9 * 256 * 256 / best


def measure(model: str, size: str, dtype: str, device: str, repeats: int) -> dict[str, object]:
    """Cost of one method on one size; runs in a process of its own."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from images import list_pictures, read_picture
    from resample import imresize
    from restorers.hub import load
    from restorers.pipeline import device_of, restore

    width, height = map(int, size.split("x"))
    source = read_picture(list_pictures(ROOT / "assets" / "examples" / "haze" / "hazy")[0]).to_float()
    pixels = imresize(source, size=(height, width)).clip(0, 1).astype("float32")
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    restorer = load(model, device=device)
    restore(restorer, x[..., :64, :64], dtype=dtype)
    runs, processor = [], []
    for _ in range(repeats):
        started = time.process_time()
        runs.append(restore(restorer, x, dtype=dtype))
        processor.append(time.process_time() - started)
    side = 128
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        restorer(x[..., :side, :side].to(device_of(restorer)))
    operations = counter.get_total_flops() / (side * side) * width * height
    best = min(run.seconds for run in runs)
    return {
        "seconds": round(best, 4),
        "cpu_seconds": round(min(processor), 4),
        "peak_mib": round(max(run.peak_mib for run in runs)),
        "tiles": runs[0].tiles,
        "gflop": round(operations / 1e9, 1),
        "rate": operations / best,
        "device": runs[0].device,
    }


def main() -> int:
    """Measure all, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", help="default: every method by name")
    parser.add_argument("--sizes", nargs="+", default=["620x460"], metavar="WIDTHxHEIGHT")
    parser.add_argument("--dtypes", nargs="+", default=["fp32"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*arguments.child, arguments.device, arguments.repeats)))
        return 0

    from restorers.registry import names

    before = {dtype: convolution_rate(arguments.device, dtype) for dtype in arguments.dtypes}
    rows = []
    for model in arguments.models or names():
        for size in arguments.sizes:
            for dtype in arguments.dtypes:
                command = [sys.executable, __file__, "--child", model, size, dtype, "--device", arguments.device]
                command += ["--repeats", str(arguments.repeats)]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{model} {size} {dtype}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    return 1
                rows.append({"model": model, "size": size, "dtype": dtype, **json.loads(done.stdout)})
    rates = {dtype: max(before[dtype], convolution_rate(arguments.device, dtype)) for dtype in arguments.dtypes}
    for row in rows:
        row["of_rate"] = round(row.pop("rate") / rates[row["dtype"]], 3)
        row["tflops_of_convolution"] = round(rates[row["dtype"]] / 1e12, 3)
    key = ("model", "size", "dtype") if arguments.models else ()
    report("restorers", rows, "torch", "numpy", "opencv-python-headless", key=key)
    return 0


if __name__ == "__main__":
    sys.exit(main())
