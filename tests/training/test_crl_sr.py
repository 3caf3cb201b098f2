"""The super-resolution task: aligned samples, every switch of the losses, and who gets which gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from errors import UnknownNameError, UsageError
from tests.training.toy_data import write_photographs
from training.crl_parts import DetailRemover, FeatureExtractor, Reconstructor
from training.crl_sr import CrlSrTask, degradation
from training.degradations.blind_sr import bicubic
from training.fit import Options, fit
from training.recipe import Recipe

LOSSES = {"l1": 1.0, "bidirectional": 0.1, "conditional": 0.1, "reconstruction": 1.0, "positions": 16}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (84, 9, 8, 3), dtype=np.uint8)
    write_photographs(folder, blocks.repeat(8, axis=1).repeat(8, axis=2))
    return folder


def recipe(loss=None, **changes):
    values = {
        "name": "toy",
        "task": "crl_sr",
        "seed": 4,
        "steps": 2,
        "precision": "fp32",
        "batch": 2,
        "learning_rate": 1e-3,
        "validate_every": 2,
        "sheet": 1,
        "network": {"architecture": "crl_sr", "width": 8, "encoder_blocks": 1, "generator_blocks": 1},
        "data": {"patch": 12, "mix": {"bicubic": 0.5, "isotropic": 0.5}},
        "loss": loss or LOSSES,
        "validation": {"pairs": 2},
    }
    return Recipe(**(values | changes))


def made(root, tmp_path_factory, loss=None, **changes):
    torch.manual_seed(0)
    task = CrlSrTask(recipe(loss, **changes))
    task.prepare(root, tmp_path_factory.mktemp("cache"))
    # Leave the bicubic start, where the generator's inner layers have no gradient yet.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return task


def batch_of(task, count=2):
    samples = [task.sample(index) for index in range(count)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_parts_end_on_the_low_resolution_grid(scale):
    high = torch.rand(1, 3, 12 * scale, 12 * scale)
    assert DetailRemover(8, 1, scale)(high).shape == (1, 8, 12, 12)
    features = FeatureExtractor(8, scale)(high)
    assert features.shape == (1, 8, 12, 12)
    assert Reconstructor(8, scale)(features).shape == high.shape


def test_samples_are_functions_of_their_number_and_aligned(root, tmp_path_factory):
    task = made(root, tmp_path_factory, data={"patch": 12, "mix": {"bicubic": 1.0}})
    first, again = task.sample(5), task.sample(5)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert first["low"].shape == (3, 12, 12) and first["high"].shape == (3, 48, 48)
    assert torch.equal(first["low"], bicubic(first["high"][None], 4)[0])


@pytest.mark.parametrize(
    "switch",
    [{}, {"vectors": "channel"}, {"extractor": "reconstruction"}, {"both_anchors": True}, {"detach_condition": False}],
    ids=str,
)
def test_gradient_reaches_every_parameter(root, tmp_path_factory, switch):
    task = made(root, tmp_path_factory, LOSSES | switch)
    losses = task(batch_of(task))
    losses["loss"].backward()
    assert set(losses) == {"loss", "l1", "bidirectional", "conditional", "reconstruction"}
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("left_out", ["bidirectional", "conditional", "reconstruction"])
def test_a_loss_that_is_off_leaves_no_idle_parameters(root, tmp_path_factory, left_out):
    task = made(root, tmp_path_factory, LOSSES | {left_out: 0.0})
    losses = task(batch_of(task))
    losses["loss"].backward()
    assert left_out not in losses
    assert all(p.grad is not None for p in task.parameters())


def test_contrast_joins_late_and_seldom_but_as_heavy(root, tmp_path_factory):
    task = made(root, tmp_path_factory, LOSSES | {"after": 5, "every": 4})
    always = made(root, tmp_path_factory, LOSSES)
    batch = batch_of(task)
    for step, joins in ((4, False), (5, False), (7, False), (8, True), (9, False), (12, True)):
        task.step = step
        torch.manual_seed(0)
        losses = task(batch)
        assert (float(losses["bidirectional"].detach()) > 0) == joins
        if joins:
            torch.manual_seed(0)
            usual = always(batch)
            assert float(losses["conditional"]) == pytest.approx(4 * float(usual["conditional"]))
            assert float(losses["l1"]) == pytest.approx(float(usual["l1"]))


def test_training_networks_may_be_narrower(root, tmp_path_factory):
    task = made(root, tmp_path_factory, LOSSES | {"width": 4, "blocks": 2})
    task(batch_of(task))["loss"].backward()
    assert len([m for m in task.detail_remover.modules() if type(m).__name__ == "ResidualBlock"]) == 2
    assert all(p.grad is not None for p in task.parameters())
    with pytest.raises(UsageError, match="channel"):
        CrlSrTask(recipe(LOSSES | {"width": 4, "vectors": "channel"}))


def test_condition_is_detached_unless_asked(root, tmp_path_factory):
    for detach in (True, False):
        task = made(root, tmp_path_factory, LOSSES | {"detach_condition": detach})
        batch = batch_of(task)
        embedding = task.model.parts(batch["low"])[0].detach().requires_grad_()
        task._conditional(embedding, batch["high"] * 0.9, batch["high"]).backward()
        assert (embedding.grad is None) == detach


def test_frozen_extractor_learns_from_reconstruction_only(root, tmp_path_factory):
    task = made(root, tmp_path_factory, LOSSES | {"extractor": "reconstruction"})
    batch = batch_of(task)
    restored = (batch["high"] * 0.9).requires_grad_()
    task._conditional(task.model.parts(batch["low"])[0], restored, batch["high"]).backward()
    assert all(p.grad is None for p in task.extractor.parameters())
    assert float(restored.grad.abs().max()) > 0


def test_the_loop_runs_validates_and_keeps_weights(root, tmp_path):
    figures = fit(recipe(), Options(data=root, output=tmp_path / "run", cache=tmp_path, device="cpu"))
    assert figures["psnr"] > 0 and figures["input_psnr"] > 0
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_unknown_names_are_named():
    with pytest.raises(UnknownNameError, match="conditional"):
        CrlSrTask(recipe({"conditinal": 1}))
    with pytest.raises(UnknownNameError, match="mode4"):
        degradation("fog", 4)


def test_validation_degradations_have_the_right_size():
    high = torch.rand(1, 3, 48, 80)
    for name in ("bicubic", "isotropic2.4", "mode4"):
        assert degradation(name, 4)(high).shape == (1, 3, 12, 20)


def test_other_photographs_are_packed_anew(tmp_path):
    for level in (60, 160):
        write_photographs(tmp_path, [np.full((72, 64, 3), level, np.uint8)] * 81)
        task = CrlSrTask(recipe())
        task.prepare(tmp_path, tmp_path / "cache")
        assert float(task.sample(0)["high"].mean()) == pytest.approx(level / 255)


@pytest.mark.parametrize("name", ["isotropic", "mode"])
def test_a_degradation_without_its_number_is_unknown(name):
    with pytest.raises(UnknownNameError, match=f"{name}[24]"):
        degradation(name, 4)


def test_a_network_is_measured_by_the_protocol_of_its_scale():
    changed = recipe({})
    assert CrlSrTask(replace(changed, network=dict(changed.network) | {"scale": 2})).protocol == "sr-y2"


def test_terms_that_are_not_on_yet_lie_where_the_others_do():
    """Logged together they are stacked, on a GPU too."""
    task = CrlSrTask(recipe({"conditional": 0.1, "after": 10})).to("meta")
    pictures = {"low": torch.rand(1, 3, 12, 12, device="meta"), "high": torch.rand(1, 3, 48, 48, device="meta")}
    assert {value.device.type for value in task(pictures).values()} == {"meta"}
