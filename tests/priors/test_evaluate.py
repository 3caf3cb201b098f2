"""Ranking statistics against their definitions, and the leaderboard of prompts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from errors import PromptError, UsageError
from images import write_picture
from priors.evaluate import (
    auroc,
    balanced_accuracy,
    calibration_error,
    encode_folders,
    encode_labelled,
    rank,
    spearman,
)
from priors.prompts import PromptSet
from tests.priors.tiny import picture

SETS = [
    PromptSet("haze", ("a hazy photo",), ("a clear photo",)),
    PromptSet("turned", ("a clear photo",), ("a hazy photo",)),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("labelled")
    for end, level in (("hazy", 0.8), ("clear", 0.3)):
        (root / end).mkdir()
        for seed in range(5):
            write_picture(root / end / f"{seed}.png", picture(32, 40, seed + (end == "clear") * 20, level).pixels)
    return root


def test_auroc_is_the_share_of_rightly_ordered_pairs():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 40), rng.random(40) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    assert auroc(scores, labels) == pytest.approx(np.mean(pairs))
    assert auroc(-scores, labels) == pytest.approx(1 - np.mean(pairs))
    assert auroc(np.exp(scores), labels) == auroc(scores, labels)
    assert np.isnan(auroc(scores, np.ones(40)))


def test_spearman_agrees_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, (12, 7)), rng.random((12, 7))
    assert spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert spearman(a, a**3) == pytest.approx(1.0)
    assert np.isnan(spearman(a, np.ones_like(a)))


def test_calibration_and_accuracy_by_hand():
    scores, labels = np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, True, True, True])
    assert calibration_error(scores, labels) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert balanced_accuracy(scores, labels) == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(balanced_accuracy(scores, np.zeros(4)))
    assert calibration_error(np.ones(3), np.ones(3)) == 0.0


def test_the_leaderboard_ranks_and_explains(prior, folders):
    table = rank(prior, encode_folders(prior, folders / "hazy", folders / "clear"), SETS)
    assert list(table["auroc"]) == sorted(table["auroc"], reverse=True)
    assert table["auroc"].sum() == pytest.approx(1.0)
    assert set(table["positives"]) == {5} and set(table["negatives"]) == {5}
    np.testing.assert_allclose(table["mean_positive"][0] + table["mean_positive"][1], 1.0, atol=1e-6)


def test_pictures_are_encoded_once_for_all_sets(prior, folders, monkeypatch):
    labelled = encode_folders(prior, folders / "hazy", folders / "clear")
    monkeypatch.setattr(prior, "encode_image", None)
    monkeypatch.setattr(prior, "encode_patches", None)
    assert len(rank(prior, labelled, SETS)) == 2


def test_a_bad_picture_costs_one_picture(prior, folders, tmp_path):
    bad = tmp_path / "hazy"
    bad.mkdir()
    (bad / "good.png").write_bytes((folders / "hazy" / "0.png").read_bytes())
    (bad / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    seen = []
    labelled = encode_folders(prior, bad, folders / "clear", progress=lambda done, total: seen.append((done, total)))
    assert labelled.labels.tolist() == [True] + [False] * 5 and seen[-1] == (7, 7)
    assert len(labelled.skipped) == 1 and "torn.png" in labelled.skipped[0]
    (bad / "good.png").unlink()
    with pytest.raises(PromptError, match=r"Not one picture with the degradation can be read\. .*torn\.png"):
        encode_folders(prior, bad, folders / "clear")


def test_pictures_from_anywhere_are_read_a_batch_at_a_time(prior, monkeypatch):
    monkeypatch.setattr("priors.evaluate.BATCH", 2)
    read, read_by_then = [], []

    def reader(seed):
        return lambda: read.append(seed) or picture(32, 40, seed)

    readers = [(reader(seed), seed < 2) for seed in range(5)]
    labelled = encode_labelled(prior, readers, progress=lambda *_: read_by_then.append(len(read)))
    assert read_by_then == [2, 4, 5]
    assert labelled.labels.tolist() == [True, True, False, False, False]
    assert labelled.names == tuple(f"picture-{seed}.png" for seed in range(5))


def test_folders_without_pictures(prior, folders, tmp_path):
    with pytest.raises(UsageError, match="There is no picture or folder"):
        encode_folders(prior, tmp_path / "none", folders / "clear")
    with pytest.raises(UsageError, match="holds no pictures"):
        encode_folders(prior, tmp_path, folders / "clear")
