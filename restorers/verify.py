"""Are the embedded weights what the cards say? Hash, strict load, number of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from errors import UnveilError, WeightsError
from restorers import networks, registry
from restorers.base import count_parameters
from restorers.card import RestorerCard


@dataclass(frozen=True)
class Verdict:
    """One embedded method, and what is wrong with it: None if nothing."""

    name: str
    weights: str
    sha256: str | None
    parameters: int
    problem: str | None = None


def verify() -> Iterator[Verdict]:
    """Check every method with embedded weights, one after another, then the descriptions that offer no method."""
    for card in registry.cards():
        if card.weights is not None:
            yield verify_one(card)
    for path in sorted(networks.WEIGHTS.glob("*.json")):
        try:
            networks.read_description(path)
        except WeightsError as error:
            yield Verdict(path.stem, f"{path.stem}.safetensors", None, 0, str(error))


def verify_one(card: RestorerCard) -> Verdict:
    """Check one method: building it checks the hash and loads strictly, then the parameters are counted."""
    parameters, digest, problem = 0, None, None
    try:
        model = registry.create(card.name)
        parameters, digest = count_parameters(model), model.weights_sha256
        if parameters != card.parameters:
            problem = f"it has {parameters:,} parameters where its card says {card.parameters:,}; correct the card."
        elif digest != card.weights_sha256:
            problem = f"its weights have sha256 {digest} where its card says {card.weights_sha256}; restore the file."
    except UnveilError as error:
        problem = str(error)
    return Verdict(card.name, str(card.weights), digest, parameters, problem)
