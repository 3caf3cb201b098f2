"""How fast, how small and how right are the core metrics? Against decoding alone, scikit-image and pyiqa.

    python benchmarks/metrics.py                              everything
    python benchmarks/metrics.py --parts pairs sizes          some of the parts: pairs sizes memory agreement
    python benchmarks/metrics.py --parts agreement --official niqe_modelparameters.mat --pictures FOLDER

pairs      100 PNG pairs of 620x460: decoding only, PSNR + SSIM + NIQE, one and two threads, scikit-image, pyiqa
sizes      each metric alone from 0.1 to 33 MPix: the time per MPix must not grow
memory     largest resident memory of scoring one 7680x4320 pair, under every kind of protocol
agreement  Spearman correlation of embedded and official NIQE over at least 100 pictures: clean, blurred, noisy,
           JPEG, hazy, dark (needs the official parameters)

Times are the best of several runs in one process; ratios are of one run. On a machine that is busy with other work,
--clock cpu counts processor time instead. pyiqa's is halved, for its two threads; they wait for each other busily, so
on a busy machine that is too much, and only its wall time on a quiet one is to be trusted. Results go to
benchmarks/results/metrics.csv with the machine and the versions.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import machine  # noqa: E402 - the script runs from anywhere
from errors import MetricError  # noqa: E402
from eval import protocol  # noqa: E402
from eval.metrics.niqe import niqe  # noqa: E402
from eval.metrics.niqe_model import NiqeModel, embedded_model, load_model, official_model  # noqa: E402
from eval.metrics.psnr import psnr  # noqa: E402
from eval.metrics.ssim import ssim  # noqa: E402
from eval.scoring import score, warm_up  # noqa: E402
from images import Picture, list_pictures, read_picture, write_picture  # noqa: E402
from resample import imresize  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "metrics.csv"
EXAMPLES = ROOT / "assets" / "examples"
PARTS = ("pairs", "sizes", "memory", "agreement")
CORE = ("psnr", "ssim", "niqe")
PACKAGES = ("numpy", "numba", "pillow", "scikit-image", "pyiqa", "torch")
SIZES = ((366, 276), (620, 460), (1224, 816), (3456, 2304), (7680, 4320))


@dataclass(frozen=True)
class Result:
    """One figure."""

    part: str
    name: str
    value: float
    unit: str
    note: str = ""


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter


def best(work: Callable[[], object], repeats: int) -> float:
    """Shortest time of several runs, in seconds: what the work takes when nothing disturbs it."""
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def example_pairs(count: int, height: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs from the example pictures: scaled to cover the frame, mirrored and turned to make as many as asked."""
    sources = [
        (read_picture(path).pixels, read_picture(EXAMPLES / "haze" / "clear" / path.name).pixels)
        for path in list_pictures(EXAMPLES / "haze" / "hazy")
    ]
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        pair = sources[number % len(sources)]
        sides = pair[0].shape[:2]
        scale = max(height / sides[0], width / sides[1]) * (1.0 + 0.02 * (number // len(sources)))
        made = [np.clip(np.rint(imresize(image, scale)), 0, 255).astype(np.uint8) for image in pair]
        top = rng.integers(0, made[0].shape[0] - height + 1)
        left = rng.integers(0, made[0].shape[1] - width + 1)
        made = [image[top : top + height, left : left + width] for image in made]
        made = [image[:, ::-1] if number // len(sources) % 2 else image for image in made]
        pairs.append((np.ascontiguousarray(made[0]), np.ascontiguousarray(made[1])))
    return pairs


def bench_pairs(count: int, others: int) -> list[Result]:
    """The whole way from 100 pairs of PNG files to 300 numbers."""
    chosen, model = protocol.get("dehaze-rgb"), embedded_model()
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, pair in enumerate(example_pairs(count, 460, 620)):
            names = [Path(folder) / f"{number}_{side}.png" for side in "ab"]
            for name, pixels in zip(names, pair, strict=True):
                write_picture(name, pixels)
            files.append(names)
        size = statistics.mean(path.stat().st_size for names in files for path in names) / 1024

        def decode(names: Sequence[Path]) -> list[Picture]:
            return [read_picture(name) for name in names]

        def whole(names: Sequence[Path]) -> None:
            found = score(*decode(names), CORE, chosen, niqe_parameters=model)
            assert all(m.value is not None for m in found), found

        def threads(n: int) -> None:
            with ThreadPoolExecutor(n) as pool:
                list(pool.map(whole, files))

        only_decode = best(lambda: [decode(names) for names in files], 5) / count
        everything = best(lambda: [whole(names) for names in files], 5) / count
        start = time.perf_counter()
        for names in files:
            whole(names)
        in_one = time.perf_counter() - start
        start = time.perf_counter()
        threads(2)
        in_two = time.perf_counter() - start
        decoded = [decode(names) for names in files]
        ssim_ours = best(lambda: [ssim(a.pixels, b.pixels) for a, b in decoded], 3) / count
        results = [
            Result(
                "pairs", "decode two PNG files", only_decode * 1e3, "ms/pair", f"{count} pairs, {size:.0f} KiB a file"
            ),
            Result("pairs", "decode + PSNR + SSIM + NIQE", everything * 1e3, "ms/pair"),
            Result("pairs", "... over decoding alone", everything / only_decode, "x", "wanted: at most 2.5"),
        ]
        if clock is time.perf_counter:  # on a busy machine two threads say nothing
            results.append(Result("pairs", "two threads against one", in_one / in_two, "x", "wanted: at least 1.7"))
        results += _against_scikit_image(decoded[:others], ssim_ours)
        results += _against_pyiqa(files[:others], everything, in_two / count)
    return results


def _against_scikit_image(decoded: Sequence[Sequence[Picture]], ours: float) -> list[Result]:
    if not _installed("scikit-image"):
        return []
    from skimage.metrics import structural_similarity

    def theirs() -> None:
        for a, b in decoded:
            structural_similarity(
                a.pixels, b.pixels, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False,
            )  # fmt: skip

    seconds = best(theirs, 3) / len(decoded)
    return [
        Result("pairs", "SSIM alone, ours", ours * 1e3, "ms/pair"),
        Result("pairs", "SSIM alone, scikit-image", seconds * 1e3, "ms/pair"),
        Result("pairs", "SSIM, scikit-image over ours", seconds / ours, "x", "wanted: at least 3"),
    ]


def _against_pyiqa(files: Sequence[Sequence[Path]], ours: float, ours_in_two: float) -> list[Result]:
    """The psnr, ssimc and niqe of pyiqa on the CPU with two threads, files read by itself; needs NIQE's parameters.

    Beside our one thread and, to compare like with like, beside two threads of one process of ours.
    """
    if not _installed("pyiqa"):
        return []
    import pyiqa
    import torch

    torch.set_num_threads(2)
    parameters = os.environ.get("NIQE_PARAMETERS")
    options = {"niqe": {"pretrained_model_path": parameters}} if parameters else {}
    try:
        metrics = [
            pyiqa.create_metric(name, device="cpu", **options.get(name, {})) for name in ("psnr", "ssimc", "niqe")
        ]
    except OSError as error:
        print(f"pyiqa is left out: its NIQE parameters cannot be had ({error}); set NIQE_PARAMETERS=FILE.mat")
        return []
    full = [metric.metric_mode == "FR" for metric in metrics]

    def theirs() -> None:
        for a, b in files:
            for metric, needs in zip(metrics, full, strict=True):
                metric(*((str(a), str(b)) if needs else (str(a),)))

    theirs()
    seconds = best(theirs, 2) / len(files) / (1 if clock is time.perf_counter else 2)
    doubt = "" if clock is time.perf_counter else "; too high: its threads wait busily"
    results = [
        Result(
            "pairs", "pyiqa psnr + ssimc + niqe, two threads", seconds * 1e3, "ms/pair", f"{len(files)} pairs{doubt}"
        ),
        Result("pairs", "pyiqa over ours, one thread", seconds / ours, "x", f"wanted: at least 60{doubt}"),
    ]
    if clock is time.perf_counter:
        results.append(Result("pairs", "pyiqa over ours, two threads", seconds / ours_in_two, "x"))
    return results


def bench_sizes(rounds: int) -> list[Result]:
    """Each metric alone on decoded pictures: as many of each size as the largest one has pixels.

    So every timing covers the same amount of data, longer than the caches are large, and no picture is found in a
    cache because it is small and was measured a moment ago. The sizes take turns, so that what else the machine does
    meets all of them alike. Not all of a picture is looked at: SSIM's windows lie inside it, NIQE's blocks are 96 wide.
    """
    model, seconds = embedded_model(), {}
    small = example_pairs(1, 460, 620)[0]
    pairs = {(width, height): _scaled_pair(small, width, height) for width, height in SIZES}
    largest = max(width * height for width, height in SIZES)
    works: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "psnr": psnr,
        "ssim": ssim,
        "niqe": lambda x, _: niqe(x, model),
    }
    for _ in range(rounds):
        for (width, height), pair in pairs.items():
            count = max(1, round(largest / (width * height)))
            stack = [tuple(side.copy() for side in pair) for _ in range(count)]
            for name, work in works.items():
                taken = best(lambda work=work, stack=stack: [work(x, y) for x, y in stack], 1) / count
                key = name, width, height
                seconds[key] = min(taken, seconds.get(key, taken))
    results = []
    for (name, width, height), taken in sorted(seconds.items(), key=lambda item: CORE.index(item[0][0])):
        seen, what = {
            "psnr": (width * height, "pixels"),
            "ssim": ((width - 10) * (height - 10), "windows"),
            "niqe": (width // 96 * (height // 96) * 96 * 96, "pixels in blocks"),
        }[name]
        note = f"{taken * 1e3:.2f} ms; {taken * 1e9 / seen:.3f} ms per million {what}"
        results.append(Result("sizes", f"{name} {width}x{height}", taken * 1e9 / (width * height), "ms/MPix", note))
    return results


def _scaled_pair(pair: tuple[np.ndarray, np.ndarray], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.clip(np.rint(imresize(image, size=(height, width))), 0, 255).astype(np.uint8) for image in pair)
    noise = np.random.default_rng(0).integers(-4, 5, x.shape, dtype=np.int8)
    return np.clip(x.astype(np.int16) + noise, 0, 255).astype(np.uint8), y


def bench_memory() -> list[Result]:
    """Peak resident memory of a fresh process that scores one 8K pair, decoded from PNG."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        pair = example_pairs(1, 460, 620)[0]
        names = [Path(folder) / f"{side}.png" for side in "ab"]
        for name, image in zip(names, pair, strict=True):
            write_picture(name, np.tile(image, (10, 13, 1))[:4320, :7680])
        for kind in ("dehaze-rgb", "dehaze-dehazeformer", "sr-y4", "lowlight-gtmean"):
            command = [sys.executable, str(Path(__file__).resolve()), "--score", kind, *map(str, names)]
            peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            results.append(Result("memory", f"7680x4320 pair, {kind}", peak, "GiB", "wanted: below 2.5"))
    return results


def score_once(kind: str, output: str, reference: str) -> float:
    """Score one pair of files and return this process's largest resident memory in GiB.

    Linux says it of this program alone in ``VmHWM``; ``ru_maxrss`` starts at what the process was before ``exec``.
    """
    pair = read_picture(output), read_picture(reference)
    found = score(*pair, CORE, protocol.get(kind), niqe_parameters=embedded_model())
    assert all(m.value is not None for m in found), found
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def bench_agreement(official: NiqeModel | None, folders: Sequence[Path]) -> list[Result]:
    """Do the embedded and the official model rank pictures alike?"""
    if official is None:
        print("agreement is left out: it needs the official parameters (--official FILE.mat)")
        return []
    from scipy.stats import spearmanr

    names = [path for folder in folders or [EXAMPLES] for path in list_pictures(folder)]
    names = [path for path in names if folders or path.parent.name in ("clear", "normal")]
    rng = np.random.default_rng(1)
    kinds: dict[str, list[tuple[float, float]]] = {}
    for path in names:
        for kind, image in degraded(read_picture(path).pixels, rng):
            try:
                values = niqe(image, official), niqe(image, embedded_model())
            except MetricError:
                continue
            kinds.setdefault(kind, []).append(values)
    everything = np.array([values for found in kinds.values() for values in found])
    note = f"{len(everything)} pictures, {official.variant} and {embedded_model().variant}"
    results = [Result("agreement", "Spearman, all", spearmanr(*everything.T)[0], "", note)]
    for kind, found in kinds.items():
        official_mean, ours_mean = np.mean(found, axis=0)
        note = f"{len(found)} pictures; means {official_mean:.2f} official, {ours_mean:.2f} embedded"
        results.append(Result("agreement", f"Spearman, {kind}", spearmanr(*np.array(found).T)[0], "", note))
    return results


def degraded(image: np.ndarray, rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """A photograph and what can happen to it."""
    from PIL import Image, ImageFilter

    floats = image.astype(np.float64)
    picture = Image.fromarray(image)

    def jpeg(quality: int) -> np.ndarray:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream))

    def rounded(values: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    transmission = np.linspace(0.25, 0.6, image.shape[1])[None, :, None]
    return [
        ("clean", image),
        ("blurred", np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)))),
        ("blurred", np.asarray(picture.filter(ImageFilter.GaussianBlur(3.0)))),
        ("noisy", rounded(floats + rng.normal(0, 10, floats.shape))),
        ("noisy", rounded(floats + rng.normal(0, 25, floats.shape))),
        ("jpeg", jpeg(50)),
        ("jpeg", jpeg(15)),
        ("hazy", rounded(floats * transmission + 220 * (1 - transmission))),
        ("dark", rounded(255 * 0.6 * (floats / 255) ** 2.5)),
    ]


def main() -> None:
    """Run the parts, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--pairs", type=int, default=100, help="PNG pairs")
    parser.add_argument("--others", type=int, default=10, help="pairs the slower packages are timed on")
    parser.add_argument("--rounds", type=int, default=5, help="how often each size is measured; the best counts")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what times are counted in")
    parser.add_argument("--official", type=Path, help="official NIQE parameters, .mat or .npz")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[], help="folders of clean photographs (agreement)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--score", nargs=3, metavar=("PROTOCOL", "A", "B"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.score:
        print(score_once(*args.score))
        return
    global clock
    clock = CLOCKS[args.clock]
    warm_up()
    results: list[Result] = []
    for part in args.parts:
        if part == "pairs":
            results += bench_pairs(args.pairs, min(args.others, args.pairs))
        elif part == "sizes":
            results += bench_sizes(args.rounds)
        elif part == "memory":
            results += bench_memory()
        else:
            results += bench_agreement(load_model(args.official) if args.official else official_model(), args.pictures)
    for r in results:
        print(f"{r.part:10} {r.name:40} {r.value:10.3f} {r.unit:8} {r.note}")
    write(args.output, results)


def write(path: Path, results: Sequence[Result]) -> None:
    """Replace the rows of the parts that were run, keep the others."""
    facts = machine(*filter(_installed, PACKAGES))
    rows = [{k: str(v) for k, v in asdict(r).items()} | {"value": f"{r.value:.4f}"} | facts for r in results]
    if path.exists():
        with path.open(newline="") as stream:
            done = {r.part for r in results}
            rows = [row for row in csv.DictReader(stream) if row["part"] not in done] + rows
    rows.sort(key=lambda row: PARTS.index(row["part"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["part", "name", "value", "unit", "note", *facts])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
