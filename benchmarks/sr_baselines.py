"""How well does super-resolution by four do when the small picture was blurred, also by a blur that varies?

    python benchmarks/sr_baselines.py [--data ../shared/data] [--run NAME=FOLDER ...]

Pictures: Set5. Small pictures: MATLAB's antialiased bicubic; the same after Gaussian blur of a deviation in pixels of
the large picture (DASR's isotropic test); MANet's spatially variant modes, one kernel for each square of 40 pixels.
Figures are PSNR and SSIM by the protocol sr-y4. ``--run`` adds the weights of a training run (``runs/crl_sr``); the
ablations of docs/methods/crl_sr.md are such runs. Times are processor time with one thread; read them as ratios.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from eval.protocol import get  # noqa: E402
from eval.scoring import score  # noqa: E402
from images import Picture, to_pixels  # noqa: E402
from restorers import hub, registry  # noqa: E402
from restorers.base import Restorer  # noqa: E402
from training.crl_sr import degradation, set5  # noqa: E402
from training.validate import value_of  # noqa: E402

SCALE = 4
DEGRADATIONS = ("bicubic", "isotropic1.2", "isotropic2.4", "isotropic3.6", *(f"mode{mode}" for mode in range(1, 6)))


def methods(runs: list[str]) -> dict[str, Restorer]:
    """Every embedded method that enlarges by four, then the runs named."""
    names = [name for name in registry.names("sr") if registry.card(name).scale == SCALE]
    found = {name: registry.create(name) for name in names}
    for run in runs:
        name, _, folder = run.partition("=")
        found[name] = hub.load(str(Path(folder) / "weights.safetensors"))
    return found


def measure(method: Restorer, degraded: torch.Tensor, clear: np.ndarray) -> tuple[float, float, float]:
    """PSNR, SSIM and processor seconds of one picture."""
    started = time.process_time()
    with torch.inference_mode():
        restored = method(degraded)
    seconds = time.process_time() - started
    pair = Picture(to_pixels(restored), "", "output"), Picture(clear, "", "reference")
    psnr, ssim = (value_of(m) for m in score(*pair, ("psnr", "ssim"), get("sr-y4")))
    return psnr, ssim, seconds


def main() -> int:
    """Measure all, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with set5/")
    parser.add_argument("--run", action="append", default=[], metavar="NAME=FOLDER", help="a training run to add")
    arguments = parser.parse_args()
    if not (arguments.data / "set5").is_dir():
        print(f"skipped: there is no set5 in {arguments.data}; name its folder with --data")
        return 0
    torch.set_num_threads(1)
    pictures = [clear[: len(clear) // 4 * 4, : clear.shape[1] // 4 * 4] for _, clear in set5(arguments.data)]
    compared = methods(arguments.run)
    rows = []
    for name in DEGRADATIONS:
        degrade = degradation(name, SCALE)
        for method_name, method in compared.items():
            values = []
            for clear in pictures:
                large = torch.from_numpy(clear.copy()).permute(2, 0, 1)[None].float() / 255
                values.append(measure(method, degrade(large), clear))
            psnr, ssim, seconds = np.mean(values, axis=0)
            rows.append(
                {
                    "degradation": name,
                    "method": method_name,
                    "psnr": round(float(psnr), 3),
                    "ssim": round(float(ssim), 4),
                    "cpu_ms": round(1000 * float(seconds), 1),
                }
            )
    report("sr_baselines", rows, "numpy", "torch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
