"""Settings, words, small drawings, folders: the parts that need no server."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import make_page
from errors import UsageError
from ui import html, plots, text, theme
from ui.engine import Engine, enlarged
from ui.evaluate import method_name
from ui.seen import check_clip_name
from ui.session import Scratch, gather, safe_stem
from ui.settings import Settings, from_environment

ROOT = Path(__file__).resolve().parent.parent.parent


def test_settings_have_defaults_and_read_every_variable_they_document() -> None:
    plain = from_environment({})
    assert (plain.data, plain.port, plain.workers) == (Path("var").resolve(), None, 1)
    assert plain.rows.parent == plain.data
    full = from_environment({"UNVEIL_DATA": "/x", "PORT": "8000", "GRADIO_SERVER_PORT": "9000", "UNVEIL_WORKERS": "2"})
    assert (full.data, full.port, full.workers) == (Path("/x"), 9000, 2)
    documented = set(re.findall(r"``([A-Z_]+)``", from_environment.__doc__))
    source = (ROOT / "ui" / "settings.py").read_text()
    assert documented == set(re.findall(r'"([A-Z_]{4,})"', source))


def test_the_page_on_running_a_space_has_the_same_table() -> None:
    rows = [re.split(r"\s{2,}", line.strip()) for line in from_environment.__doc__.splitlines() if "``" in line]
    page = (ROOT / "docs" / "space.md").read_text()
    table = page.partition("| variable | meaning | default |\n|---|---|---|\n")[2].partition("\n\n")[0]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert shown == [[cell.replace("``", "`") for cell in row] for row in rows]


def test_models_of_the_settings_are_a_list() -> None:
    assert from_environment({}).models == ()
    named = from_environment({"UNVEIL_MODELS": " org/a ,,local-dir:x y, org/a"}).models
    assert named == ("org/a", "local-dir:x y")


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"UNVEIL_DATA='.*file/data' cannot be made \(Not a directory\); name"):
        Engine(Settings(tmp_path / "file" / "data"))


@pytest.mark.parametrize("value", ["eighty", "-1", "nan", "inf", ""])
@pytest.mark.parametrize("name", ["UNVEIL_WORKERS", "UNVEIL_QUEUE", "UNVEIL_KEEP_HOURS", "UNVEIL_MAX_MODEL_GB"])
def test_a_setting_that_is_no_number_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}={value!r} is not a .*number from [01] to 1000000; correct it"):
        from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("UNVEIL_WORKERS", "0"), ("UNVEIL_WORKERS", "1.5"), ("UNVEIL_QUEUE", "0"), ("PORT", "eighty"), ("PORT", "0"),
     ("GRADIO_SERVER_PORT", "65536")],
)  # fmt: skip
def test_a_setting_that_nothing_could_run_with_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}={value!r} is not a whole number from"):
        from_environment({name: value})


def test_the_smallest_settings_are_taken() -> None:
    least = from_environment({"UNVEIL_WORKERS": "1", "UNVEIL_KEEP_HOURS": "0", "UNVEIL_MAX_MODEL_GB": "0.5"})
    assert (least.workers, least.keep_hours, least.max_model) == (1, 0.0, 500_000_000)


def test_the_app_says_what_is_wrong_with_its_settings_and_ends(monkeypatch, capsys) -> None:
    import app

    monkeypatch.setenv("UNVEIL_WORKERS", "nan")
    assert app.main() == 2
    said = capsys.readouterr()
    assert said.err == "app.py: UNVEIL_WORKERS='nan' is not a whole number from 1 to 1000000; correct it or unset it.\n"
    assert said.out == ""


def test_environment_variables_are_read_in_settings_alone() -> None:
    for path in (ROOT / "ui").rglob("*.py"):
        if path.name != "settings.py":
            assert not re.search(r"environ|getenv", path.read_text()), path.name


def test_the_page_asks_for_nothing_elsewhere() -> None:
    for css in (theme.css(), theme.LOGO.read_text()):
        assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", css)
    chosen = theme.theme()
    assert not [sheet for sheet in chosen._stylesheets if sheet]
    assert all("http" not in rule for rule in chosen._font_css)


def test_what_comes_from_people_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    for made in (html.alert(evil, [evil]), html.facts([(evil, evil)]), html.numbers([(evil, evil)]),
                 plots.bars([(evil, 0.5)], evil), html.link(f"javascript:{evil}", evil)):  # fmt: skip
        assert "<script" not in made
    assert "href" not in html.link("javascript:alert(1)", "x")


@pytest.mark.parametrize(
    ("values", "zero"), [([-0.1, -0.2], 100.0), ([0.1, 0.2], 0.0), ([-0.1, 0.3], 25.0), ([0.0, 0.0], 0.0)]
)
def test_bars_start_at_zero_and_point_left_below_it(values: list[float], zero: float) -> None:
    drawn = plots.bars([(str(value), value) for value in values], "words", 3)
    assert {float(place) for place in re.findall(r'<b style="left:([-\d.]+)%', drawn)} == {zero}
    spans = [(float(a), float(b)) for a, b in re.findall(r'<i style="left:([-\d.]+)%;width:([-\d.]+)%', drawn)]
    for value, (start, width) in zip(values, spans, strict=True):
        edge = start if value < 0 else start + width
        assert (start + width if value < 0 else start) == pytest.approx(zero, abs=0.11)
        assert 0 <= start <= start + width <= 100.1
        assert (edge < zero) == (value < 0) and (edge > zero) == (value > 0)
        assert f">{value:.3f}<" in drawn


LABELS = ("EVALUATE_INPUTS", "EVALUATE_REFERENCES", "EVALUATE_RESULTS")


def test_sentences_are_sentences() -> None:
    for name, value in vars(text).items():
        words = value[1] if isinstance(value, tuple) else value
        if name.isupper() and name not in LABELS and isinstance(words, str) and " " in words:
            assert words.endswith("."), name


def test_uploads_of_the_same_name_are_all_kept(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_text(folder)
    target = gather([str(tmp_path / "a/x.png"), str(tmp_path / "b/x.png")], tmp_path / "c")
    assert sorted(path.read_text() for path in target.iterdir()) == ["a", "b"]


def test_a_session_forgets_its_pictures_and_no_others() -> None:
    class Request:
        def __init__(self, session_hash: str) -> None:
            self.session_hash = session_hash

    scratch = Scratch()
    mine, other = scratch.folder(Request("../../me")), scratch.folder(Request("you"))
    assert mine.is_relative_to(Path(scratch._home.name))
    scratch.forget(Request("../../me"))
    assert not mine.exists()
    assert other.exists()


def test_what_is_written_after_its_tab_closed_goes_after_an_hour() -> None:
    scratch = Scratch()
    closed, still_open = SimpleNamespace(session_hash="me"), SimpleNamespace(session_hash="you")
    scratch.forget(closed)
    late, new, kept = scratch.folder(closed), scratch.folder(closed), scratch.folder(still_open)
    for folder, minutes in ((late, 61), (new, 59), (kept, 61)):
        then = time.time() - minutes * 60
        os.utime(folder, (then, then))
    scratch.sweep()
    assert not late.exists() and new.exists() and kept.exists()
    os.utime(new, (then, then))
    scratch._closed[new.parent] = then
    scratch.sweep()
    assert not new.parent.exists() and kept.exists()
    scratch.sweep()
    assert not scratch._closed  # or it would grow by every visit


def test_what_the_page_says_of_its_copies_is_what_gradio_is_told(engine) -> None:
    """Copies of uploads and results are looked for every so often and deleted from some age on."""
    assert "within about an hour" in text.RESTORE_PRIVATE and "within about an hour" in text.EVALUATE_KEEP
    assert sum(make_page(engine).delete_cache) <= 4200


@pytest.mark.parametrize(("name", "stem"), [("a b.png", "a_b"), ("../../x.png", "x"), ("….png", "picture")])
def test_names_for_downloads(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


@pytest.mark.parametrize("letter", ["a", "é", "雾", "𠮷"])
def test_long_names_are_cut_by_bytes_between_characters(letter: str, tmp_path: Path) -> None:
    stem = safe_stem(letter * 300 + ".png")
    assert stem == letter * (80 // len(letter.encode()))
    (tmp_path / f"{stem}-{stem}-reference.png.part").touch()


def test_methods_of_uploaded_results_get_names_of_their_own() -> None:
    assert method_name("AECR net.zip", []) == "AECR-net"
    assert method_name("input.zip", ["input"]) == "input-2"
    assert method_name("x.tar.gz", ["x=results/x/x.zip", "x-2"]) == "x-3"


@pytest.mark.parametrize("name", ["local-dir:/etc", "local-dir:x", "hf-hub:/etc/passwd", "ViT-B-32:/weights.pt",
                                  "ViT-B-32:../w.pt", "/etc", "", "hf-hub:a", "ViT-B-32:README.md"])  # fmt: skip
def test_a_clip_by_name_is_never_a_path(name: str) -> None:
    with pytest.raises(UsageError):
        check_clip_name(name)


def test_clips_by_name() -> None:
    for name in ("embedded", "hf-hub:laion/CLIP-ViT-B-32", "ViT-B-32:laion2b_s34b_b79k"):
        assert check_clip_name(name) == name


def test_small_inputs_lie_exactly_under_their_enlargement() -> None:
    import numpy as np

    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(small, 4, 4)
    assert large.shape == (4, 4, 3)
    np.testing.assert_array_equal(large[::2, ::2], small)
    np.testing.assert_array_equal(large[1::2, 1::2], small)


def test_app_is_short() -> None:
    assert len((ROOT / "app.py").read_text().splitlines()) < 100


def test_a_refined_method_is_a_tick_on_its_base_and_a_method_of_its_own_in_a_ranking(engine, monkeypatch) -> None:
    from dataclasses import replace

    from restorers import registry

    base = registry.card("lime")
    both = [base, replace(base, name="lime+ptg_rm", title="LIME + PTG-RM")]
    monkeypatch.setattr(registry, "cards", lambda task=None: [c for c in both if task in (None, c.task)])
    monkeypatch.setattr(registry, "names", lambda task=None: [c.name for c in both])
    assert [name for _, name in engine.method_choices("lowlight")["choices"]] == ["lime"]
    assert engine.refined("lime") == "lime+ptg_rm" and engine.refined("dark_channel") is None
    assert ("LIME + PTG-RM · brighten the dark", "lime+ptg_rm") in engine.ranking_choices()


def test_failures_are_counted_in_images_by_column_sentence_and_list() -> None:
    """One image that two metrics fail on."""
    import pandas

    from eval.leaderboard import build
    from tests.eval.boards import frame
    from ui import board

    scores = {"a": [20.0, "It is flat."], "b": [21.0, 22.0]}
    ranking = build(pandas.concat([frame(scores), frame(scores, "ssim")]))
    page = board.table(ranking)
    assert ">Failed images</th>" in page and 'class="why" data-value="1">1<' in page and "Failed images: a 1." in page
    assert "<summary>1 image failed</summary>" in board.failures(ranking)


def test_figures_of_one_set_stand_together_with_their_decimals() -> None:
    from restorers.card import Figure
    from ui.models import measured

    figures = [Figure("rooms", "dehaze-rgb", "psnr", 18.47251), Figure("rooms", "dehaze-rgb", "ssim", 0.61274)]
    figures.append(Figure("streets", "sr-y4", "psnr", 30.0))
    assert measured(figures) == "PSNR 18.47, SSIM 0.6127 on rooms (dehaze-rgb); PSNR 30.00 on streets (sr-y4)"


def test_a_figure_of_an_unknown_metric_is_shown_all_the_same() -> None:
    from restorers.card import Figure
    from ui.models import measured

    assert measured([Figure("rooms", "ours", "beauty", 5)]) == "BEAUTY 5.0000 on rooms (ours)"
