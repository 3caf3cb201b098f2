"""Last bits of the dark: steps become slopes, edges and bright parts stay, noise is fixed."""

import numpy as np
import pytest
import torch

from restorers.blocks.rounding import fixed_noise, smoothed_shadows, undo_rounding


def ramp(low, high, size=(96, 192)):
    """A slope, rounded to 8 bits; and the slope itself."""
    slope = np.tile(np.linspace(low, high, size[1], dtype=np.float32), (3, size[0], 1)) / 255
    return (slope * 255).round() / np.float32(255), slope


def test_rounded_slopes_come_back():
    rounded, slope = ramp(0, 5)
    inside = np.s_[:, :, 16:-16]
    before, after = (np.abs(x - slope)[inside].mean() for x in (rounded, smoothed_shadows(rounded)))
    assert after < 0.6 * before


def test_edges_in_the_dark_are_kept():
    picture = np.zeros((3, 64, 96), np.float32)
    picture[..., 48:] = 16 / 255
    found = smoothed_shadows(picture)
    assert found[..., 47].max() < 3 / 255 and found[..., 48].min() > 13 / 255


def test_what_is_bright_passes():
    picture = ramp(60, 90)[0]
    assert smoothed_shadows(picture) is picture
    half = np.concatenate((ramp(0, 4)[0], picture), 2)
    assert np.array_equal(smoothed_shadows(half)[..., -150:], half[..., -150:])


def test_noise_is_grey_as_strong_as_the_error_of_rounding_and_always_the_same():
    flat = torch.full((2, 3, 512, 600), 0.5)
    noise = undo_rounding(flat) - flat
    levels = torch.rand(1_000_000, generator=torch.Generator().manual_seed(1)) * 255
    assert float(noise[..., :512].std()) == pytest.approx(float((levels.round() - levels).std() / 255), rel=0.01)
    assert torch.equal(noise, undo_rounding(flat) - flat) and torch.equal(noise[1], noise[0])
    assert torch.equal(noise[:, 0], noise[:, 2])


def test_noise_goes_on_seamlessly():
    noise = fixed_noise(40, 1024)[0, 0]
    assert torch.equal(noise[:, :512], noise[:, 512:])
    step = (noise[:, 1:] - noise[:, :-1]).square().mean(0)
    assert 0.5 * step.mean() < step[511] < 2 * step.mean()


@pytest.mark.parametrize(("low", "high", "ratio"), [(1 / 8, 1 / 4, 2.0), (1 / 64, 1 / 32, 1.0)])
def test_noise_has_the_spectrum_of_photographs_from_two_blocks_on(low, high, ratio):
    strength = torch.fft.fft2(fixed_noise(512, 512)[0, 0]).abs()
    frequency = torch.hypot(torch.fft.fftfreq(512)[:, None], torch.fft.fftfreq(512))
    around = [strength[(frequency > 0.95 * f) & (frequency < 1.05 * f)].mean() for f in (low, high)]
    assert float(around[0] / around[1]) == pytest.approx(ratio, rel=0.1)


def test_what_was_black_stays_black():
    assert not undo_rounding(torch.zeros(1, 3, 64, 64)).any()


def test_nothing_leaves_the_range():
    y = undo_rounding(torch.stack((torch.zeros(3, 32, 32), torch.ones(3, 32, 32))))
    assert float(y.min()) == 0 and float(y.max()) == 1
