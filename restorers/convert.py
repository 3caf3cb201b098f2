"""Released checkpoints into ours: names mapped, shapes checked against a freshly built network, nothing left over."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from errors import WeightsError
from restorers.checkpoint import build
from restorers.networks import architecture

_WRAPPERS = ("params_ema", "state_dict", "model_state_dict", "model", "params", "net", "generator")
"""Keys under which training scripts put the weights; tried in this order."""
_PREFIXES = ("module.", "model.")
"""What data parallelism and Lightning put before every name."""


def unwrap(checkpoint: Mapping[str, object]) -> dict[str, Tensor]:
    """The state dictionary inside a checkpoint, which may lie one or two keys deep.

    Raises:
        WeightsError: There are no named tensors in it.
    """
    inner: object = checkpoint
    for _ in range(3):
        if isinstance(inner, Mapping):
            if inner and all(isinstance(value, Tensor) for value in inner.values()):
                return {str(key): value for key, value in inner.items()}  # type: ignore[misc]
            inner = next((inner[key] for key in _WRAPPERS if key in inner), None)
    raise WeightsError(
        f"This checkpoint holds no named tensors (also not under {', '.join(_WRAPPERS)}); "
        "save the network's state_dict() and convert that."
    )


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what stands before all of them."""
    prefix = next((one for one in _PREFIXES if all(key.startswith(one) for key in tensors)), None)
    return tensors if prefix is None else _without_prefix({key.removeprefix(prefix): tensors[key] for key in tensors})


def convert_state_dict(
    arch: str, checkpoint: Mapping[str, object], config: Mapping[str, object] | None = None
) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Turn a released checkpoint, or one of ours, into constructor arguments and our own tensor names.

    Args:
        arch: Name of an architecture.
        checkpoint: A loaded state dictionary, bare or wrapped as training scripts do.
        config: Arguments of the architecture's class beyond those that the shapes of released tensors tell, such as
            ``side``; without them the others are the defaults.

    Returns:
        Keyword arguments of the architecture's class, and a state dictionary that loads strictly into it; float32.

    Raises:
        UnknownNameError: No such architecture.
        WeightsError: Tensors are missing, unknown, or of another shape, or ``config`` does not fit the class.
    """
    told, state = architecture(arch).convert(_without_prefix(unwrap(checkpoint)))
    config = {**told, **(config or {})}
    wanted = build(arch, config, {}).state_dict()
    problems = [
        *(f"{key} is missing" for key in wanted if key not in state),
        *(f"{key} is unknown" for key in state if key not in wanted),
        *(
            f"{key} has shape {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ),
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(
            f"This checkpoint is not one of {arch}: {'; '.join(problems[:3])}{more}. Check --arch and the file."
        )
    return config, {key: state[key].detach().to(wanted[key].dtype).contiguous().clone() for key in wanted}
