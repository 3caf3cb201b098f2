"""Devices by name."""

import pytest
import torch

from devices import choose_device
from errors import UsageError


def test_names_of_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("tpu", "cuda:999", "mps", "meta"):
        with pytest.raises(UsageError):
            choose_device(name)
