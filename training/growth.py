"""Growth: a network that repeats a shared block is trained with few repetitions first.

A network that applies one block several times costs several times as much as with one application, and has the same
weights. Where time is short, the first steps are better spent on many cheap versions of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from errors import UnknownNameError, UsageError


class Growth:
    """Sets a network's numbers of repetitions from the step alone, so that a resumed run is the uninterrupted one.

    The validated and published average of the weights always has the whole network's numbers.

    Args:
        model: The network; its numbers now are those of the last stage.
        stages: Each a table with ``until``, the first step that is no longer of it, and attributes of the network
            with their values; in order.

    Raises:
        UsageError: A stage has no ``until``, or ends before the one before it.
        UnknownNameError: The network has no such number.

    Example:
        >>> from restorers.networks.aecr_net import AecrNet
        >>> network = AecrNet(width=8)
        >>> growth = Growth(network, [{"until": 100, "attention_uses": 0, "deformable_uses": 0}])
        >>> growth.at(99)
        >>> network.attention_uses
        0
        >>> growth.at(100)
        >>> network.attention_uses
        6
    """

    def __init__(self, model: nn.Module, stages: Sequence[Mapping[str, Any]]) -> None:
        self.model = model
        self.stages: list[tuple[int, dict[str, int]]] = []
        numbers = {key: value for key, value in vars(model).items() if type(value) is int and not key.startswith("_")}
        for stage in stages:
            values = {key: int(value) for key, value in stage.items() if key != "until"}
            for key in values:
                if key not in numbers:
                    raise UnknownNameError("number of the network", key, numbers)
            if "until" not in stage or (self.stages and int(stage["until"]) <= self.stages[-1][0]):
                raise UsageError("Every stage of a recipe's growth needs 'until', a step later than the one before.")
            self.stages.append((int(stage["until"]), values))
        self.last = {key: numbers[key] for _, values in self.stages for key in values}

    def at(self, step: int) -> None:
        """Make the network what it is in ``step``."""
        values = next((values for until, values in self.stages if step < until), {})
        for key, value in (self.last | values).items():
            setattr(self.model, key, value)
