"""Community checkpoints: spandrel's networks with our guards around them, and no pickle that could run code."""

import pickle
from argparse import Namespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from errors import WeightsError
from restorers import hub
from restorers.community import load_community, read_checkpoint
from restorers.convert import unwrap
from restorers.pipeline import restore
from tests.restorers.test_pipeline import picture


def compact(**arguments):
    """A small network of Real-ESRGAN's compact kind, as spandrel names it, with random numbers."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    return Compact(num_feat=8, num_conv=2, **arguments).eval()


@pytest.fixture
def checkpoint(tmp_path):
    network = compact(upscale=2)
    path = tmp_path / "2x Some_Model v1.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def test_a_checkpoint_becomes_a_restorer(checkpoint):
    network, path = checkpoint
    model = hub.load(path)
    x = torch.rand(2, 3, 21, 34)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), network(x).clamp(0, 1), atol=1e-6, rtol=0)
    card = model.card
    assert (card.name, card.scale, card.task) == ("2x-some_model-v1", 2, "sr")
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert card.tiling == "approximate" and "Compact" in card.summary
    assert len(model.weights_sha256) == 64


def test_it_goes_through_the_pipeline_in_tiles(checkpoint):
    model = hub.load(checkpoint[1])
    whole, tiled = (restore(model, picture(70, 95), tile=tile) for tile in ("none", 40))
    assert whole.pixels.shape == (140, 190, 3) and tiled.tiles > 1
    np.testing.assert_allclose(tiled.pixels, whole.pixels, atol=1)


def test_size_requirements_are_the_base_class_s_business(tmp_path):
    from spandrel.architectures.SAFMN import SAFMN

    torch.manual_seed(0)
    network = SAFMN(dim=8, n_blocks=1, upscaling_factor=2)
    save_file(network.state_dict(), tmp_path / "2x.safetensors")
    model = hub.load(tmp_path / "2x.safetensors")
    assert model.card.size_multiple == 8
    assert restore(model, picture(17, 31)).pixels.shape == (34, 62, 3)


def test_grey_networks_restore_the_channels_one_by_one(tmp_path):
    save_file(compact(num_in_ch=1, num_out_ch=1, upscale=2).state_dict(), tmp_path / "grey.safetensors")
    model = hub.load(tmp_path / "grey.safetensors")
    plane = torch.rand(1, 1, 20, 24)
    with torch.inference_mode():
        y = model(plane.repeat(1, 3, 1, 1))
    assert y.shape == (1, 3, 40, 48)
    assert torch.equal(y[:, 0], y[:, 2])


def test_plain_pickles_of_tensors_are_read(tmp_path):
    network = compact(upscale=2)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "m.pth")
    torch.save(network.state_dict(), tmp_path / "m.pt")
    x = torch.rand(1, 3, 16, 16)
    for name in ("m.pth", "m.pt"):
        with torch.inference_mode():
            torch.testing.assert_close(load_community(tmp_path / name)(x), network(x).clamp(0, 1))


class Evil:
    def __reduce__(self):
        return (open, ("evil-was-here", "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": {"x": torch.zeros(1)}, "more": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pth", "raw.pth"):
        with pytest.raises(WeightsError, match="refused") as caught:
            hub.load(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("keep", [0, 10, -200])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_cut_off_files_are_said_to_be_so(tmp_path, keep, suffix):
    path = tmp_path / f"m{suffix}"
    state = compact(upscale=2).state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="damaged"):
        hub.load(path)


def test_what_spandrel_does_not_know_or_cannot_fit(tmp_path):
    save_file({"something.weight": torch.zeros(3, 3)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="no architecture that is known"):
        hub.load(tmp_path / "x.safetensors")
    state = compact(upscale=2).state_dict()
    state["body.2.weight"] = torch.zeros(5, 5, 3, 3)
    save_file(state, tmp_path / "y.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        hub.load(tmp_path / "y.safetensors")
    torch.save([1, 2], tmp_path / "z.pth")
    with pytest.raises(WeightsError, match="no named tensors"):
        hub.load(tmp_path / "z.pth")
    with pytest.raises(WeightsError, match="no weight file"):
        load_community(tmp_path / "none.pth")


def numpy_1(data: bytes) -> bytes:
    """A pickle as NumPy 1 would have written it, where the module of its numbers had another name."""
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.mark.parametrize("spelling", [bytes, numpy_1], ids=["numpy 2", "numpy 1"])
def test_figures_and_options_beside_the_weights_are_passed_over(tmp_path, monkeypatch, spelling):
    """As AECR-Net's released script saves: means of NumPy beside the network, in the old format with a plain pickle."""
    content = {
        "step": 3,
        "max_psnr": np.float64(37.1),
        "max_ssim": np.float32(0.99),
        "psnrs": [np.mean([1.0, 2.0])],
        "epoch": np.int64(4),
        "options": Namespace(lr=1e-4, betas=[0.9, np.float64(0.99)]),
        "model": {"up.bias": torch.arange(3.0)},
    }
    torch.save(content, tmp_path / "m.pk", _use_new_zipfile_serialization=False)
    (tmp_path / "m.pk").write_bytes(spelling((tmp_path / "m.pk").read_bytes()))
    monkeypatch.setattr(np, "dtype", None)  # nothing of NumPy's is called
    read = read_checkpoint(tmp_path / "m.pk")
    assert torch.equal(unwrap(read)["up.bias"], torch.arange(3.0))
    assert not isinstance(read["max_psnr"], float) and not vars(read["options"])
