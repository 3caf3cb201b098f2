"""One app server and one browser for all tests of the page."""

from __future__ import annotations

import io
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from errors import PromptError
from ui.engine import Engine
from ui.evaluate import place_sets, submit
from ui.jobs import JobState
from ui.settings import Settings

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Server:
    url: str
    engine: Engine


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real app on a free port, with a data folder of its own."""
    from app import launch

    settings = Settings(data=tmp_path_factory.mktemp("data"), host="127.0.0.1")
    page, engine = launch(settings, prevent_thread_lock=True, quiet=True)
    yield Server(page.local_url, engine)
    page.close(verbose=False)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """What stands behind the page, without a page."""
    return Engine(Settings(data=tmp_path / "data"))


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A Chromium; tests that need it are skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed; 'make test' brings it, or run scripts/chromium.sh")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser, server):
    """A function that opens the page, at a tab if one is named; what the page asks of other hosts fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    strangers: list[str] = []

    def watch(route):
        if route.request.url.startswith((server.url, "data:", "blob:")):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    context.route("**/*", watch)

    def open_tab(name: str | None, query: str = ""):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.url + query)
        if name is not None:
            page.get_by_role("tab", name=name, exact=True).click()
        return page

    yield open_tab
    context.close()
    assert not strangers, f"the page asked for {strangers}"


def noise_picture(seed: int, height: int = 96, width: int = 112) -> np.ndarray:
    """A smooth random picture: structure for every metric, and quick to score."""
    coarse = np.random.default_rng(seed).uniform(30, 225, (12, 14, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(seed + 1000).normal(0, 4, smooth.shape)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


def hazy(clear: np.ndarray, t: float = 0.6) -> np.ndarray:
    return np.round(clear * t + 235 * (1 - t)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(scope="session")
def pair_zips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A zip of ten degraded pictures and one of their references."""
    folder = tmp_path_factory.mktemp("sets")
    clear = {f"{i:02d}.png": noise_picture(i) for i in range(10)}
    inputs = {name: png(hazy(picture, 0.45 + 0.04 * i)) for i, (name, picture) in enumerate(clear.items())}
    references = {name: png(picture) for name, picture in clear.items()}
    return zipped(folder / "hazy.zip", inputs), zipped(folder / "clear.zip", references)


def start_job(engine: Engine, inputs: list, references: list | None, methods: list[str], **options) -> str:
    """Start a job as the page does; returns its id."""
    folder = engine.scratch.folder(None)
    places = place_sets(folder, [str(path) for path in inputs], [str(path) for path in references or []])
    details = {"results_zips": [], "wanted": ["psnr", "ssim", "niqe"], "protocol": "dehaze-rgb"} | options
    return submit(engine, (str(folder), *places), methods, title=details.pop("title", "a set"), share=True, **details)


def wait_for(engine: Engine, job: str, seconds: float = 120) -> JobState:
    """The state of a job once it ended."""
    until = time.monotonic() + seconds
    while not (state := engine.jobs.state(job)).ended:
        assert time.monotonic() < until, f"the job is still {state}"
        time.sleep(0.05)
    return state


def held_open(folder: Path | str = "/") -> list[str]:
    """Files below a folder that this process keeps open, deleted or not; Linux tells."""
    found = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [path for path in found if path.startswith(str(folder))]


@pytest.fixture(scope="session")
def scored_job(server: Server, pair_zips: tuple[Path, Path]) -> str:
    """A job on the server that is done."""
    hazy_zip, clear_zip = pair_zips
    job = start_job(server.engine, [hazy_zip], [clear_zip], ["input", "dark_channel"], title="the scored set")
    assert wait_for(server.engine, job).status == "done"
    return job


def bytes_of(archive: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(name)


def huge_png(side: int = 40_000) -> bytes:
    """A small valid PNG file that claims side x side pixels (one grey bit each would be 200 MB; here: 16-bit RGB)."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    stream = io.BytesIO()
    stream.write(b"\x89PNG\r\n\x1a\n")
    stream.write(chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)))
    stream.write(chunk(b"IDAT", zlib.compress(b"\0" * 65536)))
    stream.write(chunk(b"IEND", b""))
    return stream.getvalue()


@pytest.fixture(scope="session")
def embedded_clip() -> str:
    """The embedded model's name; where its weights are not installed, tests that need it are skipped."""
    from priors.sources import manifest

    try:
        manifest()
    except PromptError as error:
        pytest.skip(str(error))
    return "embedded"
