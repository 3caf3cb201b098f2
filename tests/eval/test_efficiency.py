import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from errors import StoreError
from eval import efficiency
from eval.efficiency import Efficiency, count_macs


def macs(module, *shape):
    return count_macs(module, torch.rand(*shape))


def test_convolution_in_closed_form():
    total, notes = macs(nn.Conv2d(3, 16, 3, padding=1), 1, 3, 20, 30)
    assert total == 20 * 30 * 16 * 3 * 9 and notes == ()
    grouped, _ = macs(nn.Conv2d(8, 8, 3, padding=1, groups=8), 2, 8, 10, 10)
    assert grouped == 2 * 100 * 8 * 9


def test_transposed_convolution_in_closed_form():
    total, _ = macs(nn.ConvTranspose2d(4, 6, 2, stride=2), 1, 4, 10, 12)
    assert total == 10 * 12 * 4 * 6 * 4  # every input sample meets every tap once


def test_attention_in_closed_form():
    class Attention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    total, _ = macs(Attention(), 1, 2, 64, 16)
    assert total == 2 * (2 * 64 * 64 * 16)  # q k^T and its product with v, two heads


def test_deformable_convolution_counts_like_a_plain_one():
    from torchvision.ops import DeformConv2d

    class Deformable(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = DeformConv2d(4, 8, 3, padding=1)

        def forward(self, x):
            offset = torch.zeros(1, 18, 12, 12, device=x.device)
            return self.layer(x, offset)

    total, notes = macs(Deformable(), 1, 4, 12, 12)
    assert total == 12 * 12 * 4 * 8 * 9 and notes == ()


def test_what_is_not_counted_is_named():
    class Sampler(nn.Module):
        def forward(self, x):
            grid = torch.zeros(1, 4, 4, 2)
            return torch.fft.fft2(F.grid_sample(x, grid, align_corners=False)).real

    total, notes = macs(Sampler(), 1, 3, 8, 8)
    assert total == 0
    assert "outside torch's counted operators" in notes[0]
    assert "grid_sampler_2d" in notes[1] and "_fft_c2c" in notes[1]


def test_parts_that_no_counter_sees_name_themselves():
    class Hidden(nn.Conv2d):
        uncounted = "a walk in the woods"

    total, notes = macs(nn.Sequential(Hidden(3, 4, 1), Hidden(4, 4, 1)), 1, 3, 8, 8)
    assert total == 64 * (12 + 16)
    assert notes == ("not counted: a walk in the woods",)


def test_measure_gives_every_figure():
    module = nn.Conv2d(3, 3, 3, padding=1)
    found = efficiency.measure(module, height=64, width=96, repeats=2)
    assert found.parameters == 3 * 3 * 9 + 3
    assert found.gmacs == pytest.approx(64 * 96 * 81 / 1e9)
    assert 0 < found.seconds_per_mpix < 100 and (found.height, found.width) == (64, 96)
    assert "thread" in found.device


def test_peak_memory_sees_a_large_buffer():
    class Greedy(nn.Module):
        def forward(self, x):
            return x + torch.ones(64, 1024, 1024).sum()  # 256 MiB

    found = efficiency.measure(Greedy(), height=16, width=16, repeats=1)
    if found.peak_mib is None:
        assert "peak memory" in found.notes[-1]
    else:
        assert 250 < found.peak_mib < 900


def test_where_no_peak_can_be_reset_none_is_said(monkeypatch):
    monkeypatch.setattr(efficiency.os, "access", lambda *_: False)
    found = efficiency.measure(nn.Conv2d(3, 3, 1), height=16, width=16, repeats=1)
    assert found.peak_mib is None and "does not tell" in found.notes[-1]


def test_costs_on_disk(tmp_path):
    costs = {
        "a": Efficiency(10, 1.5, 0.25, None, "cpu", notes=("not counted: x",)),
        "b": Efficiency(0, None, 1, 2, "gpu"),
    }
    efficiency.save(costs, tmp_path / "costs.json")
    assert efficiency.load(tmp_path / "costs.json") == costs
    newer = {"a": {"parameters": 1, "gmacs": 1, "seconds_per_mpix": 1, "peak_mib": 1, "device": "x", "watts": 9}}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    assert efficiency.load(tmp_path / "newer.json")["a"].device == "x"
    for name, text in (("cut.json", "{"), ("list.json", "[1]"), ("short.json", '{"a": {"device": "x"}}'),
                       ("text.json", json.dumps({"a": newer["a"] | {"parameters": "abc"}}))):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(StoreError, match=name):
            efficiency.load(tmp_path / name)
    with pytest.raises(StoreError):
        efficiency.load(tmp_path / "none.json")
