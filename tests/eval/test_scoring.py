"""The scoring call: values, errors in place of crashes, independence of order and threads, the Set5 anchor."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from errors import MetricError, UnknownNameError
from eval import protocol, scoring
from eval.metrics.niqe import niqe
from eval.metrics.niqe_model import embedded_model, make_model
from eval.metrics.psnr import psnr
from eval.metrics.ssim import SsimWindow, ssim
from eval.scoring import score
from images import Picture, read_picture
from resample import imresize
from tests.eval.metrics.pictures import disturbed, noise, scene, shared

ROOT = Path(__file__).resolve().parents[2]
CORE = ("psnr", "ssim", "niqe")
BASE = protocol.get("dehaze-rgb")


def _picture(pixels: np.ndarray, name: str = "a.png") -> Picture:
    return Picture(np.ascontiguousarray(pixels), name, name)


def _score(output: np.ndarray, reference: np.ndarray | None, name: str = "dehaze-rgb", metrics: tuple = CORE) -> dict:
    pair = _picture(output), None if reference is None else _picture(reference)
    found = score(*pair, metrics, protocol.get(name), niqe_parameters=embedded_model())
    assert [m.metric for m in found] == list(metrics)
    for m in found:
        assert (m.value is None) != (m.error is None)
        assert m.value is None or not math.isnan(m.value)
        assert m.seconds >= 0
    return {m.metric: m for m in found}


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    reference = scene(120, 210, 1)
    return disturbed(reference, 9), reference


def test_values_are_those_of_the_metrics(pair: tuple) -> None:
    found = _score(*pair)
    assert found["psnr"].value == psnr(*pair)
    assert found["ssim"].value == ssim(*pair)
    assert found["niqe"].value == niqe(pair[0], embedded_model())
    assert found["niqe"].variant == embedded_model().variant
    assert found["psnr"].variant == found["ssim"].variant == ""
    assert _score(*pair, "dehaze-ffa")["ssim"].value == ssim(*pair, SsimWindow(border="zero"))


def test_order_and_choice_of_metrics_do_not_matter(pair: tuple) -> None:
    values = {name: m.value for name, m in _score(*pair).items()}
    assert {name: m.value for name, m in _score(*pair, metrics=("niqe", "ssim", "psnr")).items()} == values
    for name in CORE:
        assert _score(*pair, metrics=(name,))[name].value == values[name]


def test_threads_do_not_matter() -> None:
    pairs = [(disturbed(scene(110, 200, seed), 9), scene(110, 200, seed)) for seed in range(12)]
    alone = [{name: m.value for name, m in _score(*p).items()} for p in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: {name: m.value for name, m in _score(*p).items()}, pairs * 2))
    assert together == alone * 2


def test_identical_pictures() -> None:
    found = _score(scene(100, 100, 1), scene(100, 100, 1))
    assert found["psnr"].value == math.inf
    assert found["ssim"].value == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", protocol.names())
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 40), (40, 1), (5, 5), (10, 300), (95, 400), (96, 96), (97, 130)]
)
def test_any_size_gives_a_value_or_a_reason(name: str, height: int, width: int) -> None:
    found = _score(noise(height, width, 1), noise(height, width, 2), name)
    assert (found["niqe"].value is None) == (min(height, width) < 96 or name == "niqe-live")
    if name == "dehaze-rgb":
        assert found["psnr"].value is not None
        assert (found["ssim"].value is None) == (min(height, width) < 11)


@pytest.mark.parametrize("name", protocol.names())
@pytest.mark.parametrize(("first", "second"), [(0, 0), (255, 255), (0, 255), (90, 90), (90, 91)])
def test_flat_pictures_give_a_value_or_a_reason(name: str, first: int, second: int) -> None:
    found = _score(*(np.full((100, 110, 3), level, np.uint8) for level in (first, second)), name)
    assert found["niqe"].value is None
    if found["psnr"].value is None:
        assert name == "lowlight-gtmean"
        assert "black" in found["psnr"].error


def test_without_a_reference_only_niqe_has_a_value(pair: tuple) -> None:
    found = _score(pair[0], None)
    assert found["niqe"].value is not None
    assert "reference" in found["psnr"].error
    assert "reference" in found["ssim"].error


def test_a_size_mismatch_is_two_reasons_and_niqe_is_still_there(pair: tuple) -> None:
    found = _score(pair[0][:, :-1], pair[1])
    assert "Sizes differ" in found["psnr"].error
    assert found["psnr"].error == found["ssim"].error
    assert found["niqe"].value is not None
    cropped = _score(pair[0][:, :-2], pair[1], "dehaze-rgb+center-crop")
    assert "common centre" in cropped["psnr"].notes[0]
    assert cropped["niqe"].notes == ()


def test_niqe_looks_at_the_output_whatever_the_protocol_does_to_the_pair(pair: tuple) -> None:
    values = {_score(*pair, name)["niqe"].value for name in protocol.names() if name != "niqe-live"}
    assert values == {niqe(pair[0], embedded_model())}


def test_niqe_live_refuses_other_parameters(pair: tuple) -> None:
    found = _score(*pair, "niqe-live")
    assert "official parameters" in found["niqe"].error
    official = shared("data/niqe/niqe_modelparameters.mat")
    scored = score(_picture(pair[0]), None, ("niqe",), protocol.get("niqe-live"), niqe_parameters=official)[0]
    assert scored.variant == "niqe-live@f6284a2b"
    assert scored.value == niqe(pair[0], scoring.resolve_model(official))


def test_two_parameter_files_never_share_a_variant(pair: tuple) -> None:
    other = make_model(np.zeros(36), np.eye(36), "other")
    found = score(_picture(pair[0]), None, ("niqe",), BASE, niqe_parameters=other)[0]
    assert found.variant != _score(*pair)["niqe"].variant


def test_unknown_metrics_are_a_usage_error(pair: tuple) -> None:
    with pytest.raises((UnknownNameError, MetricError)):
        score(_picture(pair[0]), None, ("pnsr",), BASE)


def test_adding_a_constant_to_both_changes_psnr_not_at_all() -> None:
    x, y = noise(100, 100, 1) // 2, noise(100, 100, 2) // 2
    assert _score(x, y)["psnr"].value == _score(x + 100, y + 100)["psnr"].value


def test_set5_bicubic_anchor() -> None:
    folder = shared("data/set5")
    values = []
    for number in range(1, 6):
        small, large = (read_picture(folder / f"img_00{number}_x4_{kind}.png") for kind in ("LR", "HR"))
        enlarged = np.clip(np.rint(imresize(small.pixels, 4)), 0, 255).astype(np.uint8)
        height, width = enlarged.shape[:2]
        reference = large.pixels[:height, :width]
        values.append(_score(enlarged, reference, "sr-y4", ("psnr", "ssim"))["psnr"].value)
    assert np.mean(values) == pytest.approx(28.42, abs=0.02)


_WARM = """
import numpy as np
from eval import protocol, scoring
from eval.metrics import kernels, niqe_kernels
from eval.metrics.niqe_model import embedded_model
from images import Picture

