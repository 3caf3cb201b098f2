"""The prior against plain open_clip, and dense features against a slow construction of them."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from errors import PromptError
from priors import clip, dense, text_tower
from priors.preprocess import Preprocess
from tests.priors.tiny import MODEL, picture, write_clip

TEXTS = ["a hazy photo", "a clear photo", "fog"]


@pytest.fixture(scope="module")
def plain(folder):
    return open_clip.create_model_from_pretrained(f"local-dir:{folder}")


def test_features_are_those_of_plain_open_clip(prior, plain, folder):
    model, _ = plain
    batch = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(model.visual.preprocess_cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    expected = model.encode_image((batch - mean) / std, normalize=True)
    torch.testing.assert_close(prior.encode_image(batch), expected)
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    torch.testing.assert_close(prior.encode_text(TEXTS), model.encode_text(tokens, normalize=True))
    assert prior.logit_scale == pytest.approx(float(model.logit_scale.exp()))


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(40, 90), (90, 41), (20, 25), (32, 32)])
def test_preprocessing_follows_open_clips_transform(mode, size):
    config = {"size": (32, 32), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "resize_mode": mode, "fill_color": 9}
    pixels = picture(*size, seed=3).pixels
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**config), is_train=False)
    expected = transform(Image.fromarray(pixels))[None]
    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    found = Preprocess.of(config)(batch)
    assert found.shape == expected.shape
    # open_clip rounds to 8 bits after resizing: half a level, divided by the deviation.
    assert (found - expected).abs().max() < 1.6 / 255 / 0.2


@pytest.mark.parametrize("pool", ["tok", "avg"])
def test_the_pooled_feature_of_the_dense_pass_is_the_towers(prior, plain, pool, monkeypatch):
    model, _ = plain
    monkeypatch.setattr(model.visual, "pool_type", pool)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(dense.encode(model.visual, x).picture, model.visual(x))


def test_patch_features_are_the_value_path(prior, plain):
    """The same numbers from attention weights set to the identity, through PyTorch's own attention function."""
    model, _ = plain
    visual = model.visual
    x = torch.randn(1, 3, 32, 32)
    tokens = visual._embeds(x)
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    last = visual.transformer.resblocks[-1]
    count = tokens.shape[1]
    only_self = torch.full((count, count), float("-inf")).fill_diagonal_(0.0)
    normed = last.ln_1(tokens)
    mixed, _ = last.attn(normed, normed, normed, attn_mask=only_self, need_weights=False)
    expected = (visual.ln_post(mixed) @ visual.proj)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(dense.encode(visual, x).patches, expected, rtol=1e-4, atol=1e-5)


def test_positions_interpolate_and_keep_the_native_grid():
    table = torch.randn(17, 8)
    assert dense.interpolate_positions(table, (4, 4), (4, 4)) is table
    other = dense.interpolate_positions(table, (4, 4), (6, 9))
    assert other.shape == (55, 8)
    torch.testing.assert_close(other[0], table[0])
    flat = torch.ones(17, 8)
    torch.testing.assert_close(dense.interpolate_positions(flat, (4, 4), (3, 7)), torch.ones(22, 8))


@pytest.mark.parametrize(("size", "expected"), [((48, 64), (4, 5)), ((64, 48), (5, 4)), ((30, 300), (4, 40))])
def test_the_grid_follows_the_pictures_shape(prior, size, expected):
    assert prior.grid_for(*size) == expected
    assert prior.encode_patches(torch.rand(1, 3, *size)).shape == (1, 16, *expected)
    assert prior.encode_patches(torch.rand(1, 3, *size), 6).shape[2:] == prior.grid_for(*size, short=6)


def test_a_batch_is_its_pictures(prior):
    batch = torch.rand(3, 3, 40, 50)
    together, apart = prior.encode_image(batch), torch.cat([prior.encode_image(b[None]) for b in batch])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-6)
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-5)


def test_gradients_reach_pictures_that_ask_for_them(prior):
    batch = torch.rand(1, 3, 32, 32, requires_grad=True)
    prior.encode_image(batch).sum().backward()
    assert batch.grad is not None and batch.grad.abs().sum() > 0
    assert not prior.encode_image(batch.detach()).requires_grad
    assert all(not p.requires_grad for p in prior.model.parameters())


def test_texts_are_encoded_once(prior, monkeypatch):
    prior.encode_text(["seen before"])
    monkeypatch.setattr(prior, "tokenizer", None)
    assert prior.encode_text(["seen before", "seen before"]).shape == (2, 16)


def test_only_so_many_texts_are_remembered(prior, monkeypatch):
    monkeypatch.setattr(clip, "KEPT_TEXTS", 3)
    many = [f"text {i}" for i in range(5)]
    assert prior.encode_text(many).shape == (5, 16)
    assert list(prior._texts) == many[2:]
    torch.testing.assert_close(prior.encode_text(many[:1]), prior.encode_text(many)[:1])


def test_context_of_word_embeddings_is_the_text(prior):
    """Vectors copied from the embedding table stand for their words exactly."""
    ids = prior.tokenizer(["a thick hazy photo"])[0]
    table = text_tower.embed(prior.model, ids)
    context = table[1:3]
    feature = prior.encode_context(context, "hazy photo")
    torch.testing.assert_close(feature, prior.encode_text(["a thick hazy photo"])[0], rtol=1e-4, atol=1e-6)


def test_contexts_that_do_not_fit_are_refused(prior):
    with pytest.raises(PromptError, match="another model"):
        prior.encode_context(torch.zeros(4, 17), "haze")
    with pytest.raises(PromptError, match="more than the 32 tokens"):
        prior.encode_context(torch.zeros(30, 16), "haze")


def test_a_tower_without_patches_says_so(tmp_path):
    model = {**MODEL, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}}
    prior = clip.load(f"local-dir:{write_clip(tmp_path / 'resnet', model=model)}")
    assert prior.patch_size is None
    assert prior.encode_image(torch.rand(1, 3, 40, 40)).shape == (1, 16)
    with pytest.raises(PromptError, match="tile route"):
        prior.encode_patches(torch.rand(1, 3, 40, 40))


def test_pictures_out_of_contract_are_refused(prior):
    with pytest.raises(Exception, match="expected"):
        prior.encode_image(torch.rand(3, 32, 32))
    with pytest.raises(PromptError, match="out of range"):
        prior.encode_patches(torch.rand(1, 3, 32, 32), 1)


def test_features_do_not_depend_on_how_the_batch_is_scaled_to_bytes(prior):
    shot = picture(32, 32, seed=5)
    feature = prior.encode_image(shot.to_tensor())
    again = prior.encode_image(torch.from_numpy(np.array(shot.to_float())).permute(2, 0, 1)[None])
    assert float(F.cosine_similarity(feature, again)) == pytest.approx(1.0, abs=1e-6)


def test_a_device_by_any_name_is_one_model(folder):
    name = f"local-dir:{folder}"
    first = clip.load(name)
    assert clip.load(name, device="cpu") is clip.load(name, device=None) is first
    assert clip.load(name, device=torch.device("cpu")) is first
