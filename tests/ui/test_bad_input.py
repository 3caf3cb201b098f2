"""Everything people upload by mistake or on purpose: one readable sentence each, and nothing else is lost."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from errors import ImageError, SetError, UnknownNameError, UnveilError, UsageError, WeightsError
from eval.archives import Limits
from priors.prompts import PromptSet
from restorers.base import Restorer
from restorers.card import RestorerCard
from tests.ui.conftest import bytes_of, hazy, huge_png, noise_picture, png, start_job, wait_for, zipped
from ui.cases import pictures
from ui.engine import Engine, check_arguments, check_repository_id
from ui.evaluate import open_placed, pairing, place_sets, submit
from ui.seen import compare_words
from ui.upload import uploaded_path


def report_of(engine: Engine, *sides: Path) -> str:
    """What the page says about uploads before anything is scored."""
    folder = engine.scratch.folder(None)
    places = place_sets(folder, [str(sides[0])], [str(side) for side in sides[1:]])
    return pairing(open_placed(folder, *places).report)


def is_a_sentence(error: UnveilError) -> bool:
    text = str(error)
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and len(text) < 400


def test_an_empty_zip(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SetError, match="empty zip") as caught:
        report_of(engine, zipped(tmp_path / "nothing.zip", {}))
    assert is_a_sentence(caught.value)
    assert "nothing.zip" in str(caught.value)


def test_a_zip_without_pictures(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SetError, match="no pictures") as caught:
        report_of(engine, zipped(tmp_path / "words.zip", {"readme.txt": b"hello", "data.bin": b"\0\1"}))
    assert is_a_sentence(caught.value)


def test_a_file_that_is_no_zip(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(b"not a zip at all")
    with pytest.raises(SetError) as caught:
        report_of(engine, path)
    assert is_a_sentence(caught.value)


def test_unpaired_and_doubly_paired_names_are_listed_before_scoring(engine: Engine, tmp_path: Path) -> None:
    picture = png(noise_picture(1))
    inputs = zipped(tmp_path / "in.zip", {"a.png": picture, "b.png": png(noise_picture(2)), "lonely.png": picture})
    references = zipped(tmp_path / "ref.zip", {"a.png": picture, "x/b.png": picture, "y/b.png": png(noise_picture(3))})
    said = report_of(engine, inputs, references)
    assert "lonely.png" in said
    assert "b.png could pair with any of" in said


def test_pairs_that_cannot_be_scored_become_rows_with_reasons(engine: Engine, tmp_path: Path) -> None:
    clear = [noise_picture(i) for i in range(4)]
    good = png(hazy(clear[0]))
    inputs = {
        "0-good.png": good,
        "1-corrupt.png": good[: len(good) // 2],
        "2-huge.png": huge_png(),
        "3-text.jpg": b"these are words, not pixels",
        "4-other-size.png": png(hazy(clear[3])[:64, :80]),
        "5-unpaired.png": png(hazy(clear[2])),
        "6-good.png": png(hazy(clear[1])),
    }
    references = {name: png(clear[0]) for name in inputs if "unpaired" not in name} | {"6-good.png": png(clear[1])}
    job = start_job(
        engine,
        [zipped(tmp_path / "in.zip", inputs)],
        [zipped(tmp_path / "ref.zip", references)],
        ["input", "dark_channel"],
        wanted=["psnr"],
    )
    assert wait_for(engine, job).status == "done"
    frame = engine.jobs.frame(job)
    scored = frame[frame["value"].notna()]
    assert {(row.image, row.method) for row in scored.itertuples()} == {
        (image, method) for image in ("0-good", "6-good") for method in ("input", "dark_channel")
    }
    failed = frame[frame["error"].notna()]
    assert set(failed["image"]) == {"1-corrupt", "2-huge", "3-text", "4-other-size", "5-unpaired"}
    reasons = dict(zip(failed["image"], failed["error"], strict=True))
    assert "damaged" in reasons["1-corrupt"]
    assert "40000x40000" in reasons["2-huge"] or "far too many pixels" in reasons["2-huge"]
    assert "not a picture" in reasons["3-text"]
    assert "5-unpaired" in reasons["5-unpaired"]
    assert all(reason.endswith(".") for reason in failed["error"])


def test_results_of_another_size_are_one_error_row_each(engine: Engine, pair_zips, tmp_path: Path) -> None:
    hazy_zip, clear_zip = pair_zips
    outputs = {f"{i:02d}.png": bytes_of(clear_zip, f"{i:02d}.png") for i in range(10)}
    outputs["03.png"] = png(noise_picture(3)[:64, :64])
    results = zipped(tmp_path / "mine.zip", outputs)
    job = start_job(engine, [hazy_zip], [clear_zip], [], results_zips=[str(results)], wanted=["psnr"])
    wait_for(engine, job)
    frame = engine.jobs.frame(job).set_index("image")
    assert frame["value"].notna().sum() == 9
    assert "64x64" in frame.loc["03", "error"]


def test_paths_that_climb_out_of_a_zip_are_not_followed(engine: Engine, tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "climb.zip", {"../../escaped.png": png(noise_picture(1)), "fine.png": png(noise_picture(2))}
    )
    said = report_of(engine, path)
    assert "escaped" in said
    assert not list(tmp_path.parent.rglob("escaped.png"))


def test_an_encrypted_member_is_named(engine: Engine, tmp_path: Path) -> None:
    path = zipped(tmp_path / "locked.zip", {"a.png": png(noise_picture(1)), "b.png": png(noise_picture(2))})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(bytes(data))
    assert zipfile.ZipFile(path).infolist()[0].flag_bits & 1
    assert "a.png" in report_of(engine, path)


@pytest.fixture
def limit_uploads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Limits], None]:
    def limit(limits: Limits) -> None:
        for module in ("evaluate", "jobs", "seen"):
            monkeypatch.setattr(f"ui.{module}.UPLOAD_LIMITS", limits)

    return limit


def test_a_zip_of_too_many_files_is_opened_nowhere(engine: Engine, pair_zips, tmp_path: Path, limit_uploads) -> None:
    few, references = pair_zips
    many = zipped(tmp_path / "many.zip", {f"hazy/{i:02d}.png": png(noise_picture(i)) for i in range(11)})
    limit_uploads(Limits(members=10))
    refused = "many.zip holds more than 10 entries"
    assert "10 of 10 inputs" in report_of(engine, few, references)
    with pytest.raises(SetError, match=refused):
        report_of(engine, many)
    with pytest.raises(SetError, match=refused):
        report_of(engine, few, many)
    with pytest.raises(SetError, match=refused):
        compare_words(None, many, [PromptSet("haze", ("hazy",), ("clear",))])
    as_results = start_job(engine, [few], [references], [], results_zips=[str(many)], wanted=["psnr"])
    for job in (start_job(engine, [many], None, ["input"]), start_job(engine, [few], [many], ["input"]), as_results):
        state = wait_for(engine, job)
        assert state.status == "failed"
        assert refused in state.message


def test_a_packed_tar_is_unpacked_no_further_than_the_limit(engine: Engine, tmp_path: Path, limit_uploads) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    path = tmp_path / "endless.tar.gz"
    path.write_bytes(b"".join(packer.compress(b"\0" * 2**20) for _ in range(64)))  # whoever reads on finds no end
    limit_uploads(Limits(total_bytes=2**23))
    with pytest.raises(SetError, match=r"endless\.tar\.gz unpacks to over"):
        report_of(engine, path)


def test_zip_and_pictures_together_are_refused(engine: Engine, pair_zips, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(png(noise_picture(1)))
    with pytest.raises(SetError, match="either one zip or pictures") as caught:
        place_sets(engine.scratch.folder(None), [str(pair_zips[0]), str(picture)], None)
    assert is_a_sentence(caught.value)


@pytest.mark.parametrize("name", ["list.txt", "pairs.csv", "rows.parquet", "model.pth"])
def test_files_that_could_name_paths_of_the_server_are_refused(engine: Engine, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("/etc/passwd\n")
    with pytest.raises(SetError, match="neither a picture nor a zip"):
        place_sets(engine.scratch.folder(None), [str(path)], None)


def test_starting_without_something_says_what(engine: Engine, pair_zips) -> None:
    folder = engine.scratch.folder(None)
    draft = (str(folder), *place_sets(folder, [str(pair_zips[0])], None))
    with pytest.raises(UsageError, match="no pictures yet"):
        submit(engine, None, ["input"], [], ["psnr"], "dehaze-rgb", "x", True)
    with pytest.raises(UsageError, match="No method"):
        submit(engine, draft, [], [], ["psnr"], "dehaze-rgb", "x", True)
    with pytest.raises(UsageError, match="No metric"):
        submit(engine, draft, ["input"], [], [], "dehaze-rgb", "x", True)


def test_asking_for_references_that_are_not_there_fails_with_what_to_do(engine: Engine, pair_zips) -> None:
    job = start_job(engine, [pair_zips[0]], None, ["input"], wanted=["psnr"])
    state = wait_for(engine, job)
    assert state.status == "failed"
    assert "reference" in state.message


def test_a_broken_picture_on_restore(engine: Engine, tmp_path: Path) -> None:
    words = tmp_path / "words.jpg"
    words.write_text("these are words")
    with pytest.raises(ImageError, match="not a picture"):
        engine.restore_upload(str(words), "dark_channel")
    with pytest.raises(ImageError, match="no picture yet"):
        engine.restore_upload(None, "dark_channel")


class Broken(Restorer):
    """A stranger's network that fails in its own way."""

    card = RestorerCard("broken", "Broken", "dehaze", "It fails.")

    def enhance(self, x: object) -> object:
        raise RuntimeError("shape mismatch\n3 vs 5")


