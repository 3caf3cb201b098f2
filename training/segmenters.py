"""Frozen segmentation networks: labels for pictures that have none, and a judge of enhanced ones.

The paper uses a DeepLabv3+ trained on Cityscapes. Here it is a DeepLabv3 of torchvision (21 classes of Pascal VOC) or
any semantic segmenter of the Hub that ``transformers`` loads (SegFormer, say), whichever can be had.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from errors import UnknownNameError, WeightsError, first_line
from restorers.community import read_checkpoint
from training.losses.semantic import logits_of

TORCHVISION = ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large")


class HubSegmenter(nn.Module):
    """A semantic segmenter of ``transformers`` with the interface of torchvision's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Normalised pictures (N, 3, H, W) to logits (N, K, h, w) under "out"."""
        return {"out": self.network(pixel_values=x).logits}


def create_segmenter(name: str, root: Path) -> nn.Module:
    """A frozen segmenter in evaluation mode.

    Args:
        name: ``torchvision:NAME`` or ``hf-hub:ORG/NAME``.
        root: A folder that may hold torchvision's weights (``NAME*.pth``); else torchvision downloads them.

    Raises:
        UnknownNameError: The name has neither form, or torchvision has no such network.
        WeightsError: The weights cannot be had.
    """
    kind, _, model = name.partition(":")
    if kind == "torchvision" and model in TORCHVISION:
        network = _torchvision(model, root)
    elif kind == "hf-hub" and model:
        network = _hub(model)
    else:
        raise UnknownNameError("segmenter", name, [f"torchvision:{known}" for known in TORCHVISION])
    return network.eval().requires_grad_(False)


@torch.no_grad()
def predict_labels(segmenter: nn.Module, picture: Tensor) -> Tensor:
    """Most likely class of every pixel: (N, 3, H, W) in [0, 1] to (N, H, W)."""
    return logits_of(segmenter, picture.detach(), picture.shape[-2:]).argmax(1)


def _torchvision(name: str, root: Path) -> nn.Module:
    from torchvision.models import get_model

    files = sorted(root.glob(f"{name}*.pth"))
    try:
        if not files:
            return get_model(name, weights="DEFAULT")
        options = {"aux_loss": True} if name.startswith("deeplab") else {}
        network = get_model(name, weights=None, weights_backbone=None, num_classes=21, **options)
        network.load_state_dict(read_checkpoint(files[0]))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The weights of {name} cannot be had ({first_line(error)}); put {name}*.pth below --data, "
            "or leave data.segmenter out of the recipe."
        ) from error
    return network


def _hub(name: str) -> nn.Module:
    try:
        from transformers import AutoModelForSemanticSegmentation
    except ImportError as error:
        raise WeightsError(
            "Segmenters of the Hub need the transformers package; install it with 'pip install transformers'."
        ) from error
    try:
        return HubSegmenter(AutoModelForSemanticSegmentation.from_pretrained(name))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"The segmenter {name} cannot be had ({first_line(error)}); check the name and the connection."
        ) from error
