"""The dehazers that ship: they remove haze from pictures they never saw, in half precision too."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from images import read_picture
from restorers import registry

EXAMPLES = Path(__file__).resolve().parents[3] / "assets" / "examples" / "haze"


def psnr(x, reference):
    return float(-10 * torch.log10((x - reference).square().mean()))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("aecr_net", 2_614_145), ("aecr_net-real", 2_614_145), ("clip_haze", 685_961), ("dark_channel+ptg_rm", 475_562)],
)
def test_haze_goes_and_bfloat16_changes_nothing_that_counts(name, parameters):
    network = registry.create(name).eval()
    assert sum(p.numel() for p in network.parameters()) == parameters == registry.card(name).parameters
    gained, lost = [], []
    for example in ("astronaut", "cat", "coffee", "dandelion"):
        hazy, clear = (
            read_picture(EXAMPLES / kind / f"{example}.jpg").to_tensor()[..., :192, :256] for kind in ("hazy", "clear")
        )
        with torch.inference_mode():
            whole = network(hazy).clamp(0, 1)
            with torch.autocast("cpu", torch.bfloat16):
                half = network(hazy).float().clamp(0, 1)
        gained.append(psnr(whole, clear) - psnr(hazy, clear))
        lost.append(psnr(whole, clear) - psnr(half, clear))
    assert min(gained) > 2
    assert sum(map(abs, lost)) / len(lost) < 0.1


def lattice(x):
    """By block of 32 pixels: deviation, in grey levels, of what repeats every four pixels, the networks' stride."""
    fine = (x - F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)).mean(1) * 255
    rows, columns = (side // 32 for side in fine.shape[-2:])
    blocks = fine[0, : rows * 32, : columns * 32].reshape(rows, 8, 4, columns, 8, 4).mean((1, 4))
    return blocks.transpose(1, 2).flatten(2).std(-1)


@pytest.mark.parametrize("name", ["aecr_net", "aecr_net-real", "clip_haze", "dark_channel+ptg_rm"])
def test_saturated_colours_get_no_lattice_of_the_stride(name):
    """Rooms have few such colours, and weights that saw rooms alone once drew dots of 14 grey levels on this suit."""
    hazy, clear = (read_picture(EXAMPLES / kind / "astronaut.jpg").to_tensor() for kind in ("hazy", "clear"))
    with torch.inference_mode():
        restored = registry.create(name).eval()(hazy).clamp(0, 1)
    suit = (slice(None), slice(None), slice(224, 480), slice(0, 288))
    smooth = lattice(clear[suit]) < 1.5
    assert lattice(restored[suit])[smooth].max() < 3
