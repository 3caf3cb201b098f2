"""What is noise worth to a low-light method, and what do denoisers give back?

    python benchmarks/dark_noise.py [--data ../shared/data] [--niqe FILE] [--pictures 20]

Held-out BSDS500 photographs that are well exposed, darkened in linear light with a sensor's noise of several strengths.
PSNR, SSIM (protocol lowlight-rgb) against the photographs, and NIQE. Denoisers stand where they do best: the guided
filter before the curves, non-local means (OpenCV's) behind them, each with one strength for all.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from benchmarks.lowlight_baselines import variant  # noqa: E402
from eval.metrics.niqe import niqe  # noqa: E402
from eval.metrics.niqe_model import embedded_model, load_model  # noqa: E402
from eval.metrics.psnr import psnr  # noqa: E402
from eval.metrics.ssim import ssim  # noqa: E402
from guided_filter import guided_filter  # noqa: E402
from images import to_pixels  # noqa: E402
from restorers import registry  # noqa: E402
from restorers.planes import enhance_planes  # noqa: E402
from training.dark_pairs import is_well_exposed  # noqa: E402
from training.data import bsds, to_tensor  # noqa: E402
from training.degradations import camera  # noqa: E402
from training.degradations.low_light import correlated, low_light  # noqa: E402

GUIDED, MEANS = 12, 20
"""Noise, in steps of 1/255, that the guided filter smooths away; strength of non-local means."""


@dataclass(frozen=True)
class Night:
    """How dark and noisy: share of the light that is left, full well in electrons, and what the camera made of it."""

    gain: float
    electrons: float = float("inf")
    spread: float = 0.0
    quality: int = 0

    def darkened(self, clear: Tensor, seed: int) -> Tensor:
        """(1, 3, H, W) to the same."""
        clean = low_light(clear, self.gain)
        if self.electrons == float("inf"):
            return clean
        generator = torch.Generator().manual_seed(seed)
        noisy = low_light(clear, self.gain, 1 / self.electrons, 1e-6, generator)
        if self.spread:
            noisy = correlated(noisy, clean, torch.tensor([self.spread]))
        noisy = (noisy * 255).round() / 255
        return camera.jpeg(noisy, [self.quality]) if self.quality else noisy


NIGHTS = {
    "no noise, a tenth of the light": Night(0.1),
    "little: a tenth, 4,000 electrons": Night(0.1, 4000),
    "medium: a twentieth, 2,000": Night(0.05, 2000),
    "strong: a thirtieth, 500": Night(0.03, 500),
    "medium, spread over 1 pixel, JPEG 90": Night(0.05, 2000, 1.0, 90),
}


def methods() -> dict[str, Callable[[Tensor], Tensor]]:
    """What is compared; all of SCL-LLE's are exposed alike."""
    exposed = variant(exposure=0.45, undo_rounding=False)
    return {
        "input": lambda x: x,
        "lime": registry.create("lime"),
        "scl_lle, exposed": exposed,
        "... behind a guided filter": lambda x: exposed(enhance_planes(smoothed, x)),
        "... before non-local means": lambda x: non_local_means(exposed(x)),
        "scl_lle+ptg_rm": registry.create("scl_lle+ptg_rm"),
        "scl_lle-denoise": registry.create("scl_lle-denoise"),
    }


def smoothed(planes: np.ndarray) -> np.ndarray:
    """(3, H, W) in [0, 1] without variations of the size of noise."""
    return np.stack([guided_filter(plane, plane, 2, (GUIDED / 255) ** 2) for plane in planes])


def non_local_means(y: Tensor) -> Tensor:
    """OpenCV's for colour pictures, with its own windows."""
    pixels = cv2.fastNlMeansDenoisingColored(to_pixels(y), None, MEANS, MEANS, 7, 21)
    return to_tensor(pixels)[None]


def main() -> int:
    """Measure all, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of bsds400.tar")
    parser.add_argument("--niqe", type=Path, metavar="FILE", help="NIQE's official parameters")
    parser.add_argument("--pictures", type=int, default=20, metavar="N", help="how many photographs (default: 20)")
    arguments = parser.parse_args()
    if not (arguments.data / "bsds400.tar").is_file():
        print(f"skipped: there is no bsds400.tar in {arguments.data}; name its folder with --data")
        return 0
    torch.set_num_threads(1)
    pristine = load_model(arguments.niqe) if arguments.niqe else embedded_model()
    found = [picture for _, picture in bsds(arguments.data, validation=True) if is_well_exposed(picture)]
    chosen, rows = methods(), []
    for night, how in NIGHTS.items():
        scores = defaultdict(list)
        for seed, picture in enumerate(found[: arguments.pictures]):
            dark = how.darkened(to_tensor(picture)[None], seed)
            for name, method in chosen.items():
                with torch.inference_mode():
                    y = to_pixels(method(dark))
                scores[name].append((psnr(y, picture), ssim(y, picture), niqe(y, pristine)))
        for name, values in scores.items():
            means = np.mean(values, 0).tolist()
            rows.append({"night": night, "method": name, "pictures": len(values), "psnr": f"{means[0]:.2f}",
                         "ssim": f"{means[1]:.4f}", "niqe": f"{means[2]:.2f}"})  # fmt: skip
    report("dark_noise", rows, "torch", "opencv-python-headless")
    return 0


if __name__ == "__main__":
    sys.exit(main())
