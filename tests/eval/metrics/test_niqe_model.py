"""Where pristine models come from, how they are named, and the fit."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from errors import MetricError, MetricUnavailableError
from eval.metrics import niqe_model
from eval.metrics.niqe_fit import fit, save_model, sharp_features
from eval.metrics.niqe_model import OFFICIAL_FILE, embedded_model, load_model, make_model, resolve_model
from images import Picture, write_picture
from tests.eval.metrics.pictures import scene, shared


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches and no network."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "huggingface" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "create_connection", _refused)
    niqe_model.official_model.cache_clear()
    yield tmp_path
    niqe_model.official_model.cache_clear()


def _refused(*_: object, **__: object) -> None:
    raise OSError("no network in this test")


def _stand_in(tmp_path: Path, keys: tuple[str, str] = ("mean", "covariance")) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "model.npz"
    np.savez(path, **{keys[0]: rng.normal(size=36), keys[1]: np.eye(36)})
    return path


def test_embedded_model_is_always_there_and_says_so() -> None:
    model = embedded_model()
    assert model.kind == "embedded"
    assert model.variant == f"niqe-embedded@{model.sha256[:8]}"
    assert np.linalg.eigvalsh(model.covariance).min() > 0
    assert niqe_model.EMBEDDED.stat().st_size < 20_000


def test_official_values_are_known_by_their_hash_in_any_format(tmp_path: Path) -> None:
    official = load_model(shared("data/niqe/niqe_modelparameters.mat"))
    assert official.variant == "niqe-live@f6284a2b"
    copy = tmp_path / "niqe_pris_params.npz"
    np.savez(copy, mu_pris_param=official.mean[None], cov_pris_param=official.covariance, gaussian_window=np.eye(7))
    assert load_model(copy).variant == official.variant


@pytest.mark.parametrize("place", ["hub", "pyiqa"])
def test_caches_are_searched_without_a_network(nowhere: Path, place: str) -> None:
    path = {
        "hub": nowhere / "huggingface/hub/models--chaofengc--IQA-PyTorch-Weights/snapshots/abc" / OFFICIAL_FILE,
        "pyiqa": nowhere / "torch/hub/pyiqa" / OFFICIAL_FILE,
    }[place]
    path.parent.mkdir(parents=True)
    shutil.copy(shared("data/niqe/niqe_modelparameters.mat"), path)
    assert resolve_model().kind == "live"
    assert resolve_model(want="live").kind == "live"
    assert resolve_model(want="embedded").kind == "embedded"


def test_a_wrong_file_in_the_cache_is_refused(nowhere: Path) -> None:
    path = nowhere / "torch/hub/pyiqa" / OFFICIAL_FILE
    path.parent.mkdir(parents=True)
    shutil.copy(_stand_in(nowhere), path.with_suffix(".npz"))
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(MetricError, match="cannot be read"):
        resolve_model()


def test_without_official_values_the_embedded_model_is_used_or_the_protocol_refuses(nowhere: Path) -> None:
    assert resolve_model().kind == "embedded"
    with pytest.raises(MetricUnavailableError, match="--niqe-parameters"):
        resolve_model(want="live")


def test_offline_is_respected(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(niqe_model.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    assert resolve_model().kind == "embedded"


def test_a_given_file_wins_unless_the_protocol_wants_another(tmp_path: Path) -> None:
    path = _stand_in(tmp_path)
    assert resolve_model(path).kind == "custom"
    assert resolve_model(str(path)).source == "model.npz"
    assert resolve_model(embedded_model(), "embedded").kind == "embedded"
    for want in ("live", "embedded"):
        with pytest.raises(MetricError, match="niqe-custom"):
            resolve_model(path, want)


def test_a_copy_of_the_embedded_model_counts_as_embedded(tmp_path: Path) -> None:
    copy = tmp_path / "copy.npz"
    shutil.copy(niqe_model.EMBEDDED, copy)
    assert load_model(copy).variant == embedded_model().variant


def test_broken_files_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="no NIQE parameters at"):
        load_model(tmp_path / "absent.mat")
    for name, data in (("a.mat", b"MATLAB nonsense" * 40), ("b.npz", b"PK nonsense"), ("c.npz", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MetricError, match="cannot be read"):
            load_model(tmp_path / name)
    with pytest.raises(MetricError, match="holds no NIQE parameters"):
        load_model(_stand_in(tmp_path, ("a", "b")))
    for mean, covariance in ((np.zeros(35), np.eye(36)), (np.zeros(36), np.eye(35)), (np.full(36, np.nan), np.eye(36)),
                             (np.zeros(36), np.triu(np.ones((36, 36))))):  # fmt: skip
        with pytest.raises(MetricError, match="is no NIQE model"):
            make_model(mean, covariance, "x")


def test_fit_is_the_mean_and_covariance_of_sharp_blocks(tmp_path: Path) -> None:
    pictures = [Picture(scene(300, 400, seed), str(seed), f"{seed}.png") for seed in range(9)]
    fitted = fit(pictures)
    blocks = np.concatenate([sharp_features(p.pixels) for p in pictures])
    assert (fitted.pictures, fitted.blocks) == (9, len(blocks))
    np.testing.assert_allclose(fitted.model.mean, blocks.mean(axis=0), rtol=1e-12)
    centred = blocks - blocks.mean(axis=0)
    np.testing.assert_allclose(fitted.model.covariance, centred.T @ centred / (len(blocks) - 1), atol=1e-12)
    np.testing.assert_allclose(fit(pictures[::-1]).model.mean, fitted.model.mean, rtol=1e-12)
    save_model(tmp_path / "deep" / "model.npz", fitted, "scenes")
    assert load_model(tmp_path / "deep" / "model.npz").sha256 == fitted.model.sha256


def test_fit_passes_over_what_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no")
    write_picture(tmp_path / "small.png", scene(50, 50))
    good = [Picture(scene(300, 400, seed), str(seed), f"{seed}.png") for seed in range(9)]
    fitted = fit([tmp_path / "broken.png", tmp_path / "small.png", *good])
    assert [name for name, _ in fitted.skipped] == ["broken.png", "small.png"]
    with pytest.raises(MetricError, match="too few"):
        fit(good[:1])


def test_keeping_fewer_blocks_keeps_the_sharper_ones() -> None:
    image = scene(300, 400, 3)
    assert len(sharp_features(image, 0.95)) <= len(sharp_features(image, 0.5)) <= 12
