"""The same as MATLAB's imresize, quickly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from images import Picture, read_picture
from resample import imresize
from restorers.pipeline import restore
from restorers.registry import create

SET5 = Path(__file__).resolve().parents[4] / "shared" / "data" / "set5"


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (63, 34)])
def test_it_is_imresize(scale, size):
    x = torch.rand(2, 3, *size)
    y = create(f"bicubic_x{scale}").enhance(x)
    for picture, enlarged in zip(x, y, strict=True):
        wanted = imresize(picture.permute(1, 2, 0).numpy(), scale)
        np.testing.assert_allclose(enlarged.permute(1, 2, 0).numpy(), wanted, atol=1e-6)


def test_half_precision_leaves_it_alone():
    model, x = create("bicubic_x2"), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), model(x.float()))
        assert model(x).dtype == torch.float32


@pytest.mark.shared
@pytest.mark.skipif(not SET5.is_dir(), reason="needs the Set5 pairs beside the project")
def test_set5_has_its_published_figure():
    from eval.protocol import get
    from eval.scoring import score

    model, values = create("bicubic_x4"), []
    for low in sorted(SET5.glob("*_LR.png")):
        high = read_picture(low.with_name(low.name.replace("LR", "HR")))
        output = Picture(restore(model, read_picture(low)).pixels, "", low.name)
        values.append(score(output, high, ["psnr"], get("sr-y4"))[0].value)
    assert len(values) == 5
    assert np.mean(values) == pytest.approx(28.42, abs=0.02)
