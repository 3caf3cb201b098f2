"""The meter counts what lives at once, and no more."""

import torch

from restorers.memory import MemoryMeter, bytes_per_pixel


def test_the_meter_counts_what_lives_at_once():
    with MemoryMeter() as meter:
        a = torch.zeros(256)
        b = a + 1
        assert meter.peak == meter.live == 2048
        del b
        assert meter.live == 1024
        a.view(16, 16).add_(1)
        assert meter.live == 1024, "views and in-place operations take nothing"


def test_bytes_per_pixel_of_two_convolutions():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1))
    assert bytes_per_pixel(network, torch.device("cpu"), side=32) == 2 * 8 * 4
