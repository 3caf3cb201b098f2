"""The losses between pictures and words: by hand, and blind to what they should not see."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.captions import CONCEPTS, Claim
from training.losses.degradation_words import contrastive_loss, dense_loss, order_loss, pair_loss, tile_loss

CLEAN = [0.0] * len(CONCEPTS)


def test_pair_and_dense_losses_by_hand():
    torch.manual_seed(0)
    features = [F.normalize(torch.randn(n, 8), dim=-1) for n in (4, 2, 3)]
    picture, positive, negative = features
    scale, label = torch.tensor(7.0), torch.tensor([1.0, 0.0, 1.0, 0.0])
    fits = torch.ones(4, 2, dtype=torch.bool)
    terms = []
    for i in range(4):
        for p in positive:
            for q in negative:
                probability = torch.stack([picture[i] @ p, picture[i] @ q]).mul(scale).softmax(0)[0]
                terms.append(-torch.log(probability if label[i] else 1 - probability))
    found = pair_loss(picture, positive, negative, scale, label, fits)
    torch.testing.assert_close(found, torch.stack(terms).mean())

    patches = F.normalize(torch.randn(2, 5, 8), dim=-1)
    logits = scale * ((patches @ positive.T)[..., :, None] - (patches @ negative.T)[..., None, :])
    perfect = torch.sigmoid(logits[..., :1, :1])[..., 0, 0]
    one = dense_loss(patches, positive[:1], negative[:1], scale, perfect, fits[:2, :1])
    assert float(one) == pytest.approx(0.0, abs=1e-5)


def test_order_loss_sees_only_the_order_inside_pictures():
    target = torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [0.5, 0.5, 0.5]])
    assert float(order_loss(3 * target + torch.tensor([[5.0], [-2.0], [9.0]]), target)) == pytest.approx(0.0)
    assert float(order_loss(-target, target)) == pytest.approx(2.0)
    assert float(order_loss(torch.rand(1, 3), target[2:])) == 0.0


def test_tile_loss_sees_only_the_order_inside_scenes():
    scene = torch.tensor([-1, 0, 0, 1, 1])
    target = torch.tensor([9.0, 0.1, 0.3, 0.5, 0.8])
    elsewhere = torch.tensor([-7.0, 4.0, 4.0, -3.0, -3.0])
    assert float(tile_loss(2 * target + elsewhere, target, scene)) == pytest.approx(0.0, abs=1e-6)
    assert float(tile_loss(-target, target, scene)) == pytest.approx(2.0)
    assert float(tile_loss(target, target, torch.full((5,), -1))) == 0.0


def test_every_caption_that_is_true_is_a_positive():
    """Two hazy pictures: each one's caption is also the other's, so equal logits there cost only log 2."""
    hazy = [1.0, *CLEAN[1:]]
    labels, kinds = torch.tensor([hazy, hazy, CLEAN]), torch.tensor([0, 0, -1])
    claims = [Claim((0,), (), ""), Claim((0,), (), ""), Claim((), (0,), "")]
    sure = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    assert float(contrastive_loss(sure, claims, labels, kinds)) == pytest.approx(2 / 3 * np.log(2), abs=1e-4)


def test_captions_of_another_kind_of_haze_are_left_out():
    hazy = [1.0, *CLEAN[1:]]
    claims = [Claim((0,), (), "smog"), Claim((0,), (), "smoke")]
    loss = contrastive_loss(torch.randn(2, 2) * 5, claims, torch.tensor([hazy, hazy]), torch.tensor([2, 3]))
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
