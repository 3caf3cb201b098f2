"""Restorer: padding, clamping and strict loading are the base class's business."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from errors import ImageError, WeightsError
from restorers.base import Restorer, load_weights
from restorers.blocks.padding import reflect_pad
from restorers.card import RestorerCard


class Tiny(Restorer):
    card = RestorerCard("tiny", "Tiny", "dehaze", "A test network.", size_multiple=8)

    def __init__(self, width: int = 4):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3, padding=1)
        self.out = torch.nn.Conv2d(width, 3, 1)

    def enhance(self, x):
        assert x.shape[-2] % 8 == 0 and x.shape[-1] % 8 == 0
        return self.out(self.conv(x)) * 9


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 65)])
def test_any_size_comes_back_at_its_size_and_clamped(size):
    y = Tiny()(torch.rand(2, 3, *size))
    assert y.shape == (2, 3, *size)
    assert y.min() >= 0 and y.max() <= 1


def test_scale_multiplies_the_size():
    model = Tiny()
    model.card = replace(model.card, scale=2)
    model.enhance = lambda x: x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    x = torch.rand(1, 3, 17, 19)
    assert torch.equal(model(x), x.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_too_small_is_said():
    with pytest.raises(ImageError, match="15x40 is too small"):
        Tiny()(torch.rand(1, 3, 40, 15))


def test_reflection_repeats_where_the_picture_is_smaller_than_the_padding():
    x = torch.arange(3.0).expand(1, 1, 1, 3).clone()
    x = torch.cat([x, x + 3], 2)
    assert reflect_pad(x, 0, 4)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2]


def test_save_and_load_give_the_same_bytes(tmp_path):
    model = Tiny(width=5)
    model.save_pretrained(tmp_path)
    again = Tiny.from_pretrained(tmp_path)
    assert not again.training
    assert again.conv.out_channels == 5
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_partial_files_are_refused_also_through_the_mixin(tmp_path):
    model = Tiny()
    model.save_pretrained(tmp_path)
    tensors = model.state_dict()
    del tensors["out.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(first: out\.bias\)"):
        Tiny.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.update(extra=torch.zeros(1)), r"1 unknown \(first: extra\)"),
        (lambda t: t.update({"out.bias": torch.zeros(4)}), r"out\.bias \(4,\) instead of \(3,\)"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_the_module_alone(tmp_path, change, sentence):
    tensors = Tiny().state_dict()
    change(tensors)
    save_file(tensors, tmp_path / "x.safetensors")
    model = Tiny()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=sentence):
        load_weights(model, tmp_path / "x.safetensors")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_truncated_and_missing_files(tmp_path):
    save_file(Tiny().state_dict(), tmp_path / "x.safetensors")
    data = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(data[:-20])
    with pytest.raises(WeightsError, match="damaged or cut off"):
        load_weights(Tiny(), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_weights(Tiny(), tmp_path / "y.safetensors")


def test_pickles_are_refused(tmp_path):
    Tiny().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="is a pickle"):
        Tiny._load_as_pickle(Tiny(), "pytorch_model.bin", "cpu", True)
