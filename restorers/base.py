"""Restorer: what every method is to the rest of the project."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from errors import ImageError, WeightsError
from hashing import sha256_of
from images import check_batch
from restorers.blocks.padding import padded_to_multiple
from restorers.card import RestorerCard

SMALLEST_SIDE = 16
"""Pictures with a shorter side are refused: there is nothing to restore from."""


class Restorer(nn.Module, PyTorchModelHubMixin, library_name="unveil", pipeline_tag="image-to-image"):
    """A network or an algorithm that maps pictures to better pictures.

    Subclasses set ``card`` and write :meth:`enhance`; constructor arguments are plain values, because the Hub mixin
    keeps them as ``config.json``. :meth:`forward` does what no method should have to think about: it checks the
    tensor, pads to the size the network needs, crops back, and clamps.

    Attributes:
        card: The facts. Weights loaded from elsewhere get a card of their own on the instance.
        weights_sha256: Hash of the file the parameters came from; None when there are no weights.
        weights_file: That file.
        pinned: ``ORG/NAME@COMMIT``, which loads the very same files again, where they came from the Hub.
    """

    card: ClassVar[RestorerCard] | RestorerCard
    weights_sha256: str | None = None
    weights_file: Path | None = None
    pinned: str | None = None

    @abstractmethod
    def enhance(self, x: Tensor) -> Tensor:
        """The method itself: float (N, 3, H, W) of an allowed size to (N, 3, sH, sW), not necessarily clamped."""

    def ready(self, device: torch.device) -> None:
        """Load what the first picture would otherwise wait for: a model that guides this one, if there is any.

        Raises:
            UnveilError: It cannot be loaded.
        """

    def check_savable(self) -> None:
        """Refuse to be saved where a saved copy could not be built again; all but wrappers of others can be.

        Raises:
            WeightsError: It could not.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: Float (N, 3, H, W), RGB in [0, 1], both sides at least 16.

        Returns:
            Float (N, 3, sH, sW) in [0, 1], with s the card's scale.

        Raises:
            ImageError: Wrong shape, type or size.
        """
        check_batch(x)
        height, width = x.shape[-2:]
        if min(height, width) < SMALLEST_SIDE:
            raise ImageError(
                f"A picture of {width}x{height} is too small to restore; {SMALLEST_SIDE} pixels a side are needed."
            )
        y = self.enhance(padded_to_multiple(x, self.card.size_multiple, self.card.min_size))
        scale = self.card.scale
        return y[..., : height * scale, : width * scale].clamp(0, 1)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write what ``save_pretrained`` writes with the network it is for, so that its folder loads by name.

        A class that is none of this project's networks is saved with its arguments alone, for its own
        ``from_pretrained``.

        Raises:
            WeightsError: See :meth:`check_savable`.
        """
        from restorers import checkpoint

        self.check_savable()
        super()._save_pretrained(save_directory)
        with suppress(WeightsError):
            digest = sha256_of(save_directory / checkpoint.WEIGHTS_NAME)
            checkpoint.write_config(save_directory, self, digest)

    @classmethod
    def _load_as_safetensor(cls, model: Restorer, model_file: str, map_location: str, strict: bool) -> Restorer:
        """Load every tensor or fail: the mixin's own default accepts partial files and leaves the rest random."""
        load_weights(model, model_file)
        return model.to(map_location).eval()

    @classmethod
    def _load_as_pickle(cls, model: Restorer, model_file: str, map_location: str, strict: bool) -> Restorer:
        raise WeightsError(
            f"{Path(model_file).name} is a pickle, which can run code when it is opened; convert it first with "
            "'python -m restorers convert'."
        )


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copy a safetensors file into a module; all names and shapes must match (half precision is widened).

    Raises:
        WeightsError: The file is missing, cut off, or does not fit; the module is left unchanged in these cases.
    """
    path = Path(path)
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"There is no weight file {str(path)!r}; check the path or download it again.") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is damaged or cut off ({error}); download it again.") from error
    wanted = model.state_dict()
    missing, surplus = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    shapes = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & tensors.keys())
        if tensors[key].shape != wanted[key].shape
    ]
    if missing or surplus or shapes:
        parts = [
            f"{len(items)} {what} (first: {items[0]})"
            for what, items in (("missing", missing), ("unknown", surplus), ("of another shape", shapes))
            if items
        ]
        raise WeightsError(
            f"{path.name} does not fit {type(model).__name__}: tensors {', '.join(parts)}; "
            "use the file that was made for this network."
        )
    model.load_state_dict(tensors, strict=True)


def count_parameters(module: nn.Module) -> int:
    """Learnable numbers in a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def flush_denormals() -> None:
    """Treat denormal floats as zero: they make some trained networks up to 27 times slower on a CPU."""
    torch.set_flush_denormal(True)
