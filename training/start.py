"""Start weights: a network takes over the tensors of a model that exists, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from errors import WeightsError


def start_from(network: nn.Module, tensors: Mapping[str, Tensor], name: str, fresh: tuple[str, ...] = ()) -> None:
    """Copy tensors into a network.

    Args:
        network: What is going to be trained; left unchanged if the tensors do not fit.
        tensors: Those of the model to start from, by name.
        name: Of that model, for the message.
        fresh: Beginnings of names that the model may lack; such tensors keep their values then.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> network, model = nn.Linear(4, 2), nn.Linear(3, 2)
        >>> start_from(network, model.state_dict(), "mine.safetensors")
        Traceback (most recent call last):
        errors.WeightsError: The recipe's Linear cannot start from mine.safetensors: 1 tensor of another shape (first: \
weight (2, 3) instead of (2, 4)); give data.start a model of this network, or network that model's arguments.
    """
    own = network.state_dict()
    differences = {
        "missing": [key for key in own if key not in tensors and not key.startswith(fresh)],
        "unknown": [key for key in tensors if key not in own],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
            for key, value in own.items()
            if key in tensors and tensors[key].shape != value.shape
        ],
    }
    said = [
        f"{len(keys)} tensor{'s' if len(keys) > 1 else ''} {what} (first: {keys[0]})"
        for what, keys in differences.items()
        if keys
    ]
    if said:
        raise WeightsError(
            f"The recipe's {type(network).__name__} cannot start from {name}: {', '.join(said)}; give data.start a "
            "model of this network, or network that model's arguments."
        )
    network.load_state_dict({**own, **tensors})
