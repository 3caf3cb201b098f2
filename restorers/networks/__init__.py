"""Networks: one paper, one file; and the weights of them that this project ships.

An *architecture* is a class that weights of any origin can be loaded into. An *embedded method* is an architecture
with weights in ``assets/weights``: ``NAME.safetensors`` and beside it ``NAME.json``, which ``python -m training
publish`` writes and which holds everything about that file that the architecture does not know. Only embedded methods
are offered by name.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import UnknownNameError, UnveilError, WeightsError, first_line
from hashing import sha256_of
from restorers.card import RestorerCard
from restorers.checkpoint import card_from
from restorers.registry import check_name

if TYPE_CHECKING:
    from torch import Tensor

    from restorers.base import Restorer

WEIGHTS = Path(__file__).resolve().parents[2] / "assets" / "weights"
"""Where embedded weights live."""


@dataclass(frozen=True)
class Architecture:
    """A network class by name; nothing is imported until it is used.

    Attributes:
        name: What ``--arch`` and weight files call it.
        module: Where it is.
        type_name: The class, a ``Restorer``.
        official: Whether the module has ``from_official(tensors) -> (config, state)`` for released checkpoints.
    """

    name: str
    module: str
    type_name: str
    official: bool = False

    def load(self) -> type[Restorer]:
        """Import the class."""
        return getattr(import_module(self.module), self.type_name)

    def convert(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, object], dict[str, Tensor]]:
        """Constructor arguments and state from a released state dictionary; names that are ours pass through."""
        if not self.official:
            return {}, dict(tensors)
        return import_module(self.module).from_official(tensors)


_ARCHITECTURES = (
    Architecture("aecr_net", "restorers.networks.aecr_net", "AecrNet", official=True),
    Architecture("clip_haze", "restorers.networks.clip_haze", "ClipHaze"),
    Architecture("scl_lle", "restorers.networks.scl_lle", "SclLle", official=True),
    Architecture("ptg_rm", "restorers.networks.ptg_rm", "PtgRm"),
    Architecture("crl_sr", "restorers.networks.crl_sr", "CrlSr"),
)


def architectures() -> dict[str, Architecture]:
    """Every network class that weights can be loaded into, by name."""
    return {architecture.name: architecture for architecture in _ARCHITECTURES}


def architecture(name: str) -> Architecture:
    """One architecture.

    Raises:
        UnknownNameError: With the nearest names.
    """
    table = architectures()
    if name not in table:
        raise UnknownNameError("architecture", name, table)
    return table[name]


def entries(folder: Path = WEIGHTS) -> Iterator[tuple[RestorerCard, Callable[[], Restorer]]]:
    """(card, factory) of every embedded method in ``folder``, by name; what the registry asks for.

    A damaged description costs its own method and a warning, not all the others. A weight file is looked at by the
    factory alone, which raises WeightsError if it is missing.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            card, facts = read_description(path)
        except WeightsError as error:
            warnings.warn(str(error), stacklevel=2)
        else:
            yield card, partial(create_embedded, card, facts, folder)


def read_description(path: Path) -> tuple[RestorerCard, dict[str, Any]]:
    """The card of an embedded method and everything else in its ``NAME.json``.

    Raises:
        WeightsError: The file is damaged, of an unknown architecture, or names a method as no method can be named.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        card = card_of(facts)
        check_name(card.name)
    except (OSError, ValueError, KeyError, TypeError, UnveilError) as error:
        raise WeightsError(
            f"{path.name} describes no method that can be offered ({first_line(error)}); check it out again, or "
            "publish the method again."
        ) from error
    return card, facts


def card_of(facts: Mapping[str, Any]) -> RestorerCard:
    """The card of an architecture with the facts of one weight file laid over it."""
    card = card_from(architecture(facts["architecture"]).load().card, facts["card"])
    return replace(card, **{key: facts["card"][key] for key in ("weights", "weights_sha256") if key in facts["card"]})


def create_embedded(card: RestorerCard, facts: Mapping[str, Any], folder: Path = WEIGHTS) -> Restorer:
    """Build a network, check its weight file's hash, and load it strictly.

    Raises:
        WeightsError: The file is missing, is not the one that was measured, or does not fit.
    """
    from restorers.base import load_weights

    path = folder / str(card.weights)
    digest = _digest(path)
    if digest != card.weights_sha256:
        raise WeightsError(
            f"{path.name} has changed since it was measured (sha256 {digest[:12]} instead of "
            f"{str(card.weights_sha256)[:12]}); restore the file, or publish it again with its own figures."
        )
    model = architecture(facts["architecture"]).load()(**facts.get("config", {}))
    load_weights(model, path)
    model.card, model.weights_sha256, model.weights_file = card, digest, path
    return model.eval()


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise WeightsError(f"The weight file {path.name} is missing from {path.parent}; check it out again.") from error
