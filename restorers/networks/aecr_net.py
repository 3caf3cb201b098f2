"""AECR-Net: a compact dehazing network with shared feature attention and deformable convolutions.

Wu et al., "Contrastive Learning for Compact Single Image Dehazing", CVPR 2021 (arXiv 2104.09367). The contrastive
regularisation of that paper is a loss and lives in ``training/losses/contrastive.py``.

The published 2.61 million parameters are only reached if *one* feature attention block is applied six times and *one*
deformable convolution twice, which is what the released code does and what is built here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorers.arguments import check_sides, check_whole
from restorers.base import Restorer, count_parameters
from restorers.blocks.deformable import DeformableConv2d, deformable_convolution
from restorers.blocks.feature_attention import FeatureAttentionBlock
from restorers.blocks.joint_upsampling import SMALLEST_REDUCED, on_reduced
from restorers.blocks.slabs import map_slabs, slabs
from restorers.blocks.whitening import WhiteningConv2d
from restorers.card import RestorerCard

SLAB_PIXELS = 2**19
"""Pixels of the picture that pass through the full-resolution layers at a time; more are cut into slabs of rows."""

CARD = RestorerCard(
    name="aecr_net",
    title="AECR-Net",
    task="dehaze",
    summary="Compact dehazing network trained with contrastive regularisation, for even haze.",
    paper='Wu et al., "Contrastive Learning for Compact Single Image Dehazing", CVPR 2021',
    paper_url="https://arxiv.org/abs/2104.09367",
    size_multiple=4,
    tiling="whole",  # channel attention looks at the whole picture; the network bounds its own memory instead
    receptive_field=96,
    parameters=2_614_145,
)


class Mixup(nn.Module):
    """``s(theta) a + (1 - s(theta)) b`` with one learnable scalar theta (section 3.2 of the paper)."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([start]))

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        """Both (N, C, H, W)."""
        return torch.lerp(decoded, encoded.to(decoded.dtype), self.theta.sigmoid().to(decoded.dtype))


