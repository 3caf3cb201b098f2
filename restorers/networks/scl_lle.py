"""SCL-LLE: light-enhancement curves, learned by semantic contrast without pairs.

Seven 3x3 convolutions at full resolution look at a 15x15 neighbourhood and predict, for every pixel and colour, the
parameters of eight quadratic curves that are applied one after another. The network is Zero-DCE's; what is new in the
paper is how it is trained (``training/scl_lle.py``), so checkpoints of both load into it.

Liang, Li, Wei, Yang, Zhang, Yang, Du, Zhou, "Semantically Contrastive Learning for Low-light Image Enhancement",
AAAI 2022. Network and curve: Guo et al., "Zero-Reference Deep Curve Estimation", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorers.arguments import check_share, check_whole
from restorers.base import Restorer, count_parameters
from restorers.blocks.denoiser import Denoiser
from restorers.blocks.exposing import exposed, mean_luma
from restorers.blocks.rounding import undo_rounding
from restorers.card import RestorerCard

ITERATIONS = 8
RECEPTIVE_FIELD = 7
"""Seven 3x3 convolutions reach seven pixels to each side."""

CARD = RestorerCard(
    name="scl_lle",
    title="SCL-LLE",
    task="lowlight",
    summary="Brightens dark pictures with curves that a small network draws for every pixel; trained without pairs.",
    paper="Liang et al., Semantically Contrastive Learning for Low-light Image Enhancement, AAAI 2022",
    paper_url="https://arxiv.org/abs/2112.06451",
    tiling="exact",
    receptive_field=RECEPTIVE_FIELD,
    parameters=79_416,
)


def apply_curves(x: Tensor, curves: Tensor) -> Tensor:
    """Apply ``x <- x + r (x^2 - x)`` once for every curve map r, in order (Zero-DCE, eq. 4, with r = -alpha).

    A picture in [0, 1] stays there when ``|r| <= 1``; r < 0 brightens.

    Args:
        x: (N, 3, H, W) in [0, 1].
        curves: (N, 3K, h, w) in [-1, 1]; three channels an iteration. Smaller maps are enlarged.

    Returns:
        (N, 3, H, W).

    Example:
        >>> float(apply_curves(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), -1.0)).mean())
        0.75
    """
    size = x.shape[-2:]
    for r in curves.split(3, dim=1):
        # One map at a time: 24 maps of a large photograph would fill the memory.
        r = r if r.shape[-2:] == size else F.interpolate(r, size, mode="bilinear", align_corners=False)
        x = x + r * (x * x - x)
    return x


class SclLle(Restorer):
    """The curve network; 79,416 parameters at the paper's width.

    Parameter names are those of the authors' (and Zero-DCE's) checkpoints: ``e_conv1.weight`` to ``e_conv7.bias``.

    Args:
        width: Channels of every hidden layer.
        iterations: Curves applied one after another.
        side: Draw the curves on the picture reduced to this short side, as Zero-DCE++ does, and enlarge them. Fifteen
            pixels then are a fair part of the scene, so the network sees how bright it is, and most of the work is
            saved. None, the paper's: on the picture itself.
        undo_rounding: Outside training, smooth the last bits of what is dark, and draw what rounding took, before
            brightening shows them (``restorers/blocks/rounding.py``). The paper does not.
        denoise: Width of a denoiser of the brightened picture (``restorers/blocks/denoiser.py``). None, the paper's:
            what was noisy comes out noisy.
        exposure: Mean luma to which a last curve exposes the whole result (``restorers/blocks/exposing.py``), unless
            the picture was brighter than that before. None, the paper's: no such curve.

    Raises:
        ValueError: An argument is out of its range.
    """

    card = CARD

    def __init__(
        self,
        width: int = 32,
        iterations: int = ITERATIONS,
        side: int | None = None,
        undo_rounding: bool = False,
        denoise: int | None = None,
        exposure: float | None = None,
    ) -> None:
        super().__init__()
        check_whole("width", width)
        check_whole("iterations", iterations)
        check_whole("side", side, optional=True)
        check_whole("denoise", denoise, optional=True)
        check_share("exposure", exposure)
        self.side, self.undo_rounding, self.exposure = side, undo_rounding, exposure
        if side is not None or undo_rounding or denoise is not None or exposure is not None:
            # Enlarging depends on the size of the whole, noise on the place in it, exposure on all that is there; and
            # the denoiser sees further than the curves, and bounds its memory by itself.
            self.card = replace(CARD, tiling="whole", receptive_field=0)
        self.e_conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.e_conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.e_conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.e_conv4 = nn.Conv2d(width, width, 3, padding=1)
        self.e_conv5 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.e_conv6 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.e_conv7 = nn.Conv2d(2 * width, 3 * iterations, 3, padding=1)
        for module in self.children():
            nn.init.normal_(module.weight, 0.0, 0.02)
        self.denoiser = None if denoise is None else Denoiser(denoise)
        self.card = replace(self.card, parameters=count_parameters(self))

    def curves(self, x: Tensor) -> Tensor:
        """Curve maps in [-1, 1]: (N, 3, H, W) to (N, 3 x iterations, H, W)."""
        f1 = torch.relu(self.e_conv1(x))
        f2 = torch.relu(self.e_conv2(f1))
        f3 = torch.relu(self.e_conv3(f2))
        f4 = torch.relu(self.e_conv4(f3))
        f5 = torch.relu(self.e_conv5(torch.cat((f3, f4), 1)))
        f6 = torch.relu(self.e_conv6(torch.cat((f2, f5), 1)))
        return torch.tanh(self.e_conv7(torch.cat((f1, f6), 1)))

    def enhance(self, x: Tensor) -> Tensor:
        """Draw the curves and apply them; then remove noise and expose the whole, if that is wanted."""
        curves = self.curves(self.reduced(x))
        y = apply_curves(undo_rounding(x) if self.undo_rounding and not self.training else x, curves)
        y = y if self.denoiser is None else self.denoiser(y)
        return y if self.exposure is None else exposed(y, torch.clamp_min(mean_luma(x), self.exposure))

    def reduced(self, x: Tensor) -> Tensor:
        """The picture that the curves are drawn on: as it is, or with ``side`` pixels on its short side."""
        height, width = x.shape[-2:]
        if self.side is None or min(height, width) <= self.side:
            return x
        share = self.side / min(height, width)
        return F.interpolate(x, (round(height * share), round(width * share)), mode="area")


def from_official(tensors: Mapping[str, Tensor]) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Constructor arguments and state of :class:`SclLle` from a checkpoint of SCL-LLE or Zero-DCE of any width.

    Args:
        tensors: State dictionary of the released network.

    Returns:
        Keyword arguments, read off the shapes, and the tensors, whose names are ours already.
    """
    config: dict[str, object] = {}
    for argument, name, channels in (("width", "e_conv1.weight", 1), ("iterations", "e_conv7.weight", 3)):
        if name in tensors and tensors[name].ndim:
            config[argument] = tensors[name].shape[0] // channels
    return config, dict(tensors)
