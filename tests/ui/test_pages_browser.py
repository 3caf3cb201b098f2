"""Every tab does its work in a real browser."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from images import read_picture, write_picture
from priors import prompts
from priors.clip import load
from tests.ui.conftest import hazy, noise_picture, png, start_job, wait_for
from ui.seen import compare_words

pytestmark = pytest.mark.browser


def test_an_example_is_restored_with_one_click_and_downloads_without_loss(tab, server, tmp_path: Path) -> None:
    from restorers.hub import load
    from restorers.pipeline import restore
    from restorers.registry import RECOMMENDED
    from ui.restore import example_pictures

    page = tab("Restore")
    page.locator("#restore-examples button").nth(2).click()
    page.locator("#restore-record dl").wait_for()
    with page.expect_download() as caught:
        page.click("#restore-download")
    target = tmp_path / caught.value.suggested_filename
    caught.value.save_as(target)
    source = example_pictures()[2][0]
    assert target.name == f"{source.stem}-{RECOMMENDED['dehaze']}.png", "the best is chosen from the start"
    expected = restore(load(RECOMMENDED["dehaze"]), read_picture(source)).pixels
    np.testing.assert_array_equal(read_picture(target).pixels, expected)
    assert "pixels taken as they are" in page.inner_text("#restore-record")


def test_a_tiff_is_drawn_and_restored_with_its_bits(tab, tmp_path: Path) -> None:
    write_picture(tmp_path / "deep.tif", noise_picture(4).astype(np.uint16) * 257)
    page = tab("Restore")
    page.locator("#restore-picture input[type=file]").set_input_files(tmp_path / "deep.tif")
    page.wait_for_function("document.querySelector('#restore-drawing img')?.naturalWidth === 112")
    page.click("#restore-start")
    page.locator("#restore-record dl").wait_for()
    said = page.inner_text("#restore-record")
    assert "deep.tif" in said and "read with 16 bits a channel" in said
    page.locator("#restore-examples button").first.click()
    page.locator("#restore-drawing").wait_for(state="hidden")


def test_a_tiny_picture_does_not_fold_its_pane(tab, tmp_path: Path) -> None:
    write_picture(tmp_path / "one.png", noise_picture(4)[:1, :1])
    page = tab("Restore")
    page.locator("#restore-picture input[type=file]").set_input_files(tmp_path / "one.png")
    page.locator("#restore-picture img").wait_for()
    assert page.locator("#restore-picture").bounding_box()["height"] > 150


def test_a_method_with_a_refinement_is_refined_from_the_start(tab, tmp_path: Path) -> None:
    from restorers.registry import card

    page = tab("Restore")
    page.locator("#restore-examples button").first.click()
    page.locator("#restore-record dl").wait_for()
    page.click("#restore-method input")
    page.get_by_role("option", name=card("dark_channel").title, exact=True).click()
    page.locator("#restore-refine input").wait_for()
    assert page.locator("#restore-refine input").is_checked(), "the refinement is ticked from the start"
    page.click("#restore-start")
    page.locator("#restore-record dl", has_text=card("dark_channel+ptg_rm").title).wait_for()
    with page.expect_download() as caught:
        page.click("#restore-download")
    assert caught.value.suggested_filename.endswith("-dark_channel_ptg_rm.png")


def test_an_upload_is_read_by_our_reader_and_said_what_was_done(tab, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "tilted.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(hazy(noise_picture(3))).save(path, exif=exif, quality=95)
    page = tab("Restore")
    page.locator("#restore-picture input[type=file]").set_input_files(path)
    page.locator("#restore-picture img").wait_for()
    page.click("#restore-start")
    page.locator("#restore-record dl").wait_for()
    assert "EXIF orientation applied" in page.inner_text("#restore-record")
    assert "96 × 112" in page.inner_text("#restore-record")


def test_a_text_file_called_jpg_is_one_sentence_and_the_last_result_stays(tab, tmp_path: Path) -> None:
    words = tmp_path / "words.jpg"
    words.write_text("these are words")
    page = tab("Restore")
    page.locator("#restore-examples button").first.click()
    page.locator("#restore-record dl").wait_for()
    page.locator("#restore-picture button[aria-label='Remove Image']").click()
    page.locator("#restore-picture input[type=file]").set_input_files(words)
    page.wait_for_timeout(500)
    page.click("#restore-start")
    page.get_by_role("alert").get_by_text("words.jpg is not a picture").wait_for()
    assert page.locator("#restore-record dl").is_visible()


def test_a_pair_is_explained(tab) -> None:
    page = tab("Diagnose")
    page.click("#diagnose-example")
    page.locator("#diagnose-result table").nth(1).wait_for()
    said = page.inner_text("#diagnose-result")
    assert "lowlight-gtmean" in said
    assert "Y of YCbCr in place of RGB" in said


def test_every_method_has_its_card_and_a_path_is_no_model(tab) -> None:
    from restorers import registry

    page = tab("Models")
    page.locator("#model-cards article").first.wait_for()
    assert page.locator("#model-cards article").count() == len(registry.names())
    page.fill("#model-id input, #model-id textarea", "../etc/passwd")
    page.click("#model-load")
    page.locator("#model-said [role=alert]").wait_for()
    assert "There is no method called" in page.inner_text("#model-said")


def test_haze_changes_with_the_words(tab, embedded_clip: str) -> None:
    page = tab("Haze")
    page.click("#haze-example")
    page.locator("#haze-table tbody tr").nth(7).wait_for()
    page.locator("#haze-map img").wait_for()
    before = page.inner_text("#haze-table")
    yes, no = (page.input_value(f"{box} textarea") for box in ("#haze-yes", "#haze-no"))
    page.fill("#haze-yes textarea", no)
    page.fill("#haze-no textarea", yes)
    page.wait_for_function("before => document.querySelector('#haze-table').innerText !== before", arg=before)
    page.fill("#haze-yes textarea", "")
    page.locator("#haze-said").get_by_text("Both boxes need at least one line").wait_for()
    assert page.locator("#haze-table tbody tr").count() == 8


def test_another_model_is_loaded_by_enter_alone(tab, embedded_clip: str) -> None:
    page = tab("Haze")
    page.click("#haze-example")
    page.locator("#haze-table tbody tr").nth(7).wait_for()
    page.get_by_role("button", name="Save and load words, other models").click()
    name = page.locator("#haze-clip input, #haze-clip textarea")
    said = page.locator("#haze-said")
    name.fill("ViT-B-32:nothing")
    page.fill("#haze-yes textarea", "a misty photo")
    said.get_by_text("ViT-B-32:nothing is not loaded yet; press Enter").wait_for()
    name.press("Enter")
    said.get_by_text("There is no pretrained tag of ViT-B-32 called 'nothing'").wait_for()
    name.fill(embedded_clip)
    name.press("Enter")
    said.get_by_role("alert").wait_for(state="hidden")
    assert page.locator("#haze-table tbody tr").count() == 8


def test_words_are_compared_on_a_labelled_zip(tab, embedded_clip: str, tmp_path: Path) -> None:
    path = tmp_path / "labelled.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(4):
            archive.writestr(f"hazy/{i}.png", png(hazy(noise_picture(i))))
            archive.writestr(f"clear/{i}.png", png(noise_picture(i)))
        archive.writestr("hazy/words.png", "these are words")
    page = tab("Haze")
    page.locator("#haze-labelled input[type=file]").set_input_files(path)
    page.get_by_text("labelled.zip").first.wait_for()
    page.click("#haze-compare")
    page.locator("#haze-ranking tbody tr").first.wait_for()
    # The examples, which stand in where no zip arrives, are all readable and have other means.
    page.locator("#haze-ranking").get_by_text("could not be read and do not count: 1.").wait_for()
    expected, skipped = compare_words(load(embedded_clip), path, [prompts.get()])
    assert len(skipped) == 1
    row = page.locator("#haze-ranking tbody tr").filter(has_text=prompts.DEFAULT)
    shown = [float(cell.get_attribute("data-value")) for cell in row.locator("td[data-value]").all()]
    wanted = expected.loc[0, ["auroc", "accuracy", "mean_positive", "mean_negative"]]
    assert shown == pytest.approx([float(value) for value in wanted], abs=1e-4)


TABS = ("Restore", "Haze", "Evaluate", "Leaderboard", "Diagnose", "Models")
BEYOND_THE_EDGE = """() => [...document.querySelectorAll('main *')].filter(element => {
  const place = element.getBoundingClientRect();
  if (!place.width || !place.height || (place.left > -2 && place.right < innerWidth + 2)) return false;
  for (let around = element.parentElement; around; around = around.parentElement)
    if (['auto', 'scroll'].includes(getComputedStyle(around).overflowX)) return false;
  return true;
}).map(element => element.outerHTML.slice(0, 120))"""
"""What neither the window shows nor a place that scrolls by itself."""


@pytest.fixture
def phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def test_a_phone_sees_every_tab_whole_and_wide(phone, server, pair_zips) -> None:
    hazy_zip, clear_zip = pair_zips
    timed = ["dark_channel", "lime"]  # a plot of costs needs two
    job = start_job(server.engine, [hazy_zip], [clear_zip], timed, wanted=["psnr"], title="two costs")
    assert wait_for(server.engine, job).status == "done"
    phone.goto(f"{server.url}?job={job}")
    phone.locator("#worst-gallery img").first.wait_for()
    for name in TABS:
        phone.get_by_role("tab", name=name, exact=True).click()
        lede = phone.locator(".lede:visible")
        lede.wait_for()
        if name == "Leaderboard":
            phone.locator("#board-distribution svg").wait_for()
            phone.get_by_label("Set", exact=True).click()
            phone.get_by_role("option", name="two costs").click()
            phone.locator("#board-pareto svg").wait_for()
            for plot in ("#board-distribution", "#board-pareto"):
                assert phone.locator(plot).bounding_box()["width"] > 340, "plots stand below each other"
        phone.wait_for_timeout(300)
        assert lede.bounding_box()["width"] > 340, name
        assert phone.evaluate("document.documentElement.scrollWidth") <= 392, name
        assert not phone.evaluate(BEYOND_THE_EDGE), name


def test_a_phone_reads_diagnose_without_scrolling_sideways_and_is_taken_there(phone, server) -> None:
    phone.goto(server.url)
    phone.get_by_role("tab", name="Diagnose", exact=True).click()
    phone.click("#diagnose-example")
    phone.locator("#diagnose-result table").nth(1).wait_for()
    for table in phone.locator("#diagnose-result .table-scroll").all():
        assert table.evaluate("element => element.scrollWidth - element.clientWidth") <= 1
    phone.wait_for_function("document.querySelector('#diagnose-result').getBoundingClientRect().top < innerHeight / 2")
    assert "--" not in phone.inner_text("#diagnose-result")


def test_pictures_of_a_tab_are_gone_when_it_closes(browser, server) -> None:
    home = Path(server.engine.scratch._home.name)
    before = set(home.iterdir())
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.locator("#restore-examples button").first.click()
    page.locator("#restore-record dl").wait_for()
    (mine,) = set(home.iterdir()) - before
    assert list(mine.rglob("*.png"))
    context.close()
    until = time.monotonic() + 60
    while mine.exists():
        assert time.monotonic() < until, "the folder of a closed tab is still there"
        time.sleep(0.2)