def compiled():
    loops = {**vars(kernels), **vars(niqe_kernels)}
    return {(name, str(types)) for name, loop in loops.items() for types in getattr(loop, "signatures", ())}

assert not compiled(), "importing compiles"
scoring.warm_up()
warm = compiled()
noise = np.random.default_rng(1).integers(0, 256, (2, 120, 210, 3), dtype=np.uint8)
pair = [Picture(pixels, "", "noise") for pixels in noise]
for name in protocol.names():
    scoring.score(*pair, ("psnr", "ssim", "niqe"), protocol.get(name), niqe_parameters=embedded_model())
print(len(warm), sorted(compiled() - warm))
"""


def test_after_the_warm_up_scoring_compiles_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", _WARM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    number, fresh = done.stdout.split(maxsplit=1)
    assert int(number) >= 8 and fresh.strip() == "[]"


_VALUES = """
import sys
import numpy as np
from eval import protocol, scoring
from eval.metrics.niqe_model import embedded_model
from images import Picture

noise = np.random.default_rng(1).integers(0, 256, (2, 120, 210, 3), dtype=np.uint8)
for dtype in sys.argv[1:]:
    pair = [Picture(pixels.astype(dtype), "", "noise") for pixels in noise]
    for name in protocol.names():
        scores = scoring.score(*pair, ("psnr", "ssim", "niqe"), protocol.get(name), niqe_parameters=embedded_model())
        print(dtype, name, [(one.metric, one.value) for one in scores])
"""


def test_processes_that_compile_and_that_find_machine_code_give_the_same_bits(tmp_path) -> None:
    """Loops of one picture type compiled, loops of another compiled beside cached ones, all loops cached."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    printed = [
        subprocess.run(
            [sys.executable, "-c", _VALUES, *dtypes],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for dtypes in (["uint8"], ["uint16"], ["uint8", "uint16"])
    ]
    assert printed[0] + printed[1] == printed[2] and "ssim" in printed[0][0]
