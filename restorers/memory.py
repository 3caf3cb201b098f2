"""How much memory a network needs a pixel, found by running it once on a small picture and counting."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PROBE_SIDE = 128
"""Side in pixels of the picture that is tried."""


class MemoryMeter(TorchFunctionMode):
    """Counts the bytes of tensors that are made while it is active, and remembers the most that lived at once.

    Works on every device. It sees what Python sees: what a library takes for itself in the middle of an operation is
    not counted.

    Example:
        >>> with MemoryMeter() as meter:
        ...     _ = torch.zeros(256) + 1
        >>> meter.peak
        2048
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, and count the storages it made."""
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor):
                self._count(item)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def bytes_per_pixel(network: Callable[[Tensor], Tensor], device: torch.device, side: int = PROBE_SIDE) -> float:
    """Peak bytes of activations for every input pixel."""
    probe = torch.full((1, 3, side, side), 0.5, device=device)
    with torch.inference_mode(), MemoryMeter() as meter:
        network(probe)
    return meter.peak / (side * side)
