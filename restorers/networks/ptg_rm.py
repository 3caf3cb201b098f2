"""PTG-RM: a small module that refines any restorer's output, guided by a vector of a pre-trained model.

A restorer F gives a first result; a frozen model G describes the degraded picture by one vector g. The module R
encodes result and input at a quarter of the size, decides position by position between short-range and long-range
processing (SVE), re-weights channels and positions (CSA), both under g, and predicts a correction.

Xu, Kong, Hu, Liu, Bao, "Boosting Image Restoration via Priors from Pre-trained Models", CVPR 2024. Equation numbers
are the paper's. Mode ``released`` is the published code: residual only, 671,735 parameters at width 16 with a 512-d g.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import WeightsError
from restorers.arguments import check_whole
from restorers.base import Restorer, count_parameters
from restorers.blocks.padding import reflect_pad
from restorers.blocks.residual import ResidualBlock
from restorers.card import RestorerCard
from restorers.checkpoint import architecture_of, constructor_arguments, remember_arguments

if TYPE_CHECKING:
    from priors.clip import ClipPrior

Mode = Literal["paper", "released"]

GUIDE_CHANNELS = 64
PAPER_DIMENSION = 512
CONTROLS = ("none", "random")
"""Guides that ask no model: a vector of zeros, and one fixed random vector."""
KERNEL = 3
DOWNSCALE = 4

CARD = RestorerCard(
    name="ptg_rm",
    title="PTG-RM",
    task="refine",
    summary="Refines another method's result, guided by what a vision-language model sees in the picture.",
    paper="Xu et al., Boosting Image Restoration via Priors from Pre-trained Models, CVPR 2024",
    paper_url="https://arxiv.org/abs/2403.06793",
    # Instance normalisation, channel pooling, coordinates and g all see the whole picture.
    tiling="whole",
    parameters=672_170,
)


def dynamic_convolution(x: Tensor, kernels: Tensor) -> Tensor:
    """Eq. 5-6's ``*``: every position and channel has a 3x3 kernel of its own, edges replicated.

    ``O(c,y,x) = sum_ij K(9c + 3i + j; y,x) X(c, y+i-1, x+j-1)``.

    Args:
        x: (N, C, H, W).
        kernels: (N, 9C, H, W), a channel's nine weights next to each other in reading order.

    Returns:
        (N, C, H, W).
    """
    count, channels, height, width = x.shape
    patches = F.unfold(F.pad(x, (1, 1, 1, 1), mode="replicate"), KERNEL)
    patches = patches.view(count, channels, KERNEL**2, height, width)
    return (patches * kernels.view(count, channels, KERNEL**2, height, width)).sum(2)


def coordinates(x: Tensor) -> Tensor:
    """S: the map of normalised positions, (N, 2, H, W) in [-1, 1], first along the height, then along the width."""
    count, _, height, width = x.shape
    rows = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype).view(1, 1, height, 1)
    columns = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).view(1, 1, 1, width)
    return torch.cat((rows.expand(count, 1, height, width), columns.expand(count, 1, height, width)), 1)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        normal = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], self.weight, self.bias)
        return normal.permute(0, 3, 1, 2)


class RestormerBlock(nn.Module):
    """Attention between channels and a gated feed-forward part (Zamir et al., Restormer, CVPR 2022): R_l's unit.

    Attention between channels sees all positions at once, which is what makes the branch long-range.
    """

    def __init__(self, width: int, expansion: float = 2.66) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.norm1 = ChannelNorm(width)
        self.temperature = nn.Parameter(torch.ones(1, 1))
        self.query_key_value = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.query_key_value_local = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.attention_out = nn.Conv2d(width, width, 1, bias=False)
        self.norm2 = ChannelNorm(width)
        self.feed_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.feed_local = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.feed_out = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        query, key, value = self.query_key_value_local(self.query_key_value(self.norm1(x))).flatten(2).chunk(3, 1)
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        attention = torch.softmax(query @ key.mT * self.temperature, dim=-1)
        x = x + self.attention_out((attention @ value).view_as(x))
        gate, passed = self.feed_local(self.feed_in(self.norm2(x))).chunk(2, 1)
        return x + self.feed_out(F.gelu(gate) * passed)


def position_encoder(width: int) -> nn.Sequential:
    """P: coordinates to ``width`` channels."""
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1, bias=False), nn.LeakyReLU(0.1), nn.Conv2d(width, width, 1, bias=False)
    )


def guide_encoder(dimension: int) -> nn.Sequential:
    """T: g to 64 numbers."""
    return nn.Sequential(
        nn.Linear(dimension, 256, bias=False), nn.LeakyReLU(0.1), nn.Linear(256, GUIDE_CHANNELS, bias=False)
    )


def _spread(vector: Tensor, like: Tensor) -> Tensor:
    return vector[:, :, None, None].expand(-1, -1, *like.shape[-2:])


class SpatiallyVaryingEnhancement(nn.Module):
    """PTG-SVE, eq. 2 and 3: ``f^ = M f_s + (1 - M) f_l`` with M from features, g and position.

    Args:
        width: Channels.
        dimension: Length of g.
        reversed_mask: Exchange the branches, as the released code does.
    """

    def __init__(self, width: int, dimension: int, reversed_mask: bool) -> None:
        super().__init__()
        self.reversed_mask = reversed_mask
        self.position = position_encoder(width)
        self.guide = guide_encoder(dimension)
        self.mask = nn.Sequential(
            nn.Conv2d(2 * width + GUIDE_CHANNELS, width, 3, padding=1, bias=False),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 1, 3, padding=1, bias=False),
            nn.Sigmoid(),
        )
        self.short = ResidualBlock(width)  # R_s
        self.long = nn.Sequential(*(RestormerBlock(width) for _ in range(4)))

    def forward(self, f: Tensor, g: Tensor, place: Tensor) -> Tensor:
        """Features (N, C, h, w), g (N, D) and coordinates (N, 2, h, w) to features."""
        mask = self.mask(torch.cat((f, _spread(self.guide(g), f), self.position(place)), 1))
        first, second = self.short(f), self.long(f)
        if self.reversed_mask:
            first, second = second, first
        return mask * first + (1 - mask) * second


class ChannelSpatialAttention(nn.Module):
    """PTG-CSA, eq. 4 to 7: channels weighed by pooled features and g, positions by kernels drawn for each of them.

    Args:
        width: Channels.
        dimension: Length of g.
        channel: Use the channel branch; without it features pass unweighted.
        spatial: Use the spatial branch; likewise.
    """

    def __init__(self, width: int, dimension: int, channel: bool = True, spatial: bool = True) -> None:
        super().__init__()
        self.guide = guide_encoder(dimension)
        self.channel = (
            nn.Sequential(
                nn.Linear(width + GUIDE_CHANNELS, width, bias=False),
                nn.LeakyReLU(0.1),
                nn.Linear(width, width, bias=False),
                nn.Sigmoid(),
            )
            if channel
            else None
        )
        self.position = position_encoder(width) if spatial else None
        if spatial:
            wide = KERNEL**2 * width
            self.kernels = nn.Sequential(
                nn.Conv2d(2 * width + GUIDE_CHANNELS, wide, 3, padding=1, bias=False),
                nn.LeakyReLU(0.1),
                nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            )
            # Nothing normalises the kernels; small ones keep the first steps from exploding.
            nn.init.normal_(self.kernels[-1].weight, 0.0, 0.01)
            self.importance = nn.Sequential(
                nn.LeakyReLU(0.1), nn.Conv2d(width, 1, 3, padding=1, bias=False), nn.Sigmoid()
            )
        self.fusion = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, f: Tensor, g: Tensor, place: Tensor) -> Tensor:
        """Features (N, C, h, w), g (N, D) and coordinates (N, 2, h, w) to features."""
        g = self.guide(g)
        by_channel = by_position = f
        if self.channel is not None:
            weights = self.channel(torch.cat((f.mean((2, 3)), g), 1))
            by_channel = f * weights[:, :, None, None]
        if self.position is not None:
            kernels = self.kernels(torch.cat((f, _spread(g, f), self.position(place)), 1))
            by_position = f * self.importance(dynamic_convolution(f, kernels))
        return f + self.fusion(torch.cat((by_channel, by_position), 1))


class RefinementModule(nn.Module):
    """R: a first result, the degraded picture and g in, a better result out.

    Args:
        width: Channels at a quarter of the size.
        dimension: Length of g.
        mode: ``paper`` predicts a mask and a residual (eq. 1); ``released`` a residual on the clamped first result.
        sve: Use PTG-SVE.
        csa: Use PTG-CSA.
        channel_attention: Use the channel branch of CSA.
        spatial_attention: Use the spatial branch of CSA.
        position: Tell the module where it is; without, coordinates are zero.
    """

    def __init__(
        self,
        width: int = 16,
        dimension: int = 512,
        mode: Mode = "paper",
        *,
        sve: bool = True,
        csa: bool = True,
        channel_attention: bool = True,
        spatial_attention: bool = True,
        position: bool = True,
    ) -> None:
        super().__init__()
        if mode not in ("paper", "released"):
            raise ValueError(f"mode is 'paper' or 'released', not {mode!r}")
        self.mode, self.position, self.dimension = mode, position, dimension
        self.encoder = nn.Sequential(
            nn.Conv2d(6, width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
        )
        self.sve = SpatiallyVaryingEnhancement(width, dimension, mode == "released") if sve else None
        self.csa = ChannelSpatialAttention(width, dimension, channel_attention, spatial_attention) if csa else None
        self.decoder = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1, bias=False),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 4 * width, 3, padding=1, bias=False),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 6 if mode == "paper" else 3, 3, padding=1),
        )
        # The module starts as the identity on the first result: mask one, residual zero.
        nn.init.zeros_(self.decoder[-1].weight)
        nn.init.zeros_(self.decoder[-1].bias)

    def forward(self, first: Tensor, degraded: Tensor, g: Tensor) -> Tensor:
        """Refine.

        Args:
            first: The base's result (N, 3, H, W), sides multiples of 4.
            degraded: What it was made from, the same shape.
            g: (N, D) unit vectors.

        Returns:
            (N, 3, H, W), not clamped.
        """
        return self.corrected(first, degraded, self.correction(first, degraded, g))

    def correction(self, first: Tensor, degraded: Tensor, g: Tensor) -> Tensor:
        """What is predicted, (N, 6, H, W): the mask less one and the residual; ``released``: the residual alone."""
        f = self.encoder(torch.cat((first, degraded), 1))
        place = coordinates(f) if self.position else f.new_zeros(len(f), 2, *f.shape[-2:])
        if self.sve is not None:
            f = self.sve(f, g, place)
        if self.csa is not None:
            f = self.csa(f, g, place)
        return self.decoder(f)

    def corrected(self, first: Tensor, degraded: Tensor, correction: Tensor) -> Tensor:
        """Equation 1."""
        if self.mode == "released":
            return first.clamp(0, 1) + correction
        mask, residual = correction.chunk(2, 1)
        return degraded + (first - degraded) * (1 + mask) + residual


class PtgRm(Restorer):
    """A base restorer with the refinement module behind it.

    The weights of both are one state dictionary (``base.*``, ``refine.*``), because both are trained together; the
    frozen model that makes g is not part of it.

    Args:
        base: Name of an architecture, whose weights come with the module's, or of a registered method; or a restorer.
        base_config: Constructor arguments of that architecture.
        guide: What makes g: a name that ``priors`` can load (``embedded``, ``local-dir:...``, ``hf-hub:...``,
            ``NAME:TAG``), ``none`` for zeros, or ``random`` for one fixed random vector, the controls.
        side: Predict the correction from pictures reduced to this short side and enlarge it: how bright a place should
            be does not need every pixel, and pictures of any size then look like those of the training. None, the
            paper's: at full size.
        guide_sha256: ``priors.clip.ClipPrior.sha256`` of the guide that the weights were trained with, or its first
            digits. Another model's vectors mean other things, so it is refused.
        width: Channels of the module.
        dimension: Length of g.
        mode: See :class:`RefinementModule`, as for the remaining switches.
        sve: Use PTG-SVE.
        csa: Use PTG-CSA.
        channel_attention: Use its channel branch.
        spatial_attention: Use its spatial branch.
        position: Tell the module where it is.

    Raises:
        UnknownNameError: Nothing is called like the base.
        ValueError: An argument is out of its range.
    """

    card = CARD

    def __init__(
        self,
        base: str | Restorer = "scl_lle",
        base_config: dict[str, object] | None = None,
        guide: str = "embedded",
        width: int = 16,
        dimension: int = 512,
        mode: Mode = "paper",
        sve: bool = True,
        csa: bool = True,
        channel_attention: bool = True,
        spatial_attention: bool = True,
        position: bool = True,
        side: int | None = None,
        guide_sha256: str = "",
    ) -> None:
        super().__init__()
        check_whole("width", width)
        check_whole("dimension", dimension)
        check_whole("side", side, DOWNSCALE, optional=True)
        if side is not None and side % DOWNSCALE:
            raise ValueError(f"side is a multiple of {DOWNSCALE}, not {side}")
        self.base = _built(base, base_config or {}) if isinstance(base, str) else base
        if base is self.base:
            remember_arguments(self, base=_name_of(self.base), base_config=constructor_arguments(self.base))
        self.guide, self.guide_sha256, self.side = guide, guide_sha256, side
        self.refine = RefinementModule(
            width,
            dimension,
            mode,
            sve=sve,
            csa=csa,
            channel_attention=channel_attention,
            spatial_attention=spatial_attention,
            position=position,
        )
        of_base = self.base.card
        self.card = replace(
            CARD,
            task=of_base.task,  # with its base it is a whole method for what the base does
            scale=of_base.scale,
            size_multiple=of_base.size_multiple,
            min_size=max(CARD.min_size, of_base.min_size),
            parameters=count_parameters(self),
            licence=of_base.licence,
            trained_on=of_base.trained_on,
        )

    @property
    def dimension(self) -> int:
        """Length of g."""
        return self.refine.dimension

    def ready(self, device: torch.device) -> None:
        """See :meth:`Restorer.ready`."""
        self.base.ready(device)
        if self.guide not in CONTROLS:
            self._prior(device)

    def check_savable(self) -> None:
        """See :meth:`Restorer.check_savable`: the base comes back if it is a network of ours, or as it is registered.

        Raises:
            WeightsError: The base is somebody else's network.
        """
        self.base.check_savable()
        if not _comes_back(self.base):
            raise WeightsError(
                f"{self.card.title} cannot be saved, because a saved copy could not build its base "
                f"{self.base.card.title!r} again; wrap one of this project's networks or methods."
            )

    def vector(self, x: Tensor) -> Tensor:
        """G: the degraded pictures' vectors g, (N, 3, H, W) to (N, D); no gradient ever enters the frozen model.

        Raises:
            WeightsError: The guide is not the one that the weights were trained with, or its vectors have another
                length than the module was made for.
        """
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            if self.guide == "none":
                return x.new_zeros(len(x), self.dimension, dtype=torch.float32)
            if self.guide == "random":
                generator = torch.Generator().manual_seed(0)
                fixed = F.normalize(torch.randn(1, self.dimension, generator=generator), dim=-1)
                return fixed.to(x.device).expand(len(x), -1)
            g = self._prior(x.device).encode_image(x.detach().float()).float()
        if g.shape[-1] != self.dimension:
            raise WeightsError(
                f"PTG-RM was made for a prior of {self.dimension} numbers, {self.guide} gives {g.shape[-1]}; "
                "name the model it was trained with."
            )
        return g

    def _prior(self, device: torch.device) -> ClipPrior:
        from priors import clip

        prior = clip.load(self.guide, device=str(device))
        if not self.guide_sha256:
            self.guide_sha256 = prior.sha256
            remember_arguments(self, guide_sha256=prior.sha256)
        if not prior.sha256.startswith(self.guide_sha256):
            raise WeightsError(
                f"PTG-RM's weights were trained with the prior {self.guide_sha256[:12]}, and {self.guide} now is "
                f"{prior.sha256[:12]}; restore that prior, or train the module again."
            )
        return prior

    def stages(self, x: Tensor, g: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both results, as training wants them (eq. 8): the base's and the refined one.

        Args:
            x: Degraded pictures of a size that the base allows.
            g: Their vectors if they are known already.
        """
        first = self.base.enhance(x)
        degraded = x
        if self.base.card.scale > 1:
            degraded = F.interpolate(x, first.shape[-2:], mode="bicubic", align_corners=False)
        g = self.vector(x) if g is None else g
        height, width = first.shape[-2:]
        if self.side is None or min(height, width) <= self.side:
            # The base has seen the picture as it is; only the module needs sides of four.
            missing = (-height % DOWNSCALE, -width % DOWNSCALE)
            correction = self.refine.correction(reflect_pad(first, *missing), reflect_pad(degraded, *missing), g)
            return first, self.refine.corrected(first, degraded, correction[..., :height, :width])
        share = self.side / min(height, width)
        size = tuple(DOWNSCALE * round(length * share / DOWNSCALE) for length in (height, width))
        small = (F.interpolate(picture, size, mode="area") for picture in (first, degraded))
        correction = self.refine.correction(*small, g)
        correction = F.interpolate(correction, (height, width), mode="bilinear", align_corners=False)
        return first, self.refine.corrected(first, degraded, correction)

    def enhance(self, x: Tensor) -> Tensor:
        """The refined result."""
        return self.stages(x)[1]


