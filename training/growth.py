"""Growth: a network that repeats a shared block is trained with few repetitions first.

A network that applies one block several times costs several times as much as with one application, and has the same
weights. Where time is short, the first steps are better spent on many cheap versions of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from errors import check_names
from training.entries import whole
from training.stages import Stages, ends


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
        numbers = {key: value for key, value in vars(model).items() if type(value) is int and not key.startswith("_")}
        until = ends(stages, "data.growth")
        values = [
            {key: whole(value, f"data.growth.{key}") for key, value in stage.items() if key != "until"}
            for stage in stages
        ]
        check_names("number of the network", (key for stage in values for key in stage), numbers)
        self.last = {key: numbers[key] for stage in values for key in stage}
        self._stages = Stages(until, values, {})

    def at(self, step: int) -> None:
        """Make the network what it is in ``step``."""
        for key, value in (self.last | self._stages.at(step)).items():
            setattr(self.model, key, value)