def test_a_network_that_fails_in_its_own_way(engine: Engine, tmp_path: Path) -> None:
    picture = tmp_path / "street.png"
    picture.write_bytes(png(noise_picture(1)))
    engine._models["org/broken"] = Broken()
    with pytest.raises(ImageError, match=r"Broken failed on street\.png: RuntimeError shape mismatch\.") as caught:
        engine.restore_upload(str(picture), "org/broken")
    assert is_a_sentence(caught.value)


def test_a_network_that_fails_when_a_case_is_opened(engine: Engine, monkeypatch, pair_zips) -> None:
    job = start_job(engine, [pair_zips[0]], None, ["dark_channel"], wanted=["niqe"])
    wait_for(engine, job)
    engine._models["dark_channel"] = Broken()
    with pytest.raises(ImageError, match=r"Broken failed on 00\.png") as caught:
        pictures(engine, job, "00", "dark_channel", None)
    assert is_a_sentence(caught.value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../models/x", "assets/weights", "./a/b", "a/b/c", "nothing", "~/x"])
def test_a_model_name_never_opens_a_path(engine: Engine, name: str) -> None:
    with pytest.raises(UnknownNameError):
        engine.restorer(name)


def test_a_repository_id_is_an_id() -> None:
    assert check_repository_id("someone/some-model@v1.0") == "someone/some-model@v1.0"


@pytest.mark.parametrize("payload", ["/etc/passwd", {"path": "/etc/passwd"}, {"path": ""}, {}, 3])
def test_only_uploads_are_files(payload: object) -> None:
    with pytest.raises(ImageError):
        uploaded_path(payload)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompts": "/etc/passwd"}, {"clip": "local-dir:models/clip"}, {"prompts": "pyproject.toml"},
        {"base": "clip_haze", "base_config": {"clip": "../secret"}}, {"prompts": ["haze", "assets/prompts"]},
    ],
)  # fmt: skip
def test_a_strangers_model_names_no_file_of_this_machine(arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    with pytest.raises(WeightsError, match="wants to open"):
        check_arguments(arguments)


def test_a_strangers_model_may_name_models_of_the_hub() -> None:
    check_arguments(
        {"clip": "hf-hub:someone/clip", "prompts": "haze", "side": [64, 96], "guide": "ViT-B-32:tag", "x": None}
    )
