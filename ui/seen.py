"""Pictures as a vision-language model sees them, kept so that new words cost milliseconds, and drawn as overlays."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from errors import PromptError, SetError, UsageError
from eval.archives import UPLOAD_LIMITS
from eval.layouts import list_any
from images import Picture
from ui.locks import Locks

if TYPE_CHECKING:
    import pandas

    from priors.clip import ClipPrior
    from priors.density import EncodedPicture
    from priors.prompts import PromptSet

KEPT_PICTURES = 48
"""Encoded pictures kept in memory, of all visitors together; the one used longest ago goes first."""

KEPT_BYTES = 256 << 20
"""Memory that they may take together; the one used last is kept whatever it takes."""

KEPT_MODELS = 2
"""Models whose pictures are kept, as many as ``priors.clip.load`` keeps: a picture keeps its model in memory."""

MOST_PICTURES = 24
"""Pictures of one upload that are shown; a labelled set for comparing words may be larger."""

MOST_LABELLED = 1000
_NAME = re.compile(r"[\w.-]+")


class Encodings:
    """Encoded pictures by model and content, and which models visitors have brought here.

    Args:
        largest: Bytes that a file of a visitor's model may have; None: any number, and the Hub is not asked.
    """

    def __init__(self, largest: int | None = None) -> None:
        self.largest = largest
        self._kept: OrderedDict[tuple[str, str, bool], EncodedPicture] = OrderedDict()
        self._brought = {"embedded"}
        self._lock = Lock()
        self._working = Locks()

    def bring(self, clip: str) -> None:
        """Load a model that a visitor names; the first time that may take minutes, so nobody else waits for it.

        Raises:
            UsageError: It is no name that a visitor may give.
            WeightsError: It is larger than this server loads, or cannot be reached.
            PromptError: It cannot be loaded.
        """
        from priors.clip import load

        name = check_clip_name(clip)
        with self._working.of(name):
            if name not in self._brought:
                check_clip_size(name, self.largest)
                load(name)
                self._brought.add(name)

    def brought(self, clip: str) -> str:
        """The name of a model that is here.

        Raises:
            UsageError: It is no name that a visitor may give, or nobody has loaded it yet.
        """
        name = check_clip_name(clip)
        if name not in self._brought:
            raise UsageError(f"{name} is not loaded yet; press Enter in the box with its name, and wait for it.")
        return name

    def of(self, picture: Picture, clip: str, *, maps: bool) -> EncodedPicture:
        """The picture, encoded at most once.

        Args:
            picture: The picture.
            clip: Name of the model.
            maps: Whether a map is wanted; that takes many times longer than a score.
        """
        from priors.clip import load
        from priors.density import encode_picture

        wanted = (clip, picture.sha256, maps)
        with self._working.of(clip):
            with self._lock:
                key = next((k for k in (wanted, (*wanted[:2], True)) if k in self._kept), wanted)
                encoded = self._kept.get(key)
            if encoded is None:
                encoded = encode_picture(load(clip), picture, maps=maps)
            with self._lock:
                self._kept[key] = encoded
                self._kept.move_to_end(key)
                self._drop()
            return encoded

    def _drop(self) -> None:
        """Let go of what is too much, of the models used longest ago and then of the pictures."""
        models = list(dict.fromkeys(name for name, _, _ in reversed(self._kept)))[:KEPT_MODELS]
        for key in [key for key in self._kept if key[0] not in models]:
            del self._kept[key]
        size = sum(one.nbytes for one in self._kept.values())
        while len(self._kept) > 1 and (len(self._kept) > KEPT_PICTURES or size > KEPT_BYTES):
            size -= self._kept.popitem(last=False)[1].nbytes


def check_clip_name(name: str) -> str:
    """A name of a CLIP that a visitor may give: never a path of this machine.

    Raises:
        UsageError: It is none of ``embedded``, ``hf-hub:ORG/NAME`` and ``ARCHITECTURE:TAG``.
    """
    scheme, colon, rest = name.strip().partition(":")
    parts = rest.split("/")
    plain = all(_NAME.fullmatch(part) and not part.startswith(".") for part in (scheme, *parts)) if colon else False
    hub = plain and scheme == "hf-hub" and len(parts) == 2
    tag = plain and scheme not in ("hf-hub", "local-dir") and len(parts) == 1 and not Path(rest).exists()
    if name.strip() == "embedded" or hub or tag:
        return name.strip()
    raise UsageError(
        f"{name!r} is no model that can be loaded here; give embedded, hf-hub:ORG/NAME, or ARCHITECTURE:TAG such as "
        "ViT-B-32:laion2b_s34b_b79k."
    )


def check_clip_size(name: str, largest: int | None) -> None:
    """Refuse a CLIP of the Hub that is private or has a file of more than ``largest`` bytes.

    What is no name of one passes.

    Raises:
        WeightsError: It is larger, or the Hub has no such model or cannot be reached.
        UsageError: That cannot be the name of a repository.
    """
    from open_clip import get_pretrained_cfg

    from restorers.download import Repository

    scheme, _, rest = name.partition(":")
    place = rest if scheme == "hf-hub" else get_pretrained_cfg(scheme, rest).get("hf_hub", "")
    if place and largest is not None:
        owner, name, file = (*place.split("/"), "", "")[:3]
        found = Repository(f"{owner}/{name}", largest=largest, anonymous=True)
        for filename in [file] if file else found.files():
            found.check_size(filename)


def overlay(picture: Picture, density: np.ndarray, opacity: float, *, stretch: bool = False) -> np.ndarray:
    """The picture with its density map on top.

    Args:
        picture: The picture.
        density: Float32 (H, W) in [0, 1].
        opacity: 0 shows the picture, 1 the map alone.
        stretch: Spread the colours over the map's own range; else they stand for 0 to 1.

    Returns:
        Uint8 (H, W, 3).
    """
    import cv2

    if stretch:
        low, high = float(density.min()), float(density.max())
        density = (density - low) / max(high - low, 1e-6)
    heat = cv2.applyColorMap(np.round(density * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    mixed = picture.to_float() * 255 * (1 - opacity) + heat.astype(np.float32) * opacity
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def compare_words(
    prior: ClipPrior, archive: str | Path, sets: Sequence[PromptSet]
) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """Rank prompt sets on a zip or folder with two folders in it, such as ``hazy`` and ``clear``.

    Returns:
        The table of :func:`priors.evaluate.rank`, and a sentence for each picture that could not be read.

    Raises:
        SetError: The zip does not say which pictures are hazy and which are clear, or holds too many.
        PromptError: There is no prompt set, or one of the folders has no readable picture.
    """
    from priors.evaluate import encode_labelled, rank

    if not sets:
        raise PromptError("There are no words to compare; tick at least one prompt set.")
    listing = list_any(archive, UPLOAD_LIMITS)
    if not listing.inputs or not listing.other_side:
        raise SetError("The zip must hold two folders of pictures, one called hazy and one called clear; rename them.")
    sides = ((True, listing.inputs), (False, listing.other_side))
    readers = [(source.read, is_hazy) for is_hazy, side in sides for source in side]
    if len(readers) > MOST_LABELLED:
        raise SetError(f"The zip holds more than {MOST_LABELLED} pictures; that many are not needed, take some out.")
    labelled = encode_labelled(prior, readers)
    return rank(prior, labelled, sets), labelled.skipped
