"""The embedded haze CLIP: its files, its words, and what it sees in the example pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from errors import PromptError
from images import list_pictures, read_picture
from priors import prompts, sources
from priors.clip import load
from priors.density import encode_picture
from priors.evaluate import encode_folders, rank, spearman
from training.captions import UNKNOWN

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "assets" / "examples" / "haze"
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def embedded():
    return load("embedded")


@pytest.fixture(scope="module")
def labelled(embedded):
    return encode_folders(embedded, EXAMPLES / "hazy", EXAMPLES / "clear")


def score(prior, picture, words):
    return encode_picture(prior, picture, maps=False).score(words)


def test_files_are_those_of_the_manifest_and_small():
    sources.verify_embedded()
    assert set(sources.manifest()["sha256"]) == {sources.CONFIG, sources.WEIGHTS}
    assert sum(f.stat().st_size for f in sources.EMBEDDED.iterdir()) <= 16 * 2**20
    stored = load_file(sources.EMBEDDED / sources.WEIGHTS)
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in stored.values())
    assert sum(value.numel() for value in stored.values()) == sources.manifest()["parameters"]


def test_changed_bytes_are_refused(tmp_path, monkeypatch):
    for file in sources.EMBEDDED.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / sources.WEIGHTS).read_bytes())
    data[-1] ^= 1
    (tmp_path / sources.WEIGHTS).write_bytes(data)
    monkeypatch.setattr(sources, "EMBEDDED", tmp_path)
    with pytest.raises(PromptError, match="is not the file it should be"):
        sources.verify_embedded()


def test_plain_open_clip_loads_it_anywhere(embedded):
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{sources.EMBEDDED}")
    tokens = open_clip.get_tokenizer(f"local-dir:{sources.EMBEDDED}")(["fog"])
    torch.testing.assert_close(model.encode_text(tokens, normalize=True).detach(), embedded.encode_text(["fog"]))
    assert transform is not None and embedded.preprocess.resize_mode == "squash"


def test_words_it_never_met_have_no_embedding(embedded):
    table = embedded.model.token_embedding.weight
    ids = embedded.tokenizer.encode(f"xylophone {UNKNOWN} zebra")
    assert (table[ids] == 0).all()
    assert (table[embedded.tokenizer.encode("haze fog clear")].abs().sum(1) > 0).all()
    assert 100 < int((table.abs().sum(1) > 0).sum()) < 2000


def test_example_pictures_are_told_apart(embedded, labelled):
    table = rank(embedded, labelled, [prompts.get()])
    assert table["auroc"][0] == 1.0 and table["accuracy"][0] >= 0.9


@pytest.mark.parametrize(
    ("positive", "negative"),
    [("fog", "clear air"), ("a foggy street", "a street without fog, clear"), ("a hazy zebra", "a clear zebra"),
     ("mist over the river", "a river in clear air")],
)  # fmt: skip
def test_own_words_work(embedded, labelled, positive, negative):
    words = prompts.PromptSet("own", (positive,), (negative,))
    assert rank(embedded, labelled, [words])["auroc"][0] >= 0.9


def test_more_haze_scores_higher(embedded):
    for path in list_pictures(EXAMPLES / "clear")[:3]:
        clear = read_picture(path).to_tensor()
        values = [score(embedded, clear * t + 0.9 * (1 - t), prompts.get()) for t in (1.0, 0.75, 0.5, 0.3)]
        assert all(after > before - 0.02 for before, after in itertools.pairwise(values)) and values[-1] > 0.8
        assert values[0] < 0.5 < values[2]


def test_darkness_is_not_haze(embedded):
    clear = read_picture(EXAMPLES / "clear" / "coffee.jpg").to_tensor()
    dark = (0.6 * clear) ** 2.2
    dim = prompts.get("low-light")
    assert score(embedded, dark, dim) > 0.7 > 0.3 > score(embedded, clear, dim)
    assert score(embedded, dark, prompts.get()) < 0.5


@pytest.fixture(scope="module")
def halves(embedded):
    """Mean density of a half with true density 0.65 and of the clear half beside it."""
    clear = read_picture(EXAMPLES / "clear" / "raccoon.jpg").to_tensor()
    width = clear.shape[-1]
    t = torch.where(torch.arange(width) < width // 2, 0.35, 1.0)
    density = encode_picture(embedded, clear * t + 0.9 * (1 - t)).map(prompts.get())
    return density[:, : width // 2 - 30].mean(), density[:, width // 2 + 30 :].mean()


def test_the_map_ranks_the_hazy_half_above_the_clear_one(halves):
    assert halves[0] > 2 * halves[1]


@pytest.mark.xfail(
    strict=True,
    reason="beside clear detail a hazy part reads as too thin; see the limits in docs/haze_estimation.md",
)
def test_the_map_knows_how_dense_the_hazy_half_is(halves):
    assert halves[0] > 0.35


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "nyu_depth.tar").exists(), reason="needs the NYU tars beside the project")
def test_maps_rank_like_the_true_density_on_scenes_never_seen(embedded):
    from training.data import nyu
    from training.degradations.haze import sots_pair

    pairs = []
    for index, (_, picture, depth) in enumerate(nyu(SHARED, validation=True)):
        if index % 5 == 0:
            clear = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
            hazy, _, t = sots_pair(clear, torch.from_numpy(depth)[None, None].float(), 1.0)
            pairs.append((hazy, (1 - t)[0, 0].numpy()))
    both, patches = (
        np.mean([spearman(encode_picture(embedded, p, route=r).map(prompts.get()), truth) for p, truth in pairs])
        for r in ("auto", "dense")
    )
    assert both > 0.80  # 0.825 on these ten; patches alone 0.819, one grid of them 0.793, tiles alone 0.751
    assert both > patches


def test_the_snippet_of_the_page_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    snippet = (ROOT / "docs" / "haze_estimation.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names = {}
    exec(compile(snippet, "haze_estimation.md", "exec"), names)
    assert names["encoded"].score(prompts.get("haze")) > 0.5
