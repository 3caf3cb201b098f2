"""Frozen feature networks: what two pictures look like to a network that was trained to recognise things.

All take RGB in [0, 1] and return a list of feature maps from fine to coarse. They can stand in for each other in the
contrastive and perceptual losses: VGG-19, which the papers use, where its weights can be had; SqueezeNet 1.0 from a
1.5 MB file where not; or the image tower of any CLIP that ``priors`` can load.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import UnknownNameError, WeightsError, first_line
from restorers.community import read_checkpoint

FEATURE_NETWORKS = ("vgg19", "squeezenet", "clip")
SQUEEZENET_FILE = "squeezenet1_0_features.safetensors"


class Features(nn.Module):
    """A frozen feature network.

    Attributes:
        weights: Of the taps in the contrastive loss, coarse ones more.
    """

    weights: tuple[float, ...] = ()

    def freeze(self) -> Features:
        """No gradients for the parameters (they still flow through to the picture), and no dropout."""
        return self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Features:
        """Stay in evaluation, whatever the network around does."""
        return super().train(False)


class SequentialTaps(Features):
    """Outputs of chosen layers of a plain sequence.

    Args:
        layers: The sequence; nothing beyond the last tap is kept.
        taps: Indices of the layers whose outputs are returned.
        weights: One for each tap.
        scale: The picture is multiplied by this ...
        shift: ... and this is subtracted from each channel.
    """

    def __init__(
        self,
        layers: nn.Sequential,
        taps: tuple[int, ...],
        weights: tuple[float, ...],
        scale: float = 1.0,
        shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*list(layers)[: max(taps) + 1])
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # a tapped tensor must stay what it was
        self.taps, self.weights, self.scale = frozenset(taps), weights, scale
        self.register_buffer("shift", torch.tensor(shift).view(1, 3, 1, 1), persistent=False)
        self.freeze()

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to one map for each tap."""
        x, found = picture * self.scale - self.shift, []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


def vgg19(root: Path | None = None) -> SequentialTaps:
    """VGG-19 of torchvision, tapped after the 1st, 3rd, 5th, 9th and 13th convolution, as AECR-Net does.

    The released code does not normalise the picture by ImageNet's mean and deviation; neither do we.

    Args:
        root: A folder that may hold the weights (``vgg19*.pth``); else torchvision downloads them.

    Raises:
        WeightsError: They are neither there nor can they be downloaded.
    """
    from torchvision.models import VGG19_Weights
    from torchvision.models.vgg import cfgs, make_layers

    files = sorted(root.glob("vgg19*.pth")) if root else []
    layers = make_layers(cfgs["E"])  # the classifier, six sevenths of the parameters, is not built
    try:
        if files:
            tensors = read_checkpoint(files[0])
        else:
            tensors = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
        prefix = "features."
        layers.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"VGG-19's weights cannot be had ({first_line(error)}); put vgg19-dcbb9e9d.pth below --data, "
            "or set loss.features to squeezenet or clip."
        ) from error
    return SequentialTaps(layers, (1, 6, 11, 20, 29), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0))


def squeezenet(root: Path) -> SequentialTaps:
    """SqueezeNet 1.0, tapped after its first convolution and after the 2nd, 4th, 6th and 8th fire module.

    Args:
        root: Folder of the weight file; it wants pictures of 0 to 255 minus (123, 117, 104).

    Raises:
        WeightsError: The file is missing.
    """
    from safetensors.torch import load_file
    from torchvision.models import squeezenet1_0

    path = root / SQUEEZENET_FILE
    if not path.is_file():
        raise WeightsError(
            f"SqueezeNet's weights {path} are missing; put the file there or set loss.features to vgg19 or clip."
        )
    network = squeezenet1_0()
    tensors = {key: value.float() for key, value in load_file(path).items()}
    network.features.load_state_dict({key.removeprefix("features."): value for key, value in tensors.items()})
    # 0 conv, 1 relu, 2 pool, 3-5 fire, 6 pool, 7-10 fire, 11 pool, 12 fire
    taps, weights = (1, 4, 7, 9, 12), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    return SequentialTaps(network.features, taps, weights, 255.0, (123.0, 117.0, 104.0))


class ClipTower(Features):
    """Patch tokens of a CLIP image tower as one feature map.

    Args:
        clip: Name as ``priors.clip`` takes it: ``embedded``, ``local-dir:...``, ``hf-hub:...``, ``NAME:TAG``.
    """

    weights = (1.0,)

    def __init__(self, clip: str = "embedded") -> None:
        super().__init__()
        from restorers.guidance import load_guide

        self.guide = load_guide(clip)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to one map (N, D, rows, columns)."""
        return [F.normalize(self.guide.tokens(picture), dim=1)]


def create_features(name: str, root: Path) -> Features:
    """A feature network by name; ``clip`` may carry a CLIP's name after a colon (``clip:local-dir:/models/x``).

    Raises:
        UnknownNameError: No such network.
        WeightsError: Its weights are missing.
    """
    if name == "vgg19":
        return vgg19(root)
    if name == "squeezenet":
        return squeezenet(root)
    if name == "clip" or name.startswith("clip:"):
        return ClipTower(name.partition(":")[2] or "embedded")
    raise UnknownNameError("feature network", name, FEATURE_NETWORKS)
