"""Weight files that say what they are: safetensors with the architecture and its arguments in the header, and folders.

A *file* carries its description in the safetensors metadata: ``architecture``, ``config`` (JSON of the constructor's
arguments), ``card`` (JSON of facts that differ from the architecture's card), ``code_version``. A *folder* is what the
Hub mixin writes: ``config.json`` with the constructor's arguments and ``model.safetensors``; the same description
lies in ``config.json`` under ``unveil``, with the hash of the weights.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from errors import WeightsError, first_line
from hashing import sha256_of
from restorers.card import Figure, RestorerCard
from version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from restorers.base import Restorer

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
SECTION = "unveil"
"""Key of our description in ``config.json``."""

_OF_THE_NETWORK = ("scale", "size_multiple", "min_size", "tiling", "receptive_field", "parameters")
"""Facts that follow from the network as it was built; what a file says of them is not believed."""
_COARSEST = 64
"""A file may ask for padding to a multiple of what its network needs, up to so many pixels."""
_LARGEST_NUMBER = 1 << 63
_UNFIT = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError)
"""What PyTorch and a network raise when they are built with arguments that mean nothing."""


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata in the header of a safetensors file; the tensors are not read.

    Raises:
        WeightsError: The file is missing, or is not a whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no weight file {str(path)!r}; check the path or download it again.")
    try:
        with safe_open(path, framework="np") as stream:
            return stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is damaged or cut off ({error}); download it again.") from error


@dataclass(frozen=True)
class Description:
    """What a weight file says about itself.

    Attributes:
        architecture: See :func:`restorers.networks.architectures`.
        config: Constructor arguments.
        facts: What of its card differs from the architecture's.
    """

    architecture: str
    config: dict[str, Any]
    facts: dict[str, Any]


def described(path: str | Path) -> Description | None:
    """What a weight file says about itself; None if it says nothing.

    Raises:
        WeightsError: The file is missing or damaged, or its description is.
    """
    path, metadata = Path(path), read_metadata(path)
    if "architecture" not in metadata:
        return None
    return Description(metadata["architecture"], _json(metadata, "config", path), _json(metadata, "card", path))


def card_facts(card: RestorerCard) -> dict[str, Any]:
    """What of a card travels with weights: all but the embedded file's name and the hash, which a file cannot hold."""
    return {key: value for key, value in asdict(card).items() if key not in ("weights", "weights_sha256")}


def card_from(base: RestorerCard, facts: Mapping[str, Any]) -> RestorerCard:
    """An architecture's card with facts of one weight file laid over it; unknown facts are passed over.

    Raises:
        WeightsError: A fact is not of its kind; strangers' cards stand beside ours on pages.
    """
    changes = _checked(RestorerCard, facts, "card")
    if "figures" in changes:
        changes["figures"] = tuple(Figure(**_checked(Figure, one, "figures")) for one in changes["figures"])
    return replace(base, **{key: value for key, value in changes.items() if key not in ("weights", "weights_sha256")})


def architecture_of(model: Restorer) -> str:
    """Name of the architecture that a restorer is an instance of.

    Raises:
        WeightsError: It is none of the networks; there is nothing to save.
    """
    from restorers.networks import architectures

    for name, entry in architectures().items():
        if entry.module == type(model).__module__ and entry.type_name == type(model).__name__:
            return name
    raise WeightsError(
        f"{model.card.title} is not one of this project's networks, so there are no weights of it to save or share."
    )


def constructor_arguments(model: Restorer) -> dict[str, Any]:
    """Plain arguments that build this network again, as the Hub mixin remembers them."""
    return dict(getattr(model, "_hub_mixin_config", None) or {})


def remember_arguments(model: Restorer, **arguments: Any) -> None:
    """Replace some of the arguments that build a network again: those that were not plain, or are known only later."""
    model._hub_mixin_config = {**constructor_arguments(model), **arguments}


