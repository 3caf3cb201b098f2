"""The dehazers that ship: they remove haze from pictures they never saw, in half precision too."""

from pathlib import Path

import pytest
import torch

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
    # aecr_net-real loses 0.16 dB on these crops (docs/methods/aecr_net.md); single precision is the default.
    assert abs(sum(lost) / len(lost)) < (0.2 if name == "aecr_net-real" else 0.1)
