"""One name for a model, wherever it lies: embedded, a file, a folder, or a repository on the Hub.

Whatever it is, the result is a restorer whose weights were loaded strictly, with the hash of the file they came from.
Nothing here ever hands out a network with random numbers in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UnknownNameError, UsageError, WeightsError
from restorers import checkpoint

if TYPE_CHECKING:
    import torch

    from restorers.base import Restorer
    from restorers.download import Repository

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".pk")
"""File name endings that are taken for weights."""

_PAGE = re.compile(r"https?://(?:www\.)?huggingface\.co/([^/?#]+/[^/?#]+)(?:/tree/([^/?#]+))?/?")
"""Address of a model's page, of one revision of it perhaps."""


def load(
    model: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    largest: int | None = None,
    anonymous: bool = False,
) -> Restorer:
    """Load a model by name.

    Tried in this order: a name of the registry; an existing file or folder; a Hub repository.

    Args:
        model: One of

            - a name from ``python -m restorers list``;
            - a ``.safetensors`` file that describes itself (``convert`` and ``training publish`` write them), or any
              checkpoint that spandrel knows;
            - a folder with ``config.json`` and ``model.safetensors``;
            - a Hub repository ``ORG/NAME``, ``ORG/NAME@REVISION``, or one file in it, ``ORG/NAME/FILE``;
            - ``local-dir:PATH`` or ``hf-hub:ORG/NAME``, as ``priors`` names models, or the address of a model's page.
        revision: Commit, tag or branch on the Hub. A branch is resolved to its commit once, and everything comes
            from that commit.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``; None is ``auto``.
        largest: Bytes that a file from the Hub may have; larger ones are not downloaded. None: any number.
        anonymous: Ask the Hub without the token of whoever runs this.

    Raises:
        UnknownNameError: Nothing has this name; the nearest names are offered.
        WeightsError: Missing, damaged, of another hash, not fitting, too large, or not reachable; the message says
            what to do.
        UsageError: There is no such device, or the name is empty.
    """
    from restorers.pipeline import place

    return place(_find(str(model), revision, largest, anonymous), str(device or "auto"))


def _find(model: str, revision: str | None, largest: int | None, anonymous: bool) -> Restorer:
    from restorers import registry

    if model in registry.names():
        return registry.create(model)
    scheme, _, named = model.partition(":")
    if not model.strip() or (scheme in ("local-dir", "hf-hub") and not named.strip()):
        raise UsageError("The name of the model is empty; give the name of a method, a file, a folder, or ORG/NAME.")
    if page := _PAGE.fullmatch(model):
        return _load_repository(page[1], revision or page[2], largest, anonymous)
    if scheme == "hf-hub":
        return _load_repository(named, revision, largest, anonymous)
    if scheme == "local-dir":
        model = str(Path(named).expanduser().absolute())
    path = Path(model).expanduser()
    if path.is_dir():
        return load_folder(path)
    if path.is_file():
        return load_file(path)
    local_folder = model.count("/") < 2 or Path(model.partition("/")[0]).is_dir()
    if is_local_path(model) or (path.suffix in WEIGHT_SUFFIXES and local_folder):
        raise WeightsError(f"There is no file or folder {model!r}; check the path.")
    if "/" not in model:
        raise UnknownNameError("restorer", model, registry.names())
    return _load_repository(model, revision, largest, anonymous)


def is_local_path(model: str) -> bool:
    """Whether a name can only be meant as a path: ``./x``, ``../x``, ``/x``, ``~/x``, or ``x.safetensors``."""
    return model.startswith((".", "/", "~", "\\")) or ("/" not in model and Path(model).suffix in WEIGHT_SUFFIXES)


def load_file(path: str | Path) -> Restorer:
    """A weight file: one that describes itself, or else any that spandrel recognises.

    Raises:
        WeightsError: It is damaged, or nobody knows what it is.
    """
    path = Path(path)
    if path.suffix == ".safetensors" and "architecture" in checkpoint.read_metadata(path):
        return checkpoint.load_file(path)
    from restorers.community import load_community

    return load_community(path)


def load_folder(folder: str | Path) -> Restorer:
    """A model folder: one of this project's, or else one that holds a single checkpoint that spandrel recognises.

    Raises:
        WeightsError: It is damaged, or holds no weights or several.
    """
    folder = Path(folder)
    if checkpoint.SECTION in checkpoint.read_config(folder):
        return checkpoint.load_folder(folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return load_file(folder / choose_weights(names, str(folder)))


def choose_weights(names: list[str], where: str) -> str:
    """The one weight file among the names of a folder's or repository's files.

    ``model.safetensors`` goes first; safetensors go before pickles.

    Raises:
        WeightsError: There is none, or one cannot tell which is meant.
    """
    candidates = [name for name in names if Path(name).suffix in WEIGHT_SUFFIXES]
    safe = [name for name in candidates if name.endswith(".safetensors")]
    if checkpoint.WEIGHTS_NAME in safe:
        return checkpoint.WEIGHTS_NAME
    chosen = safe or candidates
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise WeightsError(f"{where} holds no weights ({', '.join(WEIGHT_SUFFIXES)}); name a model that does.")
    more = ", ..." if len(chosen) > 5 else ""
    raise WeightsError(f"{where} holds several weight files ({', '.join(chosen[:5])}{more}); name one: {where}/FILE.")


def _load_repository(model: str, revision: str | None, largest: int | None, anonymous: bool) -> Restorer:
    from restorers.download import Repository

    name, _, asked = model.partition("@")
    parts = name.split("/", 2)
    repository = Repository("/".join(parts[:2]), revision or asked or None, largest=largest, anonymous=anonymous)
    restorer = _load_from(repository, *parts[2:])
    restorer.pinned = f"{name}@{repository.revision}"
    return restorer


def _load_from(repository: Repository, file: str | None = None) -> Restorer:
    if file is not None:
        return load_file(repository.fetch(file))
    names = repository.files()
    if checkpoint.CONFIG_NAME in names:
        folder = repository.fetch(checkpoint.CONFIG_NAME).parent
        if checkpoint.SECTION in checkpoint.read_config(folder):
            repository.fetch(checkpoint.WEIGHTS_NAME)
            return checkpoint.load_folder(folder)
    return load_file(repository.fetch(choose_weights(names, repository.name)))
