"""InfoNCE: closed forms, symmetry, and where gradients stop."""

import math

import pytest
import torch
import torch.nn.functional as F

from training.losses.info_nce import bidirectional, channels_as_vectors, conditional, sample_positions


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_random_vectors_give_chance_level():
    value = float(bidirectional(unit(4, 256, 256, seed=1), unit(4, 256, 256, seed=2)))
    assert value == pytest.approx(2 * (math.log(256) + 0.4), abs=0.15)


def test_identical_orthogonal_vectors():
    vectors = torch.eye(256, dtype=torch.float64)[None]
    expected = 2 * math.log1p(255 * math.exp(-1 / 0.07))
    assert float(bidirectional(vectors, vectors)) == pytest.approx(expected, rel=1e-3)


def test_bidirectional_is_symmetric_and_never_leaves_the_picture():
    a, b = unit(3, 32, 16, seed=3), unit(3, 32, 16, seed=4)
    assert float(bidirectional(a, b)) == pytest.approx(float(bidirectional(b, a)), rel=1e-6)
    alone = sum(float(bidirectional(a[i : i + 1], b[i : i + 1])) for i in range(3)) / 3
    assert float(bidirectional(a, b)) == pytest.approx(alone, rel=1e-5)


def test_conditional_against_its_formula():
    s, h, c = (unit(2, 9, 8, seed=k) for k in (5, 6, 7))
    total = 0.0
    for n in range(2):
        for i in range(9):
            good = math.exp(float(s[n, i] @ h[n, i]) / 0.07)
            bad = sum(math.exp(float(s[n, i] @ c[n, j]) / 0.07) for j in range(9))
            total -= math.log(good / (good + bad))
    assert float(conditional(s, h, c)) == pytest.approx(total / 18, rel=1e-4)
    reverse = float(conditional(h, s, c))
    assert float(conditional(s, h, c, both_anchors=True)) == pytest.approx((total / 18 + reverse) / 2, rel=1e-4)


def test_a_detached_condition_gets_no_gradient():
    s, h, c = (unit(1, 6, 4, seed=k).requires_grad_() for k in (8, 9, 10))
    conditional(s, h, c.detach()).backward()
    assert c.grad is None
    assert float(s.grad.abs().max()) > 0


def test_sampled_positions_agree_between_maps():
    grid = torch.arange(30.0).view(1, 1, 5, 6)
    a, b = sample_positions([grid, 10 * grid], 12, torch.Generator().manual_seed(0))
    assert a.shape == (1, 12, 1)
    assert torch.equal(10 * a, b)
    assert len(set(a.flatten().tolist())) == 12
    with pytest.raises(ValueError, match="one grid"):
        sample_positions([grid, grid[..., :5]], 4, torch.Generator())


def test_channel_reading():
    (vectors,) = channels_as_vectors([torch.rand(2, 7, 32, 32)], side=4)
    assert vectors.shape == (2, 7, 16)
