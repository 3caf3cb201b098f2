"""What the networks cost: seconds, memory, operations, and how much of the machine's convolution rate is used.

    python benchmarks/networks.py                                     all, 620x460 and 1600x1200, fp32 and bf16
    python benchmarks/networks.py --sizes 620x460 --models aecr_net --dtypes fp32
    python benchmarks/networks.py --embedded                          the networks of the embedded weights
    python benchmarks/networks.py --embedded --sizes 3456x2304 --models clip_haze --dtypes fp32 --limit 600

Without ``--embedded`` the networks have the papers' sizes and random weights, which change neither time nor memory.
Every line is a process of its own that restores one picture as a user would (``restorers.pipeline.restore``, tiles
chosen by it), so that the peak is that of this line. The rate is that of one convolution, 64 to 64 channels, 256x256,
channels last, measured beside each line. Operations are multiply-accumulates of convolutions, products and scans,
counted on a small picture; networks that reduce every picture to one size have none. A line that the same network's
smaller picture says would take longer than ``--limit`` seconds is not run: it has the time predicted from there,
marked so.
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

OPTIONS = {"clip_haze": {"guidance": "none"}}
"""Of networks without weights. The guide's cost is measured with the priors."""


def convolution_rate(dtype: str) -> float:
    """Multiply-accumulates per second of processor time, all threads."""
    import torch

    number = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(number).to(memory_format=torch.channels_last)
    x = torch.rand(1, 64, 256, 256, dtype=number).to(memory_format=torch.channels_last)
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        layer(x)
        best = min(best, time.process_time() - started)
    return 64 * 64 * 9 * 256 * 256 / best


def operations(model: object) -> float:
    """Multiply-accumulates for a pixel, on a small picture; scans, which PyTorch cannot count, by their sizes."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from restorers.blocks.ss2d import DIRECTIONS, SelectiveScan2d

    scanned = 0

    def count(layer: SelectiveScan2d, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        nonlocal scanned
        pixels = inputs[0].shape[:3].numel()
        # A step of a state: its decay's exponent, its update, its share of the output; and the step sizes' projection.
        scanned += pixels * DIRECTIONS * layer.inner * (3 * layer.state + layer.rank)

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, SelectiveScan2d)]
    x = torch.rand(1, 3, 128, 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return (counter.get_total_flops() / 2 + scanned) / x[0, 0].numel()


def measure(name: str, size: str, dtype: str, repeats: int, embedded: bool) -> dict[str, object]:
    """Cost of one network on one size; runs in a process of its own."""
    import torch

    from restorers import registry
    from restorers.networks import architecture
    from restorers.pipeline import place, restore

    torch.manual_seed(0)
    model = registry.create(name) if embedded else architecture(name).load()(**OPTIONS.get(name, {}))
    model = place(model, "cpu")
    per_pixel = operations(model)  # also compiles what is compiled
    reduced = getattr(model, "side", None) is not None  # its work does not grow with the picture
    width, height = map(int, size.split("x"))
    x = torch.rand(1, 3, height, width)
    with torch.inference_mode():
        rate = convolution_rate(dtype)
    runs, processor = [], []
    for _ in range(repeats):
        started = time.process_time()
        runs.append(restore(model, x, dtype=dtype))
        processor.append(time.process_time() - started)
        if runs[-1].seconds > 5:
            break
    with torch.inference_mode():
        rate = max(rate, convolution_rate(dtype))
    return {
        "seconds": round(min(run.seconds for run in runs), 3),
        "cpu_seconds": round(min(processor), 3),
        "peak_mib": round(max(run.peak_mib for run in runs)),
        "tiles": runs[0].tiles,
        "gmacs": "" if reduced else round(per_pixel * width * height / 1e9, 1),
        "of_rate": "" if reduced else round(per_pixel * width * height / min(processor) / rate, 3),
        "conv_gmacs_per_cpu_second": round(rate / 1e9, 1),
        "predicted": "",
    }


def predicted(row: dict[str, object], size: str) -> dict[str, object]:
    """The line of a larger picture, from the time a pixel takes on a smaller one."""
    pixels, known = (width * height for width, height in (map(int, s.split("x")) for s in (size, str(row["size"]))))
    scaled = {
        key: round(float(row[key]) * pixels / known, 1) if row[key] != "" else ""
        for key in ("seconds", "cpu_seconds", "gmacs")
    }
    return {**row, "size": size, **scaled, "peak_mib": "", "tiles": "", "predicted": f"from {row['size']}"}


def main() -> int:
    """Measure all, and print and keep the table."""
    from restorers import registry
    from restorers.networks import architectures

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", help="default: all")
    parser.add_argument("--embedded", action="store_true", help="registered methods with their embedded weights")
    parser.add_argument("--sizes", nargs="+", default=["620x460", "1600x1200"], metavar="WxH", help="small to large")
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds, beyond which a line is predicted instead")
    parser.add_argument("--name", help="of the file below benchmarks/results; default networks or networks_embedded")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*arguments.child, arguments.repeats, arguments.embedded)))
        return 0
    name = arguments.name or ("networks_embedded" if arguments.embedded else "networks")
    every = [card.name for card in registry.cards() if card.weights] if arguments.embedded else list(architectures())
    key = ("model", "size", "dtype") if arguments.models else ()
    rows: list[dict[str, object]] = []
    for dtype in arguments.dtypes:
        for model in arguments.models or every:
            last: dict[str, object] | None = None
            for size in arguments.sizes:
                row = predicted(last, size) if last else None
                if row is None or float(str(row["cpu_seconds"])) < arguments.limit:
                    command = [sys.executable, __file__, "--child", model, size, dtype]
                    command += ["--repeats", str(arguments.repeats), *(["--embedded"] * arguments.embedded)]
                    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
                    if done.returncode:
                        print(f"{model} {size} {dtype}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                        return 1
                    row = last = {"model": model, "size": size, "dtype": dtype, **json.loads(done.stdout)}
                rows.append(row)
                report(name, rows, "torch", "numba", key=key)  # after every line: the last ones can take long
    return 0


if __name__ == "__main__":
    sys.exit(main())
