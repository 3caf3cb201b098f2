"""Metric facts and names."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from errors import UnknownNameError
from eval.metrics import registry


def test_the_core_three_and_their_facts() -> None:
    assert registry.names() == ["psnr", "ssim", "niqe"]
    psnr, ssim, niqe = (registry.spec(name) for name in registry.names())
    assert (psnr.kind, psnr.better, psnr.high, psnr.arrow) == ("full", "higher", math.inf, "↑")
    assert (ssim.kind, ssim.better, ssim.needs_reference) == ("full", "higher", True)
    assert (niqe.kind, niqe.better, niqe.arrow) == ("none", "lower", "↓")
    for spec in (psnr, ssim, niqe):
        assert spec.licence == "Apache-2.0"
        assert spec.cost == "fast"
        assert spec.typical


def test_names_are_parsed_in_order_without_repeats() -> None:
    assert registry.parse("SSIM, niqe,,ssim , PSNR") == ("ssim", "niqe", "psnr")
    assert registry.parse("") == ()


def test_a_wrong_name_offers_the_nearest() -> None:
    pytest.importorskip("pyiqa")
    with pytest.raises(UnknownNameError, match="psnr"):
        registry.spec("pnsr")


def test_scoring_needs_neither_torch_nor_pyiqa_nor_gradio() -> None:
    program = (
        "import sys, numpy as np\n"
        "from eval.scoring import score\n"
        "from eval.metrics.niqe_model import embedded_model\n"
        "from eval import protocol\n"
        "from images import Picture\n"
        "p = Picture(np.random.default_rng(0).integers(0, 256, (96, 192, 3), dtype=np.uint8), '', 'a.png')\n"
        "found = score(p, p, ('psnr', 'ssim', 'niqe'), protocol.get('dehaze-rgb'), niqe_parameters=embedded_model())\n"
        "assert all(m.error is None for m in found), found\n"
        "heavy = {'torch', 'pyiqa', 'gradio', 'pandas', 'huggingface_hub', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
