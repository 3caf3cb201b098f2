"""The bridge to pyiqa: facts, values that need no weights, refusals that name the missing file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from errors import MetricError, MetricUnavailableError
from eval import protocol
from eval.metrics import pyiqa_bridge
from eval.scoring import score
from images import Picture, write_picture
from tests.eval.metrics.pictures import disturbed, scene

pytest.importorskip("pyiqa")


@pytest.fixture(scope="module")
def pair() -> tuple[Picture, Picture]:
    reference = scene(120, 130, 1)
    return Picture(disturbed(reference, 12), "a", "a.png"), Picture(reference, "b", "b.png")


def test_facts_are_carried_along() -> None:
    assert len(pyiqa_bridge.names()) > 90
    assert not {"fid", "inception_score"} & set(pyiqa_bridge.names())
    lpips, clipiqa, brisque = (pyiqa_bridge.spec(name) for name in ("lpips", "clipiqa", "brisque"))
    assert (lpips.kind, lpips.better) == ("full", "lower")
    assert (clipiqa.kind, clipiqa.better, clipiqa.low, clipiqa.high) == ("none", "higher", 0.0, 1.0)
    assert brisque.better == "lower"
    for name in pyiqa_bridge.names():
        spec = pyiqa_bridge.spec(name)
        assert spec.licence == "PolyForm-Noncommercial-1.0.0"
        assert spec.low < spec.high
    with pytest.raises(MetricError, match="no metric"):
        pyiqa_bridge.spec("fid")


def test_values_without_weights_and_paths_of_any_kind(pair: tuple[Picture, Picture], tmp_path: Path) -> None:
    value = pyiqa_bridge.measure("psnr", *pair)
    error = np.mean((pair[0].pixels.astype(float) - pair[1].pixels) ** 2)
    assert value == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, picture in zip(paths, pair, strict=True):
        write_picture(path, picture.pixels)
    assert pyiqa_bridge.measure("psnr", *paths) == value
    assert pyiqa_bridge.measure("psnr", str(paths[0]), str(paths[1])) == value


def test_scoring_reaches_the_bridge_and_names_it(pair: tuple[Picture, Picture]) -> None:
    found = {m.metric: m for m in score(*pair, ("gmsd", "psnr"), protocol.get("dehaze-rgb"))}
    assert found["gmsd"].value is not None, found["gmsd"].error
    assert found["gmsd"].variant.startswith("pyiqa-")
    assert found["psnr"].variant == ""


def test_the_protocols_luma_is_not_given_to_a_colour_metric(pair: tuple[Picture, Picture]) -> None:
    luma, colour = (score(*pair, ("gmsd",), protocol.get(n))[0] for n in ("y-noborder", "lowlight-rgb"))
    assert luma.value == colour.value


def test_missing_weights_are_said_to_be_missing(pair: tuple[Picture, Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    import pyiqa

    def offline(name: str, **_: object) -> None:
        print('Downloading: "https://hub/weights/x.pth" to /home/me/.cache/torch/hub/pyiqa/x.pth\n')
        raise OSError("Name or service not known")

    monkeypatch.setattr(pyiqa, "create_metric", offline)
    pyiqa_bridge._model.cache_clear()
    with pytest.raises(MetricUnavailableError, match=r"Put x.pth at /home/me/.cache/torch/hub/pyiqa/x.pth"):
        pyiqa_bridge.measure("brisque", pair[0])
    found = score(pair[0], None, ("brisque",), protocol.get("dehaze-rgb"))[0]
    assert found.value is None
    assert "weights are not here" in found.error


def test_what_pyiqa_cannot_score_becomes_a_reason(pair: tuple[Picture, Picture]) -> None:
    pyiqa_bridge._model.cache_clear()
    with pytest.raises(MetricError, match="compares with a reference"):
        pyiqa_bridge.measure("psnr", pair[0])
    tiny = Picture(np.zeros((3, 3, 3), np.uint8), "c", "c.png")
    with pytest.raises(MetricError, match=r"has no value on this 3x3 picture|NaN"):
        pyiqa_bridge.measure("ms_ssim", tiny, tiny)


def test_without_the_package_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyiqa_bridge, "is_installed", lambda: False)
    pyiqa_bridge.spec.cache_clear()
    assert pyiqa_bridge.names() == []
    with pytest.raises(MetricUnavailableError, match="pip install pyiqa"):
        pyiqa_bridge.spec("lpips")
    pyiqa_bridge.spec.cache_clear()
