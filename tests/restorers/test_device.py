"""Precisions by name, the ZeroGPU shim, and what a run used."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from errors import UsageError
from restorers import device as place

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]


def test_names_of_precisions():
    assert place.choose_dtype("auto", CPU) == place.choose_dtype("fp32", CPU) == torch.float32
    assert place.choose_dtype("bf16", CPU) == torch.bfloat16
    with pytest.raises(UsageError, match="needs a GPU"):
        place.choose_dtype("fp16", CPU)
    with pytest.raises(UsageError, match="no precision"):
        place.choose_dtype("int8", CPU)


def test_half_precision_is_used_only_where_asked_for():
    x, layer = torch.rand(1, 3, 16, 16), torch.nn.Conv2d(3, 3, 1)
    with torch.inference_mode(), place.precision(CPU, torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with torch.inference_mode(), place.precision(CPU, torch.float32):
        assert layer(x).dtype == torch.float32


_PEAKS = """
import numpy, torch
from restorers import device as place

cpu = torch.device("cpu")
place.reset_peak(cpu)
before = place.peak_mib(cpu)
block = numpy.ones(64 << 20, numpy.uint8)
during = place.peak_mib(cpu)
del block
place.reset_peak(cpu)
print(before, during, place.peak_mib(cpu), place.free_memory(cpu))
"""


def test_peak_memory_sees_an_allocation_and_forgets_it():
    """In a process of its own, whose memory nobody takes away meanwhile."""
    done = subprocess.run([sys.executable, "-c", _PEAKS], cwd=ROOT, capture_output=True, text=True, check=True)
    before, during, after, free = map(float, done.stdout.split())
    assert 50 < during - before < 200
    if sys.platform == "linux":
        assert after < during - 30
    assert free > 0


def double(value):
    return 2 * value


@pytest.mark.parametrize("decorate", [place.gpu, place.gpu(), place.gpu(duration=30)], ids=["bare", "empty", "given"])
def test_away_from_zerogpu_the_function_is_unchanged(decorate, monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert decorate(double) is double


def test_on_zerogpu_both_spellings_reach_spaces(monkeypatch):
    calls = []

    def fake_gpu(task=None, **options):  # the signature of spaces.GPU
        calls.append(options)
        return task if task is not None else lambda function: function

    module = types.ModuleType("spaces")
    module.GPU = fake_gpu
    module.__spec__ = types.SimpleNamespace(name="spaces")
    monkeypatch.setitem(sys.modules, "spaces", module)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert place.gpu(double)(2) == 4
    assert place.gpu(duration=30)(double)(3) == 6
    assert calls == [{}, {"duration": 30}]
