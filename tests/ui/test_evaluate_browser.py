"""The main job in a real browser, and its numbers against the command line's."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
METHODS = ("input", "dark_channel", "lime")


def tick_only(page, *names: str) -> None:
    for box in page.locator("#evaluate-methods input[type=checkbox]").all():
        wanted = box.get_attribute("name") in names
        if box.is_checked() != wanted:
            box.set_checked(wanted)


def upload(page, pair_zips: tuple[Path, Path]) -> None:
    page.locator("#evaluate-inputs input[type=file]").set_input_files(pair_zips[0])
    page.get_by_text("10 pictures, no references.").wait_for()
    page.locator("#evaluate-references input[type=file]").set_input_files(pair_zips[1])
    page.get_by_text("10 of 10 inputs paired").wait_for()


def finished(page) -> None:
    page.locator("#job-progress [data-status=done]").wait_for(timeout=120_000)


def test_upload_score_open_a_worst_case_and_download(tab, server, pair_zips, tmp_path: Path) -> None:
    page = tab("Evaluate")
    upload(page, pair_zips)
    tick_only(page, *METHODS)
    page.fill("#set-name textarea, #set-name input", "ten pairs")
    page.click("#evaluate-start")
    finished(page)

    rows = page.locator("#job-table tbody tr")
    rows.nth(2).wait_for()
    assert {row.locator("td").nth(1).inner_text() for row in rows.all()} == set(METHODS)

    page.locator("#worst-gallery button").first.click()
    page.locator("#worst-case dl").wait_for()
    for side in ("Input", "Output", "Reference"):
        page.locator(f"#case-{side.lower()} img").wait_for()
    assert "PSNR" in page.inner_text("#worst-case")

    with page.expect_download() as caught:
        page.click("#download-csv")
    mine = tmp_path / "mine.csv"
    caught.value.save_as(mine)
    command = [sys.executable, "-m", "eval", "leaderboard", "--input", pair_zips[0], "--reference", pair_zips[1]]
    command += ["--methods", ",".join(METHODS), "--metrics", "psnr,ssim,niqe", "--dataset", "ten pairs"]
    command += ["--output", tmp_path / "cli"]
    subprocess.run(command, check=True, capture_output=True)
    assert mine.read_bytes() == (tmp_path / "cli" / "leaderboard.csv").read_bytes()

    with open(mine, newline="") as stream:
        table = list(csv.DictReader(stream))
    shown = page.locator("#job-table tbody tr")
    for record, row in zip(table, shown.all(), strict=True):
        assert row.locator("td").nth(1).inner_text() == record["method"]
        assert float(row.locator("td").nth(2).get_attribute("data-value")) == pytest.approx(float(record["psnr"]))


def test_the_job_is_found_again_by_its_address(tab, scored_job: str) -> None:
    page = tab(None, f"?job={scored_job}")  # the page itself opens the right tab
    page.locator("#job-progress [data-status=done]").wait_for()
    assert page.get_by_role("tab", name="Evaluate", exact=True).get_attribute("aria-selected") == "true"
    page.locator("#job-table tbody tr").first.wait_for()
    words = "Set the scored set · protocol dehaze-rgb · methods input, dark_channel · metrics PSNR, SSIM, NIQE"
    assert page.inner_text("#job-about").strip() == words


def test_the_ranking_fits_a_laptop_and_says_where_it_does_not(tab, scored_job: str) -> None:
    page = tab("Evaluate", f"?job={scored_job}")
    page.locator("#job-table tbody tr").first.wait_for()
    assert "Device" not in page.inner_text("#job-table thead"), "the one device is named below the table"
    box = page.locator("#job-table .table-scroll")
    beyond = "box => box.scrollWidth - box.clientWidth"
    assert box.evaluate(beyond) == 0
    assert page.locator("#job-table .sideways").is_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    assert box.evaluate(beyond) > 0
    assert page.locator("#job-table .sideways").is_visible()


def test_columns_sort_by_raw_values(tab, scored_job: str) -> None:
    page = tab("Evaluate", f"?job={scored_job}")
    page.locator("#job-table tbody tr").nth(1).wait_for()
    values = []
    for _ in range(2):
        page.locator("#job-table th", has_text="PSNR").click()
        values.append([float(c.get_attribute("data-value")) for c in page.locator("#job-table td:nth-child(3)").all()])
    assert values[0] == sorted(values[0], reverse=True)
    assert values[1] == sorted(values[0])


def test_an_address_of_no_job_says_so(tab) -> None:
    page = tab("Evaluate", "?job=../../etc")
    page.locator("#job-progress").get_by_text("There is no such job").wait_for()


def test_an_example_is_one_click_and_start(tab) -> None:
    page = tab("Evaluate")
    page.click("#example-low-light")
    page.get_by_text("5 of 5 inputs paired").wait_for()
    tick_only(page, "input")
    page.click("#evaluate-start")
    finished(page)
    page.locator("#job-table").get_by_text("lowlight-rgb").wait_for()
    page.wait_for_url("**job=*")


def test_the_leaderboard_keeps_what_was_scored(tab, scored_job: str) -> None:
    page = tab("Leaderboard")
    page.locator("#board-table tbody tr").first.wait_for()
    page.get_by_label("Set", exact=True).click()
    page.get_by_role("option", name="the scored set").click()
    page.locator("#board-table tbody tr", has_text="dark_channel").wait_for()
    page.locator("#board-distribution svg").wait_for()
