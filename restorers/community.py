"""Checkpoints of other people's networks: whatever architecture spandrel recognises becomes a restorer.

Spandrel finds architecture, width and scale from the tensors alone. Pickled checkpoints are read here, with PyTorch's
own restricted reader that allows tensors and plain containers and nothing that could run, never by spandrel.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from errors import WeightsError, first_line
from hashing import sha256_of
from restorers.base import Restorer, count_parameters
from restorers.card import UNKNOWN_LICENCE, RestorerCard
from restorers.checkpoint import read_metadata

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor


class _Nothing:
    """Stands for a harmless object of a pickle whose value nobody needs, and keeps none of it."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_HARMLESS = tuple(
    (_Nothing, name)
    for name in (
        "numpy._core.multiarray.scalar",  # as NumPy 2 calls it
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "argparse.Namespace",
    )
)
"""What training scripts save beside the weights: figures as NumPy's numbers, and the options they were called with.

The restricted reader would refuse them; it gets a stand-in for each, so that nothing of theirs is ever called."""
_HALO = 32
"""Receptive fields are not known; tiles see this many pixels beyond what they keep, and are blended."""


class Community(Restorer):
    """A network that spandrel built.

    Args:
        descriptor: What spandrel knows about it, with the weights loaded.
        card: The facts.
    """

    def __init__(self, descriptor: ImageModelDescriptor, card: RestorerCard) -> None:
        super().__init__()
        self.card = card
        self.network = descriptor.model
        self._descriptor = descriptor

    def enhance(self, x: Tensor) -> Tensor:
        """Float (N, 3, H, W) to (N, 3, sH, sW), picture by picture, as spandrel calls its networks.

        Grey networks restore the three channels one by one.
        """
        if self._descriptor.input_channels == 1:
            height, width = x.shape[-2:]
            planes = x.reshape(-1, 1, height, width)
            restored = torch.cat([self._descriptor(plane) for plane in planes.split(1)])
            return restored.reshape(x.shape[0], 3, *restored.shape[-2:])
        return torch.cat([self._descriptor(picture) for picture in x.split(1)])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Content of a checkpoint, from safetensors or from a pickle read with ``weights_only=True``.

    Args:
        path: ``.safetensors``, or anything else that ``torch.save`` wrote.

    Returns:
        Tensors by name, perhaps some keys deep; of figures and options that were saved beside them nothing is left.

    Raises:
        WeightsError: Missing, damaged, or a pickle that holds more than tensors and plain containers.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        read_metadata(path)
        return dict(load_file(path))
    if not path.is_file():
        raise WeightsError(f"There is no weight file {str(path)!r}; check the path or download it again.")
    import pickle

    try:
        with torch.serialization.safe_globals(list(_HARMLESS)):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path.name} was refused: it is damaged, or a pickle with more than tensors in it, which could run code "
            "when opened; save its state_dict() as safetensors where it was made."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        detail = first_line(error) if " " in first_line(error) else "no checkpoint of PyTorch"
        raise WeightsError(f"{path.name} is damaged or cut off ({detail}); download it again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path.name} holds no named tensors; save the network's state_dict() and use that.")
    return content


def load_community(path: str | Path) -> Community:
    """Load a checkpoint of any architecture that spandrel knows.

    Args:
        path: ``.safetensors``, ``.pth``, ``.pt``, ``.ckpt`` or ``.pk``.

    Raises:
        WeightsError: The file cannot be read safely, spandrel does not know it, or it is not a picture-to-picture
            network in grey or RGB.
    """
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError, canonicalize_state_dict

    path = Path(path)
    tensors = canonicalize_state_dict(read_checkpoint(path))
    try:
        descriptor = ModelLoader().load_from_state_dict(tensors)
    except UnsupportedModelError as error:
        raise WeightsError(
            f"{path.name} is of no architecture that is known here; if it is an official checkpoint of one of this "
            "project's networks, run 'python -m restorers convert --arch NAME' on it."
        ) from error
    except (RuntimeError, KeyError, ValueError, TypeError, AssertionError) as error:
        detail = first_line(error) if " " in first_line(error) else "no checkpoint of PyTorch"
        raise WeightsError(f"{path.name} looks like a known network but does not fit it ({detail}).") from error
    if not isinstance(descriptor, ImageModelDescriptor):
        raise WeightsError(f"{path.name} needs a mask beside the picture (inpainting), which is not supported here.")
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels not in ((1, 1), (3, 3)):
        raise WeightsError(f"{path.name} maps {channels[0]} channels to {channels[1]}; only grey or RGB is supported.")
    descriptor.eval()
    model = Community(descriptor, describe(descriptor, path.stem))
    model.weights_sha256, model.weights_file = sha256_of(path), path
    return model.eval()


def describe(descriptor: ImageModelDescriptor, stem: str) -> RestorerCard:
    """A card from what spandrel knows."""
    from spandrel import ModelTiling

    size = descriptor.size_requirements
    architecture = descriptor.architecture.name
    tags = f" ({', '.join(descriptor.tags)})" if descriptor.tags else ""
    return RestorerCard(
        name=re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-") or "community",
        title=stem,
        task="sr" if descriptor.scale > 1 else "refine",
        summary=f"Community checkpoint of {architecture}{tags}, for {descriptor.purpose}.",
        licence=UNKNOWN_LICENCE,
        scale=descriptor.scale,
        size_multiple=size.multiple_of,
        min_size=max(16, size.minimum),
        tiling="approximate" if descriptor.tiling is ModelTiling.SUPPORTED else "whole",
        receptive_field=_HALO,
        parameters=count_parameters(descriptor.model),
    )
