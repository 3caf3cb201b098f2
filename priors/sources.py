"""Where a CLIP comes from, and loading it so that it is never random.

open_clip's ``create_model`` hands back a randomly initialised network when weights are missing, with a logged warning
at most. Here every way of loading ends in the real weights or in one sentence that says which file to put where.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import PromptError, UnknownNameError, UsageError
from hashing import sha256_of

if TYPE_CHECKING:
    from torch import nn

EMBEDDED = Path(__file__).parent.parent / "assets" / "weights" / "haze_clip"
"""The folder of the embedded model; ``manifest.json`` in it pins the bytes of the others."""

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
FORMS = "embedded, local-dir:FOLDER, hf-hub:ORG/NAME, or NAME:TAG such as ViT-B-32:laion2b_s34b_b79k"


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer and the hash of its weights."""

    name: str
    model: nn.Module
    tokenizer: Any
    sha256: str


def load(name: str) -> Loaded:
    """Load a CLIP by name, on the CPU, in evaluation mode, strictly.

    Args:
        name: ``embedded``, ``local-dir:FOLDER``, ``hf-hub:ORG/NAME`` or ``NAME:TAG`` (the tag may be a weight file).

    Raises:
        UsageError: the name has none of these forms.
        UnknownNameError: open_clip knows no such architecture or tag.
        PromptError: weights or configuration cannot be had, are damaged, or do not fit.
    """
    if name == "embedded":
        verify_embedded()
        return _from_folder(EMBEDDED, name)
    scheme, _, rest = name.partition(":")
    if not rest:
        raise UsageError(f"{name!r} names no CLIP; give {FORMS}.")
    if scheme == "local-dir":
        return _from_folder(Path(rest), name)
    if scheme == "hf-hub":
        return _from_hub(rest, name)
    return _from_tag(scheme, rest, name)


@cache
def manifest() -> dict[str, Any]:
    """What is known about the embedded model: file hashes, recipe, figures.

    Raises:
        PromptError: the manifest is not there.
    """
    path = EMBEDDED / "manifest.json"
    if not path.is_file():
        raise PromptError(f"The embedded haze CLIP is not installed: {path} is missing; restore it.")
    return json.loads(path.read_text(encoding="utf-8"))


def verify_embedded() -> None:
    """Compare the embedded files with the manifest.

    Raises:
        PromptError: a file is missing or its bytes changed.
    """
    for file, expected in manifest()["sha256"].items():
        path = EMBEDDED / file
        if not path.is_file():
            raise PromptError(f"The embedded haze CLIP lacks {file}; put it back into {EMBEDDED}.")
        if (found := sha256_of(path)) != expected:
            raise PromptError(
                f"{path} is not the file it should be (sha256 {found[:12]}, expected {expected[:12]}); restore it."
            )


def hash_state(model: nn.Module) -> str:
    """sha256 of a model's parameters by name, in hex: the same for the same values, whatever file held them."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {tuple(value.shape)}".encode())
        digest.update(value.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def weight_file(folder: Path) -> Path | None:
    """The file that open_clip would take from a folder: the preferred names first, safetensors before pickles."""
    preferred = (
        "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
        "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
    )  # fmt: skip
    found = [p for suffix in ("safetensors", "bin", "pth") for p in sorted(folder.glob(f"*.{suffix}"))]
    named = sorted((p for p in found if p.name in preferred), key=lambda p: preferred.index(p.name))
    return (named or found or [None])[0]


def _from_folder(folder: Path, name: str) -> Loaded:
    wanted = f"a folder with {CONFIG} and {WEIGHTS}"
    if not folder.is_dir():
        raise PromptError(f"There is no folder {folder}; local-dir: needs {wanted}.")
    config = folder / CONFIG
    if not config.is_file():
        raise PromptError(f"{folder} has no {CONFIG}; local-dir: needs {wanted}.")
    try:
        model_config = json.loads(config.read_text(encoding="utf-8"))["model_cfg"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise PromptError(f"{config} is not an open_clip configuration: it needs JSON with a model_cfg.") from None
    weights = weight_file(folder)
    if weights is None:
        raise PromptError(f"{folder} has a configuration but no weights; put {WEIGHTS} beside {CONFIG}.")
    if model_config.get("text_cfg", {}).get("hf_tokenizer_name") and not (folder / "tokenizer_config.json").is_file():
        raise PromptError(f"{config} names a Hugging Face tokenizer, but {folder} has no tokenizer files; add them.")
    model, tokenizer = _create(f"local-dir:{folder}", None, name, weights)
    return Loaded(name, model, tokenizer, sha256_of(weights))


def _from_hub(repo: str, name: str) -> Loaded:
    model, tokenizer = _create(f"hf-hub:{repo}", None, name, None)
    return Loaded(name, model, tokenizer, hash_state(model))


def _from_tag(architecture: str, tag: str, name: str) -> Loaded:
    import open_clip

    if architecture not in open_clip.list_models():
        raise UnknownNameError("CLIP architecture", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag.lower().replace("-", "_") not in {t.lower().replace("-", "_") for t in tags} and not Path(tag).is_file():
        raise UnknownNameError(f"pretrained tag of {architecture}", tag, tags)
    model, tokenizer = _create(architecture, tag, name, None)
    return Loaded(name, model, tokenizer, hash_state(model))


def _create(identifier: str, tag: str | None, name: str, weights: Path | None) -> tuple[nn.Module, Any]:
    """Call open_clip and turn what it raises into sentences."""
    import logging

    import open_clip
    from safetensors import SafetensorError

    # open_clip announces every step of loading on the root logger; what matters is raised below.
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        model = open_clip.create_model_from_pretrained(identifier, tag, return_transform=False)
        tokenizer = open_clip.get_tokenizer(identifier)
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, ImportError, SafetensorError, EOFError) as error:
        raise PromptError(_explain(error, name, weights)) from error
    finally:
        logging.disable(previous)
    model.eval().requires_grad_(False)
    _check_tokenizer(model, tokenizer, name)
    return model, tokenizer


def _explain(error: Exception, name: str, weights: Path | None) -> str:
    text = " ".join(str(error).split())
    for symptom in ("size mismatch", "Missing key", "Unexpected key"):
        if symptom in text:
            what = text[text.find(symptom) :][:160]
            where = str(weights) if weights else f"The weights of {name}"
            return f"{where} do not fit the configured architecture ({what}); take both files from one model."
    if weights is not None:
        what = f"{type(error).__name__}: {text[:200]}"
        return f"{weights} or its configuration cannot be loaded ({what}); replace the damaged file."
    return (
        f"{name} could not be fetched from the Hub ({text[:200]}); with no network put its {CONFIG} and {WEIGHTS} "
        f"into a folder and give local-dir:FOLDER."
    )


def _check_tokenizer(model: nn.Module, tokenizer: Any, name: str) -> None:
    """A tokenizer that makes ids beyond the embedding table, or longer texts than there are positions, is another's."""
    size = getattr(model, "vocab_size", None) or getattr(getattr(model, "text", None), "vocab_size", None)
    known = getattr(tokenizer, "vocab_size", None)
    if size and known and known > size:
        raise PromptError(
            f"{name} has {size} token embeddings but its tokenizer knows {known}; the tokenizer is another model's."
        )
    length = getattr(model, "context_length", None)
    if length and tokenizer(["haze"]).shape[1] > length:
        raise PromptError(f"{name} reads {length} tokens but its tokenizer makes longer texts; it is another model's.")
