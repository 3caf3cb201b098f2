"""CLIPHaze: windows and scans, mixed pixel by pixel by what a CLIP sees in the haze.

Zhang et al., "Adapt CLIP as Aggregation Instructor for Image Dehazing", arXiv 2408.12317 v1, 2024. No code was
released and the paper leaves widths, depths and losses open; ``docs/methods/clip_haze.md`` lists every choice.

Each block looks at its input twice, through window attention (near, local) and through a four-direction selective
scan (far, global), and mixes the two looks with weights for every pixel and channel. The weights come from the haze
density that a frozen CLIP sees (non-homogeneous haze), from cross-attention with its tokens (homogeneous haze), from
both, or from nowhere.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import WeightsError
from restorers.arguments import check_sides, check_whole
from restorers.base import Restorer, count_parameters
from restorers.blocks.joint_upsampling import SMALLEST_REDUCED, on_reduced
from restorers.blocks.ss2d import SelectiveScan2d
from restorers.blocks.window_attention import WindowAttention
from restorers.card import RestorerCard
from restorers.guidance import Guide, load_guide

GUIDANCE = ("density", "semantic", "both", "none")
LARGEST_MEMORY = 32
"""Side to which features are pooled before tokens attend to them."""

CARD = RestorerCard(
    name="clip_haze",
    title="CLIPHaze",
    task="dehaze",
    summary="Dehazing network that mixes near and far context as a CLIP's haze density map tells it, for uneven haze.",
    paper='Zhang et al., "Adapt CLIP as Aggregation Instructor for Image Dehazing", 2024',
    paper_url="https://arxiv.org/abs/2408.12317v1",
    size_multiple=32,
    min_size=32,
    tiling="approximate",  # scans cross the whole picture, and CLIP reads it as a whole
    receptive_field=64,
    parameters=2_880_731,
)


class GatedFeedForward(nn.Module):
    """Two branches, one gating the other, each with a look at its neighbours (Restormer, CVPR 2022, section 3.2)."""

    def __init__(self, channels: int, expansion: float = 2.66) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Linear(channels, 2 * hidden)
        self.local = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.project_out = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same."""
        x = self.local(self.project_in(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        gate, value = x.chunk(2, -1)
        return self.project_out(F.gelu(gate) * value)


class DensityWeights(nn.Module):
    """Weights of the two paths from the density map: interpolated, projected, split (eq. 8).

    It starts at zero, so that both paths start with one half.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(1, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, density: Tensor) -> Tensor:
        """Logits (N, H, W, 2 C) for features (N, H, W, C) from a map (N, 1, h, w) of any size."""
        # Bilinear: the steps of a nearest-neighbour map would show as the grid of CLIP's patches.
        resized = F.interpolate(density, x.shape[1:3], mode="bilinear", align_corners=False)
        return self.project(resized.permute(0, 2, 3, 1).to(x.dtype))


class SemanticWeights(nn.Module):
    """Weights of the two paths from cross-attention, both ways, between features and CLIP's tokens.

    Args:
        channels: Width of the features.
        token_width: Width of the tokens.
    """

    def __init__(self, channels: int, token_width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(token_width, channels)
        self.ask_picture = nn.Linear(channels, channels)
        self.tell_tokens = nn.Linear(channels, 2 * channels)
        self.ask_tokens = nn.Linear(channels, channels)
        self.tell_picture = nn.Linear(channels, 2 * channels)
        self.refine = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
            nn.GELU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
        )
        self.project = nn.Linear(2 * channels, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, H, W, 2 C) for features (N, H, W, C) from tokens (N, D, rows, columns)."""
        count, height, width, channels = x.shape
        grid = tokens.shape[-2:]
        words = self.embed(tokens.flatten(2).transpose(1, 2).to(x.dtype))
        keys, values = self.tell_tokens(words).chunk(2, -1)
        asked = F.scaled_dot_product_attention(self.ask_picture(x).flatten(1, 2), keys, values)
        asked = asked.transpose(1, 2).unflatten(2, (height, width))

        memory = x.permute(0, 3, 1, 2)
        if max(height, width) > LARGEST_MEMORY:
            memory = F.adaptive_avg_pool2d(memory, (min(height, LARGEST_MEMORY), min(width, LARGEST_MEMORY)))
        keys, values = self.tell_picture(memory.flatten(2).transpose(1, 2)).chunk(2, -1)
        told = F.scaled_dot_product_attention(self.ask_tokens(words), keys, values)
        told = told.transpose(1, 2).reshape(count, channels, *grid)
        told = F.interpolate(told, (height, width), mode="bilinear", align_corners=False)
        return self.project(self.refine(torch.cat([asked, told], 1)).permute(0, 2, 3, 1))


class TrambaBlock(nn.Module):
    """Window attention and selective scan side by side, mixed under guidance, then a feed-forward network.

    Args:
        channels: Width.
        window: Side of the attention windows.
        heads: Attention heads.
        state: State size of the scan.
        guidance: One of GUIDANCE.
        token_width: Width of the guide's tokens.
        shift: How far the windows are moved.
        alignments: Of the windows, over which attention is averaged outside training.
    """

    def __init__(
        self,
        channels: int,
        window: int,
        heads: int,
        state: int,
        guidance: str,
        token_width: int,
        shift: int = 0,
        alignments: int = 1,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.near = WindowAttention(channels, heads, window, shift, alignments)
        self.far = SelectiveScan2d(channels, state)
        self.density = DensityWeights(channels) if guidance in ("density", "both") else None
        self.semantic = SemanticWeights(channels, token_width) if guidance in ("semantic", "both") else None
        self.feed_forward = GatedFeedForward(channels)

    def forward(self, x: Tensor, density: Tensor | None, tokens: Tensor | None) -> Tensor:
        """(N, H, W, C) to the same."""
        y = self.norm1(x)
        x = x + self.mix(y, self.near(y), self.far(y), density, tokens)
        return x + self.feed_forward(self.norm2(x))

    def mix(self, y: Tensor, near: Tensor, far: Tensor, density: Tensor | None, tokens: Tensor | None) -> Tensor:
        """``W_a F_a + W_m F_m`` (eq. 4) with weights that sum to one at every pixel and channel."""
        logits: Tensor | None = None
        if self.density is not None:
            logits = self.density(y, density)
        if self.semantic is not None:
            seen = self.semantic(y, tokens)
            logits = seen if logits is None else logits + seen
        if logits is None:
            return 0.5 * (near + far)
        for_near, for_far = logits.chunk(2, -1)
        return torch.lerp(far, near, torch.sigmoid(for_near - for_far).to(far.dtype))  # the softmax of two


class Level(nn.ModuleList):
    """Blocks of one resolution, one after the other."""

    def forward(self, x: Tensor, density: Tensor | None, tokens: Tensor | None) -> Tensor:
        """(N, H, W, C) to the same."""
        for block in self:
            x = block(x, density, tokens)
        return x


class ClipHaze(Restorer):
    """Two-level encoder and decoder of :class:`TrambaBlock`, with a residual to the hazy picture.

    Args:
        width: Channels at full resolution, doubled at each of the two reductions.
        blocks: Blocks at full, half (both in encoder and decoder) and quarter resolution (0 there leaves it out).
        window: Side of the attention windows.
        state: State size of the scans.
        guidance: ``density``, ``semantic``, ``both`` or ``none``.
        clip: Which CLIP guides, as ``priors`` names them.
        prompts: Which prompt set says what haze is.
        token_width: Width of that CLIP's embedding; ``semantic`` depends on it.
        shifted: Move the windows of every other block, in the order in which they see the picture, by half a window.
            Windows that all lie on one grid show in the result when they are trained for long.
        alignments: Outside training, average window attention over windows in so many places; 4 hide what is left of
            the grid for a fifth more time.
        side: Outside training, dehaze the picture reduced to this short side and bring the result to full size by
            ``restorers/blocks/joint_upsampling.py``; of several, take the mean. None: the picture itself. Training
            shows crops of that size.
        mirrored: Outside training, average with the result of the mirrored picture, for twice the work.

    Raises:
        ValueError: An argument is out of its range.
    """

    card = CARD

    def __init__(
        self,
        width: int = 32,
        blocks: tuple[int, int, int] | list[int] = (4, 4, 4),
        window: int = 8,
        state: int = 16,
        guidance: str = "density",
        clip: str = "embedded",
        prompts: str = "haze",
        token_width: int = 128,
        shifted: bool = False,
        alignments: int = 1,
        side: int | list[int] | None = None,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("window", window), ("state", state), ("alignments", alignments)):
            check_whole(name, value)
        for count in blocks:
            check_whole("blocks", count, 0)
        check_sides(side, SMALLEST_REDUCED)
        self.side, self.mirrored = side, mirrored
        if guidance not in GUIDANCE:
            raise ValueError(f"guidance is one of {', '.join(GUIDANCE)}; got {guidance!r}")
        self.guidance, self.clip, self.prompts, self.token_width = guidance, clip, prompts, token_width

        place = itertools.count()

        def level(channels: int, count: int) -> Level:
            heads = max(1, channels // 32)
            moved = (window // 2 if shifted and next(place) % 2 else 0 for _ in range(count))
            return Level(
                TrambaBlock(channels, window, heads, state, guidance, token_width, shift, alignments) for shift in moved
            )

        one, two, four = width, 2 * width, 4 * width
        self.stem = nn.Conv2d(3, one, 3, padding=1)
        self.encode1, self.encode2, self.latent = level(one, blocks[0]), level(two, blocks[1]), level(four, blocks[2])
        self.down1 = nn.Conv2d(one, two, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(two, four, 4, stride=2, padding=1)
        self.up2 = nn.Sequential(nn.Conv2d(four, 4 * two, 1), nn.PixelShuffle(2))
        self.up1 = nn.Sequential(nn.Conv2d(two, 4 * one, 1), nn.PixelShuffle(2))
        self.join2, self.join1 = nn.Linear(2 * two, two), nn.Linear(2 * one, one)
        self.decode2, self.decode1 = level(two, blocks[1]), level(one, blocks[0])
        self.head = nn.Conv2d(one, 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)  # start from the hazy picture itself
        nn.init.zeros_(self.head.bias)
        self.card = replace(CARD, parameters=count_parameters(self))
        if side is not None:
            self.card = replace(self.card, tiling="whole", receptive_field=0)  # there is nothing left to cut

    def enhance(self, x: Tensor, density: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Dehaze.

        Args:
            x: (N, 3, H, W), H and W multiples of 32.
            density: (N, 1, h, w) in [0, 1] of any size, 1 the densest; None asks the guide.
            tokens: (N, D, h, w) of the guide; None asks the guide.

        Returns:
            (N, 3, H, W), not clamped.
        """
        side, mirrored = (None, False) if self.training else (self.side, self.mirrored and density is tokens is None)
        return on_reduced(lambda small: self._dehaze(small, density, tokens), x, side, CARD.size_multiple, mirrored)

    def _dehaze(self, x: Tensor, density: Tensor | None, tokens: Tensor | None) -> Tensor:
        density, tokens = self._guided(x, density, tokens)
        at1 = self.encode1(_last(self.stem(x)), density, tokens)
        at2 = self.encode2(_last(self.down1(_first(at1))), density, tokens)
        y = self.latent(_last(self.down2(_first(at2))), density, tokens)
        y = self.join2(torch.cat([_last(self.up2(_first(y))), at2], -1))
        y = self.decode2(y, density, tokens)
        y = self.join1(torch.cat([_last(self.up1(_first(y))), at1], -1))
        y = self.decode1(y, density, tokens)
        return x + self.head(_first(y))

    def ready(self, device: torch.device) -> None:
        """See :meth:`Restorer.ready`."""
        if self.guidance != "none":
            self._guide(device)

    def _guided(self, x: Tensor, density: Tensor | None, tokens: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Fill in what the guidance needs and nobody gave."""
        wants_density = self.guidance in ("density", "both") and density is None
        wants_tokens = self.guidance in ("semantic", "both") and tokens is None
        if wants_density or wants_tokens:
            guide = self._guide(x.device)
            with torch.no_grad():
                seen = guide.tokens(x.detach()) if tokens is None else tokens
                tokens = seen if wants_tokens else tokens
                density = guide.density(seen) if wants_density else density
        return density, tokens

    def _guide(self, device: torch.device) -> Guide:
        guide = load_guide(self.clip, self.prompts, str(device))
        if self.guidance in ("semantic", "both") and guide.width != self.token_width:
            raise WeightsError(
                f"This CLIPHaze was made for tokens of {self.token_width} numbers, {self.clip} has {guide.width}; "
                "name the CLIP it was trained with."
            )
        return guide


def _last(x: Tensor) -> Tensor:
    """Channels last: (N, C, H, W) to (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    """Channels first: (N, H, W, C) to (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)
