"""Start weights of AECR-Net by data: layers that see something from the first step, pixels that pass through.

The network has neither normalisation nor a skip from its input to its output, so from ordinary start weights most of a
short run goes into layers finding their range and into pixels finding their way. Two measures spare that:

* every layer's outputs get one mean and one deviation on a batch (Mishkin and Matas, "All you need is a good init",
  ICLR 2016, without its orthogonal weights);
* three, then twelve channels carry the pixels of the picture: down by putting 2x2 pixels into four channels, over the
  skip, and up again the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from errors import UsageError
from restorers.networks.aecr_net import AecrNet

MEAN, SMALL = 0.3, 0.1
_CORNERS = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Where a 3x3 kernel of stride 2 finds the four pixels of its 2x2 block."""


@torch.no_grad()
def settle(network: AecrNet, batch: Tensor) -> None:
    """Replace the start weights of the encoder and the decoder.

    Args:
        network: Fresh; at least six channels at full resolution.
        batch: (N, 3, H, W) of hazy pictures in [0, 1].

    Raises:
        UsageError: Another network, or one that is too narrow for the pixels.
    """
    if not isinstance(network, AecrNet) or network.down1.out_channels < 6:
        raise UsageError("Only an AECR-Net of at least 6 channels can be settled; leave data.settle out of the recipe.")
    for layer in (network.down1, network.down2, network.down3, network.up1, network.up2):
        _standardise(network, layer, batch)
    network.up3.weight.mul_(SMALL * MEAN)
    _pass_pixels(network)


def _standardise(network: AecrNet, layer: nn.Conv2d | nn.ConvTranspose2d, batch: Tensor) -> None:
    """Mean ``MEAN`` and deviation one of every channel that comes out of ``layer``."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network.enhance(batch)
    hook.remove()
    deviation, mean = torch.std_mean(seen[0], (0, 2, 3))
    deviation = deviation.clamp_min(1e-4)
    across = (1, -1, 1, 1) if isinstance(layer, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    layer.weight.div_(deviation.view(across))
    layer.bias.sub_(mean).div_(deviation).add_(MEAN)


def _pass_pixels(network: AecrNet) -> None:
    """The first channels carry pixels; what the others add to them starts small."""
    down1, down2, up2, up3 = network.down1, network.down2, network.up2, network.up3
    for layer, count in ((down1, 3), (down2, 12)):
        layer.weight[:count] = 0
        layer.bias[:count] = 0
    up2.weight[:, :3].mul_(SMALL)
    up2.weight[:12].mul_(SMALL)
    up2.bias[:3] = 0
    network.up1.weight[:, :12].mul_(SMALL)
    network.up1.bias[:12] = 0
    up3.bias.zero_()
    skip = network.mix2.theta.sigmoid().item()
    for colour in range(3):
        down1.weight[colour, colour, 3, 3] = 1
        up3.weight[colour, colour] = 0
        up3.weight[colour, colour, 3, 3] = 1.1  # the hyperbolic tangent behind it takes a little away
        for place, (row, column) in enumerate(_CORNERS):
            down2.weight[4 * colour + place, colour, row, column] = 1
            up2.weight[4 * colour + place, colour, row, column] = 1 / skip
