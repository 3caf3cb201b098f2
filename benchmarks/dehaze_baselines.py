"""How well do dehazers without weights do on pairs made like RESIDE's SOTS-indoor, and in what time?

    python benchmarks/dehaze_baselines.py [--data ../shared/data] [--every 1]

Pairs: NYUv2 scenes 1349-1398 (never trained on), ten levels of haze each, I = J t + A (1 - t), t = exp(-beta d / dmax),
A = 1, beta 0.6 ... 1.5, in 8 bits, cropped to 620x460. PSNR and SSIM are those of the protocol dehaze-rgb. ``plain``
is a straightforward program with the settings of the papers (patch 15, omega 0.95, guided filter r = 60, eps = 1e-4 on
grey, t0 = 0.1, A = mean of the top 0.1 %), which reaches 19.83 dB / 0.853 on the real SOTS-indoor. Times are
processor time with one thread, which other programs disturb least; read them as ratios.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from eval.metrics.psnr import psnr  # noqa: E402
from eval.metrics.ssim import ssim  # noqa: E402
from images import to_pixels  # noqa: E402
from restorers.classical.dark_channel import DarkChannel  # noqa: E402
from training.data import nyu  # noqa: E402
from training.degradations.haze import sots_pair  # noqa: E402

BETAS = tuple(round(0.6 + 0.1 * step, 1) for step in range(10))
Method = Callable[[torch.Tensor], torch.Tensor]


def plain(x: torch.Tensor) -> torch.Tensor:
    """The papers, line by line, as one writes them down first; for comparison only."""
    picture = x[0].permute(1, 2, 0).numpy()
    kernel = np.ones((15, 15), np.uint8)
    dark = cv2.erode(picture.min(axis=2), kernel)
    count = max(1, dark.size // 1000)
    light = picture.reshape(-1, 3)[np.argsort(dark, axis=None)[-count:]].mean(axis=0)
    transmission = 1 - np.float32(0.95) * cv2.erode((picture / light).min(axis=2), kernel)
    guide = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)

    def box(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, cv2.CV_32F, (121, 121))

    mean_guide, mean = box(guide), box(transmission)
    slope = (box(guide * transmission) - mean_guide * mean) / (box(guide * guide) - mean_guide**2 + 1e-4)
    transmission = box(slope) * guide + box(mean - slope * mean_guide)
    restored = (picture - light) / np.maximum(transmission, 0.1)[..., None] + light
    return torch.from_numpy(restored.clip(0, 1).astype(np.float32)).permute(2, 0, 1)[None]


METHODS: dict[str, Method] = {
    "input": lambda x: x,
    "plain": plain,
    "dark_channel, settings of the papers": DarkChannel.of_the_paper(),
    "... patch a twelfth of the side": DarkChannel(radius=60, epsilon=1e-4, subsample=1),
    "... and epsilon 1e-3": DarkChannel(radius=60, subsample=1),
    "dark_channel (... and the filter at a quarter)": DarkChannel(),
    "settings of the papers, but omega 0.85": DarkChannel(15, 0.85, 60, 1e-4, subsample=1),
}


def pairs(data: Path, every: int) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """(hazy (1, 3, 460, 620) in steps of 1/255, clear uint8 (460, 620, 3)) of every ``every``-th validation scene."""
    for number, (_, clear, depth) in enumerate(nyu(data, validation=True)):
        if number % every:
            continue
        picture = torch.from_numpy(clear).permute(2, 0, 1)[None] / 255
        distance = torch.from_numpy(depth)[None, None].float()
        for beta in BETAS:
            hazy, target, _ = sots_pair(picture, distance, beta)
            yield (hazy * 255).round() / 255, to_pixels(target)


def main() -> int:
    """Measure all, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with the NYU tars")
    parser.add_argument("--every", type=int, default=1, help="take every N-th scene")
    arguments = parser.parse_args()
    if not (arguments.data / "nyu_images.tar").is_file():
        print(f"skipped: there is no nyu_images.tar in {arguments.data}; name its folder with --data")
        return 0
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    values: dict[str, list[tuple[float, float, float]]] = {name: [] for name in METHODS}
    for hazy, clear in pairs(arguments.data, arguments.every):
        for name, method in METHODS.items():
            started = time.process_time()
            with torch.inference_mode():
                restored = method(hazy)
            seconds = time.process_time() - started
            output = restored[0].permute(1, 2, 0).numpy() * np.float32(255)
            values[name].append(
                (psnr(output, clear.astype(np.float32)), ssim(output, clear.astype(np.float32)), seconds)
            )
    rows = [
        {
            "method": name,
            "pairs": len(found),
            "psnr": round(float(np.mean([v[0] for v in found])), 3),
            "ssim": round(float(np.mean([v[1] for v in found])), 4),
            "median_cpu_ms": round(1000 * float(np.median([v[2] for v in found])), 1),
        }
        for name, found in values.items()
    ]
    report("dehaze_baselines", rows, "numpy", "torch", "opencv-python-headless")
    return 0


if __name__ == "__main__":
    sys.exit(main())
