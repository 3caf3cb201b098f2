"""The last curve: means that are asked for, limits, black and white, gradients."""

import pytest
import torch

from restorers.blocks.exposing import EXPONENTS, TOE, exponents, exposed, mean_luma


def picture(scale=1.0, size=(60, 90)):
    torch.manual_seed(0)
    return scale * torch.rand(2, 3, *size)


@pytest.mark.parametrize(("scale", "luma"), [(1.0, 0.45), (0.4, 0.45), (0.9, 0.6), (1.0, 0.3)])
def test_every_picture_gets_the_mean_that_is_asked_for(scale, luma):
    x = picture(scale)
    x[1] *= 0.7
    y = exposed(x, luma)
    assert mean_luma(y).flatten().tolist() == pytest.approx([luma, luma], abs=2e-3)
    torch.testing.assert_close(exposed(x[1:], luma), y[1:])


def test_black_and_white_stay_and_order_is_kept():
    ramp = torch.linspace(0, 1, 256).expand(1, 3, 4, 256)
    y = exposed(ramp, 0.7)[0, 0, 0]
    assert float(y[0]) == 0 and float(y[-1]) == 1
    assert bool((y.diff() > 0).all())


def test_what_is_nearly_black_stays_dark():
    x = torch.full((1, 3, 16, 16), 0.004)
    assert float(exponents(x, 0.45)) == pytest.approx(EXPONENTS[0], abs=1e-4)
    assert float(exposed(x, 0.45).mean()) == pytest.approx(0.004 ** EXPONENTS[0], abs=1e-4)


def test_large_pictures_are_measured_on_some_of_their_pixels():
    x = picture(0.3, (700, 1000))
    assert mean_luma(exposed(x, 0.45)).flatten().tolist() == pytest.approx([0.45, 0.45], abs=5e-3)


def test_slopes_are_finite_down_to_black():
    x = torch.tensor([0.0, TOE / 2, TOE, 0.01, 0.5, 1.0]).expand(1, 3, 1, 6).clone().requires_grad_()
    exposed(x, 0.6).sum().backward()
    assert bool(torch.isfinite(x.grad).all()) and float(x.grad.max()) < 1 / TOE
