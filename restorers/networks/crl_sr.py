"""CRL-SR: blind super-resolution from an embedding that keeps only what low and high resolution share.

A *degradation remover* encodes the small picture; a generator enlarges the encoding. What makes the encoding
"resolution-invariant" and the generator restore detail are two contrastive losses, whose other halves (the detail
remover, the feature extractor, the reconstructor) exist only in training: ``training/crl_parts.py``.

Zhang, Lu, Zhan, Yu, "Blind Image Super-Resolution via Contrastive Representation Learning", arXiv 2107.00708, 2021.
Only the skeleton is published; layers follow EDSR-baseline (Lim et al., CVPRW 2017), see docs/methods/crl_sr.md.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from errors import UsageError
from restorers.arguments import check_whole
from restorers.base import Restorer, count_parameters
from restorers.blocks.residual import ResidualBlock
from restorers.card import RestorerCard

CARD = RestorerCard(
    name="crl_sr",
    title="CRL-SR",
    task="sr",
    summary="Enlarges small pictures whose blur, noise and compression are unknown and may vary over the picture.",
    paper="Zhang et al., Blind Image Super-Resolution via Contrastive Representation Learning, arXiv 2021",
    paper_url="https://arxiv.org/abs/2107.00708",
    scale=4,
    tiling="exact",
)

Upsampler = Literal["stepwise", "direct"]


class DegradationRemover(nn.Module):
    """E_l: the small picture to a map of one vector per position.

    Args:
        width: Channels.
        blocks: Residual blocks.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to the embedding and, for the long skip, the first layer's map; both (N, C, H, W)."""
        shallow = self.head(x)
        return self.tail(self.body(shallow)), shallow


class Generator(nn.Module):
    """Embedding to what bicubic enlargement lacks.

    Args:
        width: Channels.
        blocks: Residual blocks at low resolution.
        scale: 2, 3 or 4.
        upsampler: ``stepwise`` doubles with full width (EDSR); ``direct`` goes to the pixels in one shuffle, at half
            the cost.
    """

    def __init__(self, width: int, blocks: int, scale: int, upsampler: Upsampler) -> None:
        super().__init__()
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, width, 3, padding=1)
        layers: list[nn.Module] = []
        if upsampler == "stepwise":
            for factor in (2, 2) if scale == 4 else (scale,):
                layers += [nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
            layers.append(nn.Conv2d(width, 3, 3, padding=1))
        else:
            layers += [nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)]
        self.upsample = nn.Sequential(*layers)
        # Training starts from the bicubic enlargement.
        last = self.upsample[-1] if upsampler == "stepwise" else self.upsample[0]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, embedding: Tensor, shallow: Tensor) -> Tensor:
        """(N, C, H, W) twice to (N, 3, sH, sW)."""
        x = embedding + shallow
        return self.upsample(x + self.tail(self.body(x)))


class CrlSr(Restorer):
    """The part of CRL-SR that restores.

    Args:
        scale: 2, 3 or 4.
        width: Channels everywhere.
        encoder_blocks: Residual blocks of the degradation remover.
        generator_blocks: Residual blocks of the generator.
        upsampler: See :class:`Generator`.

    Raises:
        UsageError: Another scale.
        ValueError: Another argument is out of its range.
    """

    card = CARD

    def __init__(
        self,
        scale: int = 4,
        width: int = 64,
        encoder_blocks: int = 8,
        generator_blocks: int = 16,
        upsampler: Upsampler = "stepwise",
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise UsageError(f"CRL-SR enlarges 2, 3 or 4 times, not {scale!r}.")
        check_whole("width", width)
        check_whole("encoder_blocks", encoder_blocks, 0)
        check_whole("generator_blocks", generator_blocks, 0)
        if upsampler not in get_args(Upsampler):
            raise ValueError(f"upsampler is one of {', '.join(get_args(Upsampler))}, not {upsampler!r}")
        self.scale = scale
        self.remover = DegradationRemover(width, encoder_blocks)
        self.generator = Generator(width, generator_blocks, scale, upsampler)
        self.card = replace(
            CARD,
            scale=scale,
            parameters=count_parameters(self),
            receptive_field=reach(encoder_blocks, generator_blocks, scale, upsampler),
        )

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What training wants: the resolution-invariant embedding (N, C, H, W) and the result (N, 3, sH, sW)."""
        embedding, shallow = self.remover(x)
        bicubic = F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return embedding, bicubic + self.generator(embedding, shallow)

    def enhance(self, x: Tensor) -> Tensor:
        """Enlarge."""
        return self.parts(x)[1]


def reach(encoder_blocks: int, generator_blocks: int, scale: int, upsampler: Upsampler) -> int:
    """How many input pixels to each side an output pixel depends on.

    One for every 3x3 convolution at low resolution, and the share of one for those at higher resolution.
    """
    low = 2 * (encoder_blocks + generator_blocks) + 3
    if upsampler == "direct":
        return low + 1
    steps = 2 if scale == 4 else 1
    finer = sum(1 / 2**i for i in range(1, steps)) + 1 / scale
    return low + 1 + math.ceil(finer)
