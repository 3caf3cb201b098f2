"""How well do low-light methods do on pseudo-pairs of a multi-exposure set, and what is each part of LIME worth?

    python benchmarks/lowlight_baselines.py [--data ../shared/data] [--split validation] [--niqe FILE]

Pairs: of every scene the darkest exposure with a mean luma from 12 to 45, against the one nearest 118. ``validation``
is the last 15 scenes; the settings were chosen on scenes before them. PSNR and SSIM are those of the protocol
lowlight-rgb: 8-bit RGB; ``psnr_gt_mean`` is that of lowlight-gtmean, which gives every result its reference's mean
brightness: what the method would reach if it could guess that. NIQE is by the embedded parameters, or by those of
--niqe, and is also given for the references themselves: what a perfect method would get. Times are processor time with
one thread, which other programs disturb least; read them as ratios.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from eval import protocol  # noqa: E402
from eval.alignment import align  # noqa: E402
from eval.metrics.niqe import niqe  # noqa: E402
from eval.metrics.niqe_model import embedded_model, load_model  # noqa: E402
from eval.metrics.psnr import psnr  # noqa: E402
from eval.metrics.ssim import ssim  # noqa: E402
from images import Picture, to_pixels  # noqa: E402
from restorers import registry  # noqa: E402
from restorers.blocks.rounding import smoothed_shadows  # noqa: E402
from restorers.checkpoint import constructor_arguments  # noqa: E402
from restorers.classical.lime import Lime  # noqa: E402
from restorers.networks.scl_lle import SclLle, apply_curves  # noqa: E402
from restorers.planes import enhance_planes  # noqa: E402
from training.data import multi_exposure  # noqa: E402

DARK = (12.0, 45.0)


def methods(data: Path) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The parts of LIME one by one, every other low-light method there is, and two bounds of what curves can do."""
    trained = [
        name
        for name in registry.names()
        if name != "lime" and (registry.card(name).task == "lowlight" or name.startswith("scl_lle"))
    ]
    curve = fitted_curve(data)
    black = torch.cat((torch.zeros(1), curve[1:]))
    return {
        "input": lambda x: x,
        "LIME of the paper (exponent 0.8), no denoising": Lime(exponent=0.8, exposure=None, noise=0),
        "... exposed to middle grey": Lime(exponent=0.8, noise=0),
        "... exponent 0: exposure alone": Lime(exponent=0.0, noise=0),
        "... exponent 0.25": Lime(noise=0),
        "lime (... and denoised)": Lime(),
        **{name: registry.create(name) for name in trained},
        "scl_lle, curves averaged over the picture": averaged,
        "scl_lle without undoing its rounding": variant(undo_rounding=False),
        "... smoothing the dark, drawing nothing": smoothed,
        "scl_lle, exposed to 0.45": variant(exposure=0.45),
        "one curve for all, fitted to the training pairs": lambda x: curve[(x * 255).round().long()],
        "... that leaves black black": lambda x: black[(x * 255).round().long()],
    }


def averaged(x: torch.Tensor) -> torch.Tensor:
    """SCL-LLE with one curve a picture and colour: what is left of it when its maps cannot vary."""
    network = registry.create("scl_lle")
    assert isinstance(network, SclLle)
    return apply_curves(x, network.curves(network.reduced(x)).mean((2, 3), keepdim=True))


def smoothed(x: torch.Tensor) -> torch.Tensor:
    """SCL-LLE of a picture whose dark is smoothed, without the noise that takes the place of what was rounded away."""
    return variant(undo_rounding=False)(enhance_planes(smoothed_shadows, x))


def variant(**options: float) -> SclLle:
    """SCL-LLE with its embedded weights and other options."""
    embedded = registry.create("scl_lle")
    network = SclLle(**{**constructor_arguments(embedded), **options})
    network.load_state_dict(embedded.state_dict())
    return network.eval()


def gt_mean(output: np.ndarray, reference: np.ndarray) -> float:
    """PSNR of two uint8 pictures once the first has the mean brightness of the second."""
    pictures = (Picture(pixels, "", name) for pixels, name in ((output, "output"), (reference, "reference")))
    pair = align(*pictures, protocol.get("lowlight-gtmean"))
    return psnr(pair.output, pair.reference)


def fitted_curve(data: Path) -> torch.Tensor:
    """The mean reference level of every input level in the training scenes' pairs: the best of all curves there."""
    total, count = np.zeros(256), np.zeros(256)
    for dark, reference in pairs(data, validation=False):
        total += np.bincount(dark.ravel(), reference.ravel(), 256)
        count += np.bincount(dark.ravel(), minlength=256)
    seen = np.flatnonzero(count)
    return torch.from_numpy(np.interp(np.arange(256), seen, total[seen] / count[seen])).float() / 255


def pairs(data: Path, validation: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(dark, well exposed) uint8 pictures, one pair a scene that has both."""
    scenes = defaultdict(list)
    for name, luma, best, picture in multi_exposure(data, validation=validation):
        scenes[Path(name).parent.name].append((luma, best, picture))
    for exposures in scenes.values():
        dark = [entry for entry in exposures if DARK[0] <= entry[0] <= DARK[1]]
        reference = next(picture for _, best, picture in exposures if best)
        if dark:
            yield min(dark, key=lambda entry: entry[0])[2], reference


def main() -> int:
    """Measure all, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of multi_exposure.tar"
    )
    parser.add_argument("--split", choices=("validation", "training"), default="validation")
    parser.add_argument("--niqe", type=Path, metavar="FILE", help="NIQE's official parameters")
    arguments = parser.parse_args()
    if not (arguments.data / "multi_exposure.tar").is_file():
        print(f"skipped: there is no multi_exposure.tar in {arguments.data}; name its folder with --data")
        return 0
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    chosen = methods(arguments.data)
    pristine = load_model(arguments.niqe) if arguments.niqe else embedded_model()
    values: dict[str, list[tuple[float, ...]]] = {name: [] for name in [*chosen, "references"]}
    for dark, reference in pairs(arguments.data, arguments.split == "validation"):
        x = torch.from_numpy(dark).permute(2, 0, 1)[None] / 255
        for name, method in chosen.items():
            started = time.process_time()
            with torch.inference_mode():
                y = method(x)
            seconds = time.process_time() - started
            output = to_pixels(y)
            scores = (
                psnr(output, reference),
                ssim(output, reference),
                niqe(output, pristine),
                gt_mean(output, reference),
            )
            values[name].append((*scores, seconds))
        values["references"].append((np.inf, 1.0, niqe(reference, pristine), np.inf, 0.0))
    rows = [
        {
            "method": name,
            "pairs": len(found),
            "psnr": round(float(np.mean([v[0] for v in found])), 3),
            "ssim": round(float(np.mean([v[1] for v in found])), 4),
            "niqe": round(float(np.mean([v[2] for v in found])), 3),
            "psnr_gt_mean": round(float(np.mean([v[3] for v in found])), 3),
            "median_cpu_ms": round(1000 * float(np.median([v[4] for v in found])), 1),
        }
        for name, found in values.items()
    ]
    report(f"lowlight_baselines_{arguments.split}", rows, "numpy", "torch", "opencv-python-headless")
    return 0


if __name__ == "__main__":
    sys.exit(main())
