"""How long from ``python app.py`` to the first answer, and how long each method takes through the page's door.

    python benchmarks/app_start.py [--starts 3] [--output benchmarks/results/app_start.csv]

start      the real entry point in a process of its own, until the page answers; median of the starts
import     a process that imports gradio alone, for comparison: what no app of this kind can go below
restore    a 620x460 picture through the endpoint ``restore``, every embedded method, second call (the model is loaded)
score      PSNR, SSIM and NIQE of that picture through the endpoint ``score``, second call
set        a job over 20 pairs of that size, one method, as the tab Evaluate runs it: pictures per second

Other programs on the machine make all of it slower; the ratio of start to import is what to compare.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from version import __version__  # noqa: E402

WIDTH, HEIGHT, PAIRS = 620, 460, 20


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(data: Path) -> tuple[subprocess.Popen, str, float]:
    """Start the app; returns the process, its address and the seconds until it answered."""
    port = free_port()
    began = time.perf_counter()
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "UNVEIL_DATA": str(data)}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                answer.read()
            return process, url, time.perf_counter() - began
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the app ended before it answered")


def import_gradio() -> float:
    """Seconds of a process that only imports gradio."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True)
    return time.perf_counter() - began


def picture(seed: int) -> np.ndarray:
    """A smooth random picture with grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(30, 225, (24, 32, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def through_the_door(url: str, folder: Path) -> list[tuple[str, str, float]]:
    """(what, name, seconds) of every method and of scoring."""
    from gradio_client import Client, handle_file

    clear, hazy = folder / "clear.png", folder / "hazy.png"
    cv2.imwrite(str(clear), picture(0))
    cv2.imwrite(str(hazy), np.round(picture(0) * 0.6 + 94).astype(np.uint8))
    client = Client(url, verbose=False, download_files=False)
    rows = []
    for method in [entry["name"] for entry in client.predict(api_name="/methods")]:
        rows.append(
            ("restore", method, second_call(lambda m=method: client.predict(handle_file(hazy), m, api_name="/restore")))
        )
    score = second_call(lambda: client.predict(handle_file(hazy), handle_file(clear), api_name="/score"))
    return [*rows, ("score", "psnr+ssim+niqe", score)]


def second_call(call: object) -> float:
    """Seconds of the second call."""
    call()  # type: ignore[operator]
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - began


def score_a_set(folder: Path) -> float:
    """Seconds of a job over ``PAIRS`` pairs, as the page runs it, the second time in the process."""
    from ui.engine import Engine
    from ui.evaluate import place_sets, submit
    from ui.settings import Settings

    archives = []
    for side, degrade in (("hazy", 0.6), ("clear", 1.0)):
        archives.append(folder / f"{side}.zip")
        with zipfile.ZipFile(archives[-1], "w") as archive:
            for i in range(PAIRS):
                pixels = np.round(picture(i) * degrade + 235 * (1 - degrade)).astype(np.uint8)
                archive.writestr(f"{i:02d}.png", cv2.imencode(".png", pixels)[1].tobytes())
    engine = Engine(Settings(data=folder / "data"))
    seconds = 0.0
    for _ in range(2):
        draft = engine.scratch.folder(None)
        places = place_sets(draft, [str(archives[0])], [str(archives[1])])
        began = time.perf_counter()
        job = submit(engine, (str(draft), *places), ["input"], [], ["psnr", "ssim", "niqe"], "dehaze-rgb", "b", False)
        while not engine.jobs.state(job).ended:
            time.sleep(0.01)
        seconds = time.perf_counter() - began
    return seconds


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "app_start.csv")
    arguments = parser.parse_args()
    starts, imports = [], []
    rows: list[tuple[str, str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turn in range(arguments.starts):
            imports.append(import_gradio())
            process, url, seconds = start(folder / "data")
            starts.append(seconds)
            if turn == arguments.starts - 1:
                rows = through_the_door(url, folder)
            process.terminate()
            process.wait(30)
        rate = PAIRS / score_a_set(folder)
    ahead = [("start", "first answer", statistics.median(starts)), ("import", "gradio", statistics.median(imports))]
    rows = [*ahead, *rows, ("set", "pictures per second", rate)]
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    versions = f"unveil {__version__}, gradio {metadata.version('gradio')}, torch {metadata.version('torch')}"
    for what, which, value in rows:
        print(f"{what:8} {which:24} {value:9.3f}")
    print(f"{machine}; {versions}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.output, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("what", "which", "value", "machine", "versions"))
        writer.writerows((what, which, f"{value:.4f}", machine, versions) for what, which, value in rows)


if __name__ == "__main__":
    main()
