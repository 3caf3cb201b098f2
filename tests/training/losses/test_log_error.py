"""Minus a tenth of the mean PSNR; every picture's relative error counts alike."""

import pytest
import torch

from eval.metrics.psnr import psnr
from training.losses.log_error import FLOOR, log_error


def test_it_is_minus_a_tenth_of_the_mean_psnr():
    torch.manual_seed(0)
    clear = torch.rand(3, 3, 20, 24)
    restored = clear + torch.tensor([0.05, 0.1, 0.3]).view(3, 1, 1, 1) * torch.randn(3, 3, 20, 24)
    pictures = [x.permute(0, 2, 3, 1).numpy() for x in (restored, clear)]
    wanted = sum(psnr(a, b, 1.0) for a, b in zip(*pictures, strict=True))
    assert float(log_error(restored, clear)) == pytest.approx(-wanted / 30, abs=0.003)


def test_halving_the_error_of_any_picture_is_worth_the_same():
    clear = torch.zeros(2, 3, 8, 8)
    errors = torch.tensor([0.04, 0.4]).view(2, 1, 1, 1)
    before = log_error(clear + errors, clear)
    gains = [before - log_error(clear + errors * torch.tensor(halved).view(2, 1, 1, 1), clear)
             for halved in ([0.5, 1.0], [1.0, 0.5])]  # fmt: skip
    assert float(gains[0]) == pytest.approx(float(gains[1]), rel=0.03)


def test_a_perfect_result_has_a_finite_loss_and_no_gradient():
    clear = torch.rand(1, 3, 8, 8)
    restored = clear.clone().requires_grad_()
    loss = log_error(restored, clear)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(torch.log10(torch.tensor(FLOOR))))
    assert not restored.grad.any()