class AecrNet(Restorer):
    """The network of figure 3; 4x down, six attention blocks, two deformable convolutions, 4x up.

    Args:
        width: Channels at full resolution; 64 in the paper, doubled at each of the two reductions.
        attention_uses: How often the shared attention block is applied.
        deformable_uses: How often the shared deformable convolution is applied.
        whitening: Put the released code's whitening convolution in front. Its running statistics are noisy at small
            batches and it is not in the paper, so the default is without.
        attention_window: Side, in pixels of the picture, of the windows over which channel attention averages; None for
            whole pictures, as in the paper. Changes nothing for pictures that are no larger.
        side: Outside training, dehaze the picture reduced to this short side and bring the result to full size by
            ``restorers/blocks/joint_upsampling.py``; of several, take the mean. None, the paper's: the picture itself.
            Training shows crops of that size.
        mirrored: Outside training, average with the result of the mirrored picture, for twice the work.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> from restorers.base import count_parameters
        >>> count_parameters(AecrNet()), count_parameters(AecrNet(whitening=True))
        (2614145, 2614229)
    """

    card = CARD

    def __init__(
        self,
        width: int = 64,
        attention_uses: int = 6,
        deformable_uses: int = 2,
        whitening: bool = False,
        attention_window: int | None = None,
        side: int | list[int] | None = None,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        check_whole("width", width)
        check_whole("attention_uses", attention_uses, 0)
        check_whole("deformable_uses", deformable_uses, 0)
        check_whole("attention_window", attention_window, 4, optional=True)
        check_sides(side, SMALLEST_REDUCED)
        self.side, self.mirrored = side, mirrored
        self.attention_uses, self.deformable_uses = attention_uses, deformable_uses
        self.whitening = WhiteningConv2d(3, 3) if whitening else None
        self.down1 = nn.Conv2d(3, width, 7)
        self.down2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down3 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        window = None if attention_window is None else attention_window // 4
        self.attention = FeatureAttentionBlock(4 * width, window=window)
        self.deformable = DeformableConv2d(4 * width, 4 * width)
        self.mix1 = Mixup(-1.0)
        self.mix2 = Mixup(-0.6)
        self.up1 = nn.ConvTranspose2d(4 * width, 2 * width, 3, stride=2, padding=1, output_padding=1)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
        self.up3 = nn.Conv2d(width, 3, 7)
        self.card = replace(CARD, parameters=count_parameters(self))
        self._start_near_identity()

    @torch.no_grad()
    def _start_near_identity(self) -> None:
        """Let the shared blocks return about their input at first.

        Eight applications of random layers would bury what the encoder saw; training starts from the network without
        them instead, which is what makes it possible to train that first (``training/growth.py``).
        """
        self.attention.conv2.weight.mul_(0.1)
        self.attention.conv2.bias.zero_()
        nn.init.dirac_(self.deformable.weight).mul_(2)  # the mask starts at one half

    def enhance(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) with H and W multiples of 4 to the same, not clamped."""
        side, mirrored = (None, False) if self.training else (self.side, self.mirrored)
        return on_reduced(self._dehaze, x, side, CARD.size_multiple, mirrored)

    def _dehaze(self, x: Tensor) -> Tensor:
        """The network of figure 3; a hyperbolic tangent ends it."""
        if not torch.is_grad_enabled() and x.shape[-2] * x.shape[-1] > SLAB_PIXELS:
            return self._enhance_in_slabs(x)
        half, quarter = self._encode(x)
        y = quarter
        for _ in range(self.attention_uses):
            y = self.attention(y)
        for _ in range(self.deformable_uses):
            y = self.deformable(y)
        return self._decode(y, half, quarter)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features at half (2 width channels) and quarter (4 width channels) resolution.

        Outside training always in the precision of ``x``: in bfloat16 these three layers alone shift results by
        0.1 dB, all the others together by a third of that.
        """
        autocast = torch.is_autocast_enabled(x.device.type) and torch.is_grad_enabled()
        with torch.autocast(x.device.type, enabled=autocast):
            if self.whitening is not None:
                x = self.whitening(x)
            full = torch.relu(self.down1(F.pad(x, (3, 3, 3, 3), mode="reflect")))
            half = torch.relu(self.down2(full))
            return half, torch.relu(self.down3(half))

    def _decode(self, y: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        y = torch.relu(self.up1(self.mix1(quarter, y)))
        y = torch.relu(self.up2(self.mix2(half, y)))
        return torch.tanh(self.up3(F.pad(y, (3, 3, 3, 3), mode="reflect")))

    def _enhance_in_slabs(self, x: Tensor) -> Tensor:
        """The same values with two quarter-resolution feature maps in memory, however large the picture.

        Full-resolution layers run on slabs of rows; the encoder runs again for the decoder's skips, which costs a
        twentieth of the network and saves keeping them. Channel attention averages over all slabs, so none sees other
        statistics than the picture has.
        """
        height = x.shape[-2] // 4
        rows = max(SLAB_PIXELS // (16 * x.shape[-1]) * 4, 4)
        y = x.new_empty(0)
        for slab in slabs(height, rows, halo=2):
            piece = slab.keep(self._encode(slab.cut(x, 4))[1])
            if slab.start == 0:
                y = piece.new_empty(*piece.shape[:2], height, piece.shape[-1])
            y[..., slab.start : slab.stop, :] = piece
        for _ in range(self.attention_uses):
            y = self._attend_in_slabs(y, rows)
        for _ in range(self.deformable_uses):
            y = self._deform_in_slabs(y, rows)
        result = x.new_empty(x.shape)
        for slab in slabs(height, rows, halo=4):
            piece = self._decode(slab.cut(y), *self._encode(slab.cut(x, 4)))
            result[..., slab.start * 4 : slab.stop * 4, :] = slab.keep(piece, 4)
        return result

    def _attend_in_slabs(self, x: Tensor, rows: int) -> Tensor:
        y = map_slabs(self.attention.local, x, rows, halo=2)
        attention = self.attention.channel_attention
        windows = attention.windows(y)
        cuts = list(slabs(x.shape[-2], rows, halo=0))
        channels = attention.weigh(torch.stack([windows.means(slab.cut(y), slab.start) for slab in cuts]).sum(0))
        for slab in cuts:
            piece = slab.cut(y)
            piece.mul_(windows.spread(channels, slab.start, slab.stop))
            piece.copy_(self.attention.pixel_attention(piece) + slab.cut(x))
        return y

    def _deform_in_slabs(self, x: Tensor, rows: int) -> Tensor:
        result = torch.empty_like(x)
        for slab in slabs(x.shape[-2], rows, halo=1):
            offset, mask = (slab.keep(field) for field in self.deformable.fields(slab.cut(x)))
            result[..., slab.start : slab.stop, :] = deformable_convolution(
                x, offset, mask, self.deformable.weight, self.deformable.bias, first_row=slab.start
            )
        return result


_OFFICIAL_NAMES = {
    "deconv": "whitening",
    "down1.1": "down1",
    "down2.0": "down2",
    "down3.0": "down3",
    "block.conv1": "attention.conv1",
    "block.conv2": "attention.conv2",
    "block.calayer.ca.0": "attention.channel_attention.weigh.0",
    "block.calayer.ca.2": "attention.channel_attention.weigh.2",
    "block.palayer.pa.0": "attention.pixel_attention.weigh.0",
    "block.palayer.pa.2": "attention.pixel_attention.weigh.2",
    "dcn_block.dcn": "deformable",
    "dcn_block.dcn.conv_offset_mask": "deformable.predict",
    "mix1": "mix1",
    "mix2": "mix2",
    "up1.0": "up1",
    "up2.0": "up2",
    "up3.1": "up3",
}
_OFFICIAL_TENSORS = {"w": "theta", "running_deconv": "running_whitening"}


def from_official(tensors: Mapping[str, Tensor]) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Constructor arguments and state of :class:`AecrNet` from the names of the released code.

    Args:
        tensors: State dictionary of the released network; names may carry ``module.`` of data parallelism.

    Returns:
        Keyword arguments and tensors under our names. Names that are not known are passed on as they are, so that
        strict loading reports them.
    """
    state: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        layer, _, last = key.removeprefix("module.").rpartition(".")
        if layer in _OFFICIAL_NAMES:
            state[f"{_OFFICIAL_NAMES[layer]}.{_OFFICIAL_TENSORS.get(last, last)}"] = tensor
        else:
            state[key] = tensor
    config: dict[str, object] = {"whitening": "whitening.weight" in state}
    if "down1.weight" in state:
        config["width"] = state["down1.weight"].shape[0]
    return config, state
