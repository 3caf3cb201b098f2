"""Devices by name, for every room that runs networks."""

from __future__ import annotations

import re

import torch

from errors import UsageError


def choose_device(name: str = "auto") -> torch.device:
    """Device by name.

    Args:
        name: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"There is no device called {name!r}; use auto, cpu, cuda or cuda:N.")
    index = int(name.partition(":")[2] or 0)  # not of torch.device, in which cuda:256 is cuda:0
    if name != "cpu" and index >= torch.cuda.device_count():
        raise UsageError(f"There is no {name} on this machine; use cpu.")
    return torch.device(name)
