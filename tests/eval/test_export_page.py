"""The HTML page in a real browser: it runs its own script, sorts by number, and runs nobody else's."""

import shutil

import pandas
import pytest

from eval.export import to_html
from eval.leaderboard import build
from eval.suite import build_suite
from tests.eval.boards import frame

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page():
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(color_scheme="light")
        yield context.new_page()
        browser.close()


@pytest.fixture
def board():
    attack = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
    psnr = {"nine": [9.5] * 7, "ten": [10.25] * 7, "hundred": [100.0] * 7, attack: [11.0] * 7, "none": ["Broken."] * 7}
    niqe = {name: [value] * 7 for name, value in zip(psnr, (3.0, 20.0, 4.0, 5.0), strict=False)}
    return build(pandas.concat([frame(psnr), frame(niqe, "niqe")]))


def load(page, board):
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_content(to_html(board))
    return said


def column(page, index):
    return page.eval_on_selector_all("table.board tbody tr", f"rows => rows.map(r => r.cells[{index}].dataset.value)")


def test_sorting_is_numeric_and_what_is_missing_stays_last(page, board):
    said = load(page, board)
    page.click("table.board th:nth-child(3) button")
    assert column(page, 2) == ["100.0", "11.0", "10.25", "9.5", ""]  # best first
    page.click("table.board th:nth-child(3) button")
    assert column(page, 2) == ["9.5", "10.25", "11.0", "100.0", ""]
    assert page.get_attribute("table.board th:nth-child(3)", "aria-sort") == "ascending"
    page.click("table.board th:nth-child(4) button")
    assert column(page, 3) == ["3.0", "4.0", "5.0", "20.0", ""]  # lower is better: best first again
    assert page.get_attribute("table.board th:nth-child(3)", "aria-sort") is None
    assert said == []


def test_names_run_nothing(page, board):
    assert load(page, board) == []
    assert page.evaluate("window.hit") is None
    assert page.locator("table.board img").count() == 0


def test_the_theme_button_turns_page_and_plots(page, board):
    load(page, board)
    ink = "getComputedStyle(document.querySelector('{}')).getPropertyValue('--ink')"
    light = [page.evaluate(ink.format(part)) for part in ("body", ".plot")]
    page.click("#theme")
    dark = [page.evaluate(ink.format(part)) for part in ("body", ".plot")]
    assert all(before != after for before, after in zip(light, dark, strict=True))


def test_nothing_spills_over_on_a_phone(page, board):
    page.set_viewport_size({"width": 390, "height": 800})
    load(page, board)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_several_sets_sort_by_the_columns_under_their_names(page):
    psnr = {"a": [9.5] * 7, "b": [10.25] * 7, "c": [100.0] * 7}
    parts = [frame(psnr, dataset="X"), frame({name: [-v[0]] * 7 for name, v in psnr.items()}, dataset="Y")]
    assert load(page, build_suite(pandas.concat(parts))) == []
    page.click("table.board thead tr:last-child th:nth-child(4) button")
    assert column(page, 3) == ["-9.5", "-10.25", "-100.0"]
    page.click("table.board thead tr:last-child th:nth-child(3) button")
    assert column(page, 2) == ["100.0", "10.25", "9.5"]