def build(architecture_name: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> Restorer:
    """An architecture with given arguments and no weights yet.

    Raises:
        UnknownNameError: No such architecture.
        WeightsError: The arguments do not fit it, or the facts are not of their kinds.
    """
    from restorers.networks import architecture

    kind = architecture(architecture_name).load()
    try:
        model = kind(**config)
        told = card_from(model.card, facts)
    except _UNFIT as error:
        raise WeightsError(
            f"The description of these weights does not fit {kind.__name__} ({first_line(error)}); they were made by "
            "another version of it."
        ) from error
    own = {key: getattr(model.card, key) for key in _OF_THE_NETWORK}
    if told.size_multiple in range(own["size_multiple"], _COARSEST + 1, own["size_multiple"]):
        own["size_multiple"] = told.size_multiple
    model.card = replace(told, **own)
    return model


def save_file(path: str | Path, architecture_name: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor],
              facts: Mapping[str, Any] | None = None, **provenance: str) -> str:  # fmt: skip
    """Write a weight file that describes itself, whole or not at all; returns its sha256.

    Args:
        path: Ends in ``.safetensors``.
        architecture_name: See :func:`restorers.networks.architectures`.
        config: Constructor arguments, plain values.
        tensors: The state dictionary.
        facts: Facts for the card that differ from the architecture's.
        provenance: More metadata, such as the hash of the file that was converted.
    """
    from safetensors.torch import save_file as write

    path = Path(path)
    metadata = {
        "format": "pt",
        "architecture": architecture_name,
        "config": json.dumps(dict(config), sort_keys=True),
        "card": json.dumps(dict(facts or {}), sort_keys=True),
        "code_version": __version__,
        **provenance,
    }
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write({key: tensor.contiguous() for key, tensor in tensors.items()}, part, metadata)
        part.replace(path)
    except OSError as error:
        raise WeightsError(f"Cannot write {str(path)!r} ({error}); check the folder.") from error
    return sha256_of(path)


def load_file(path: str | Path) -> Restorer:
    """Build the network that a self-describing weight file names, and load it strictly.

    Raises:
        WeightsError: Missing, damaged, without a description, or not fitting.
    """
    from restorers.base import load_weights

    path = Path(path)
    description = described(path)
    if description is None:
        raise WeightsError(f"{path.name} does not say which network it is for; convert it with --arch NAME.")
    model = build(description.architecture, description.config, description.facts)
    load_weights(model, path)
    model.weights_sha256, model.weights_file = sha256_of(path), path
    return model.eval()


def read_config(folder: str | Path) -> dict[str, Any]:
    """``config.json`` of a model folder; empty if there is none.

    Raises:
        WeightsError: It is not a JSON object.
    """
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}); download the model again.") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} is not a JSON object; download the model again.")
    return config


def load_folder(folder: str | Path) -> Restorer:
    """Build and strictly load the network in a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        WeightsError: A file is missing or damaged, the hash is not the one that ``config.json`` names, or the
            weights do not fit.
    """
    from restorers.base import load_weights

    folder = Path(folder)
    config = read_config(folder)
    section = config.get(SECTION)
    if not isinstance(section, dict) or not isinstance(section.get("architecture"), str):
        raise WeightsError(
            f"{folder}/{CONFIG_NAME} does not name one of this project's architectures, so it cannot be loaded by name."
        )
    path = folder / WEIGHTS_NAME
    read_metadata(path)
    digest, wanted = sha256_of(path), section.get("weights_sha256")
    if wanted and digest != wanted:
        raise WeightsError(
            f"{path} is not the file that its description names (sha256 {digest[:12]} instead of {str(wanted)[:12]}); "
            "delete it and download it again."
        )
    arguments = {key: value for key, value in config.items() if key != SECTION}
    model = build(section["architecture"], arguments, section.get("card", {}))
    load_weights(model, path)
    model.weights_sha256, model.weights_file = digest, path
    return model.eval()


def write_config(folder: str | Path, model: Restorer, weights_sha256: str) -> None:
    """Write ``config.json`` of a model folder: constructor arguments, and our description of the weights."""
    section = {
        "architecture": architecture_of(model),
        "weights_sha256": weights_sha256,
        "code_version": __version__,
        "card": card_facts(model.card),
    }
    config = {**constructor_arguments(model), SECTION: section}
    (Path(folder) / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _checked(kind: type[RestorerCard | Figure], facts: object, where: str) -> dict[str, Any]:
    """The facts that ``kind`` has fields for, each of its field's type."""
    if not isinstance(facts, Mapping):
        raise _unfit(where, facts)
    hints = get_type_hints(kind)
    known = {key: value for key, value in facts.items() if key in hints}
    for key, value in known.items():
        if not _fits(value, hints[key]):
            raise _unfit(key, value)
    return known


def _fits(value: object, hint: Any) -> bool:
    """Whether a value out of JSON is of a field's type; a number must be one that can be shown, a count at least 0."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in (int, float):
        number = isinstance(value, int | hint) and not isinstance(value, bool)
        return number and (0 if hint is int else -_LARGEST_NUMBER) <= value < _LARGEST_NUMBER
    return isinstance(value, list | tuple if get_origin(hint) is tuple else hint)


def _unfit(key: str, value: object) -> WeightsError:
    return WeightsError(
        f"The description of these weights is damaged ({key} cannot be {reprlib.repr(value)}); correct it where they "
        "were made, or choose other weights."
    )


def _json(metadata: Mapping[str, str], key: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(key) or "{}")
    except ValueError as error:
        raise WeightsError(f"The description in {path.name} is damaged ({error}); convert it again.") from error
    if not isinstance(value, dict):
        raise WeightsError(f"The description in {path.name} is damaged ({key} is no object); convert it again.")
    return value
