"""Take the pictures of the page in ``docs/screenshots``: every tab with real content, light and dark, and on a phone.

    python scripts/screenshots.py [--only restore evaluate ...]

Starts the app with a data folder of its own, does in a real Chromium what a visitor would do, and saves what it sees.
Look at them before you commit them.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app import launch  # noqa: E402
from ui.engine import EXAMPLES  # noqa: E402
from ui.settings import Settings  # noqa: E402

TARGET = ROOT / "docs" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 240_000


def restore(page: Page) -> None:
    """One example, restored."""
    page.locator("#restore-examples button").nth(4).click()
    page.locator("#restore-record dl").wait_for()


def haze(page: Page) -> None:
    """The hazy examples, scored, with a map."""
    page.click("#haze-example")
    page.locator("#haze-table tbody tr").nth(7).wait_for()
    page.locator("#haze-map img").wait_for()
    page.get_by_label("Picture", exact=True).click()
    page.get_by_role("option", name="cameraman.jpg").click()
    page.click("#haze-compare")
    page.locator("#haze-ranking tbody tr").first.wait_for()


def evaluate(page: Page) -> None:
    """The example set, ranked (with a method for the dark among the dehazers), and a worst case opened."""
    page.click("#example-haze")
    page.get_by_text("8 of 8 inputs paired").wait_for()
    page.locator("#evaluate-methods input[name=lime]").check()
    page.click("#evaluate-start")
    page.locator("#job-progress [data-status=done]").wait_for()
    page.locator("#worst-gallery button").first.click()
    page.locator("#case-reference img").wait_for()
    page.wait_for_timeout(1000)
    page.keyboard.press("Escape")


def pairing(page: Page) -> None:
    """A set with something wrong in every way, before scoring."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, references = _untidy_set(Path(folder))
        page.locator("#evaluate-inputs input[type=file]").set_input_files(inputs)
        page.get_by_text("no references.").wait_for()
        page.locator("#evaluate-references input[type=file]").set_input_files(references)
        page.get_by_text("inputs paired with").wait_for()
        page.wait_for_timeout(1000)


def leaderboard(page: Page) -> None:
    """What ``evaluate`` left on the board."""
    page.locator("#board-table tbody tr").first.wait_for()
    page.locator("#board-distribution svg").wait_for()


def diagnose(page: Page) -> None:
    """The example pair, explained."""
    page.click("#diagnose-example")
    page.locator("#diagnose-result table").nth(1).wait_for()


def models(page: Page) -> None:
    """All cards."""
    page.locator("#model-cards article").first.wait_for()


SCENES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "restore": ("Restore", restore),
    "haze": ("Haze", haze),
    "evaluate": ("Evaluate", evaluate),
    "pairing": ("Evaluate", pairing),
    "leaderboard": ("Leaderboard", leaderboard),
    "diagnose": ("Diagnose", diagnose),
    "models": ("Models", models),
}
"""File name to tab and what to do there, in an order in which each finds what it needs."""


def take(browser: Any, url: str, name: str, look: str) -> Path:
    """One scene in one look ("light", "dark" or "phone")."""
    tab, act = SCENES[name]
    size = {"width": 390, "height": 844} if look == "phone" else {"width": 1200, "height": 800}
    context = browser.new_context(viewport=size, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(f"{url}?__theme={'dark' if look == 'dark' else 'light'}")
    page.get_by_role("tab", name=tab, exact=True).click()
    act(page)
    page.wait_for_timeout(1200)
    page.evaluate("window.scrollTo(0, 0)")
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    context.close()
    path = TARGET / f"{name}-{look}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = shot.quantize(256, method=Image.Quantize.MEDIANCUT)  # a quarter of the bytes, and nobody sees it
    shot.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    return path


def _untidy_set(folder: Path) -> tuple[Path, Path]:
    inputs, references = folder / "inputs.zip", folder / "references.zip"
    hazy, clear = EXAMPLES / "haze" / "hazy", EXAMPLES / "haze" / "clear"
    with zipfile.ZipFile(inputs, "w") as archive:
        for path in sorted(hazy.iterdir()):
            archive.write(path, f"{path.stem}_hazy.jpg")
        archive.writestr("broken_hazy.png", b"\x89PNG\r\n\x1a\n but nothing after it")
        archive.writestr("notes.txt", b"taken in the morning")
    with zipfile.ZipFile(references, "w") as archive:
        for path in sorted(clear.iterdir())[1:]:
            archive.write(path, f"{path.stem}_GT.jpg")
        archive.write(clear / "cat.jpg", "again/coffee_GT.jpg")
        archive.write(clear / "astronaut.jpg", "broken_GT.jpg")
    return inputs, references


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="*", choices=list(SCENES), default=list(SCENES))
    parser.add_argument("--looks", nargs="*", choices=("light", "dark", "phone"), default=("light", "dark", "phone"))
    arguments = parser.parse_args()
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        parser.exit(1, "There is no Chromium here; install one (Debian: apt-get install chromium).\n")
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        page, _ = launch(Settings(data=Path(data), host="127.0.0.1"), prevent_thread_lock=True, quiet=True)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        names = list(arguments.only)
        if "leaderboard" in names and "evaluate" not in names:
            names.insert(0, "evaluate")  # what the board shows
        for name in names:
            for look in arguments.looks:
                if look != "phone" or name in ("restore", "evaluate"):
                    print(take(browser, page.local_url, name, look).relative_to(ROOT))
        browser.close()
        page.close(verbose=False)


if __name__ == "__main__":
    main()
