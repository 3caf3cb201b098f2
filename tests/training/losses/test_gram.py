"""Gram matrices and their triplet."""

import pytest
import torch

from training.losses.gram import gram, gram_distance, gram_triplet


def test_gram_of_constant_maps():
    levels = torch.tensor([0.5, -1.0, 2.0, 3.0])
    maps = levels.view(1, 4, 1, 1).expand(1, 4, 5, 6)
    expected = torch.outer(levels, levels) / 4
    torch.testing.assert_close(gram(maps)[0], expected)


def test_distance_is_a_sum_over_the_batch_and_layers():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 4, 5, 6, generator=generator) for _ in range(2))
    one = sum(float((gram(a[i : i + 1]) - gram(b[i : i + 1])).square().sum()) for i in range(2))
    assert float(gram_distance([a], [b])) == pytest.approx(one, rel=1e-5)
    assert float(gram_distance([a, a], [b, b])) == pytest.approx(2 * one, rel=1e-5)
    assert float(gram_distance([a], [a])) == 0.0


def test_triplet_is_exactly_off_beyond_the_margin():
    output = torch.ones(1, 2, 3, 3, requires_grad=True)
    loss = gram_triplet([output], [torch.ones(1, 2, 3, 3)], [torch.zeros(1, 2, 3, 3)], margin=0.04)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(output.grad.abs().max()) == 0.0


def test_layers_must_correspond():
    with pytest.raises(ValueError, match="same layers"):
        gram_distance([torch.ones(1, 1, 2, 2)], [])