def ptg_rm(base: str | Restorer, **options: Any) -> PtgRm:
    """Put a fresh refinement module behind any restorer, ready to be trained.

    Until it is, the result is the base's: mask one, residual zero. It can be saved and shared if the base is one of
    this project's networks, whose weights then go with it, or a registered method without weights.

    Args:
        base: A registered name, which brings its weights, or a restorer.
        **options: Of :class:`PtgRm`, except ``base`` and ``base_config``. ``dimension`` and ``guide_sha256`` are the
            guide's if not given.

    Raises:
        PromptError: The guide cannot be had.
    """
    from restorers import registry

    restorer = registry.create(base) if isinstance(base, str) else base
    guide = options.get("guide", "embedded")
    if guide not in CONTROLS:
        from priors import clip

        prior = clip.load(guide)
        options = {"dimension": _dimension(prior), "guide_sha256": prior.sha256, **options}
    refined = PtgRm(restorer, **{"dimension": PAPER_DIMENSION, **options})
    refined.card = replace(refined.card, name=f"{restorer.card.name}+ptg_rm", title=f"{restorer.card.title} + PTG-RM")
    return refined


def _dimension(prior: ClipPrior) -> int:
    """Length of a prior's vectors."""
    with torch.no_grad():
        return prior.encode_text(["haze"]).shape[-1]


def _name_of(base: Restorer) -> str:
    """The architecture of a network, or else a name, under which :func:`_built` looks for it."""
    try:
        return architecture_of(base)
    except WeightsError:
        return base.card.name


def _comes_back(base: Restorer) -> bool:
    """Whether :func:`_built` makes this very method of its name and arguments."""
    from restorers import registry

    try:
        return bool(architecture_of(base))
    except WeightsError:
        name = base.card.name
    again = registry.create(name) if name in registry.names() else None
    return type(again) is type(base) and constructor_arguments(again) == constructor_arguments(base)


def _built(base: str, config: dict[str, object]) -> Restorer:
    """A network without its weights, or a registered method."""
    from restorers import registry
    from restorers.networks import architectures

    known = architectures()
    return known[base].load()(**config) if base in known else registry.create(base)
