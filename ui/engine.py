"""What all tabs share: the settings, models that are kept loaded, the stored rows, the jobs."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from errors import ImageError, UnknownNameError
from eval.store import Store
from images import Picture, read_picture, write_picture
from restorers import registry
from restorers.card import TASKS, RestorerCard
from restorers.device import gpu
from ui import html
from ui.jobs import Jobs
from ui.seen import Encodings
from ui.session import Scratch, safe_stem
from ui.settings import Settings

if TYPE_CHECKING:
    from restorers.base import Restorer
    from restorers.pipeline import Restored

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"
PLAIN = re.compile(r"[\w.@-]+")
REFINED = "+ptg_rm"
"""How the name of a method ends that has the refinement module behind it."""

KEPT_MODELS = 4
"""Models kept in memory; the one used longest ago goes first."""


@dataclass(frozen=True)
class RestoreResult:
    """Files and facts of one restoration.

    Attributes:
        before: PNG of the input as it was decoded, at the size of ``after``.
        after: PNG of the result.
        record: HTML: time, size, method, and what the reader did to the file.
    """

    before: Path
    after: Path
    record: str


class Engine:
    """Shared state of the server; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scratch = Scratch()
        self.jobs = Jobs(settings)
        self.encodings = Encodings()
        self.store = Store(settings.rows)
        self._models: OrderedDict[str, Restorer] = OrderedDict()
        self._visiting: dict[str, RestorerCard] = {}
        self._lock = Lock()

    def restorer(self, name: str) -> Restorer:
        """A loaded model: a built-in name, or the id of a Hub repository. Paths of this machine are refused.

        Raises:
            UnknownNameError: No such method.
            WeightsError: Its weights are missing or damaged.
        """
        if name not in registry.names():
            check_repository_id(name)
        with self._lock:
            if name not in self._models:
                from restorers.hub import load

                self._models[name] = load(name)
            self._models.move_to_end(name)
            while len(self._models) > KEPT_MODELS:
                self._models.popitem(last=False)
            return self._models[name]

    def load(self, name: str) -> RestorerCard:
        """Load a model of a Hub repository and list it beside the built-in methods; returns its card.

        Raises:
            HubError: It is no repository id, cannot be had, or is of no known kind.
        """
        facts = replace(self.restorer(name).card, name=name)
        if name not in registry.names():
            self._visiting[name] = facts
        return facts

    def cards(self, task: str | None = None) -> list[RestorerCard]:
        """Cards of the built-in methods and of loaded models."""
        return registry.cards(task) + [one for one in self._visiting.values() if task in (None, one.task)]

    def card(self, name: str) -> RestorerCard:
        """Card of a built-in method or a loaded model."""
        return self._visiting.get(name) or registry.card(name)

    def method_choices(self, task: str, chosen: str | None = None) -> dict[str, Any]:
        """Choices and value of a list of the methods for a task; those with a refinement behind them are left out."""
        cards = [card for card in self.cards(task) if not card.name.endswith(REFINED)]
        value = chosen or registry.RECOMMENDED.get(task) or cards[0].name
        return {"choices": [(card.title, card.name) for card in cards], "value": value}

    def refined(self, name: str) -> str | None:
        """The method that is ``name`` and PTG-RM, trained together, if there is one."""
        return name + REFINED if name + REFINED in registry.names() else None

    def ranking_choices(self) -> list[tuple[str, str]]:
        """Everything that can be ranked without uploading results."""
        known = [
            (f"{card.title} · {words.lower()}", card.name) for task, words in TASKS.items() for card in self.cards(task)
        ]
        return [("input (nothing done)", "input"), *known]

    def restore_upload(self, path: str | None, name: str, request: gr.Request | None = None) -> RestoreResult:
        """Restore an uploaded picture, and write what the page shows.

        Raises:
            ImageError: No picture, or one that cannot be read.
            HubError: The method cannot run.
        """
        if not path:
            raise ImageError("There is no picture yet; drop one, or click an example.")
        picture = read_picture(path)
        model = self.restorer(name)
        done = run(model, picture)
        folder = self.scratch.folder(request)
        stem = safe_stem(picture.name)
        after, before = folder / f"{stem}-{safe_stem(name)}.png", folder / f"{stem}-before.png"
        write_picture(after, done.pixels)
        write_picture(before, enlarged(to_8_bit(picture.pixels), *done.pixels.shape[:2]))
        return RestoreResult(before, after, _record(picture, model.card, done))


@gpu(duration=60)
def run(model: Restorer, picture: Picture) -> Restored:
    """Restore; on a ZeroGPU Space this is the part that borrows the GPU."""
    from restorers.pipeline import restore

    return restore(model, picture)


def check_repository_id(name: str) -> str:
    """The id of a Hub repository as it came, if it is one; what a visitor types must never open a file here.

    Raises:
        UnknownNameError: It is neither a built-in method nor an id.
    """
    owner, slash, repository = name.partition("/")
    plain = all(part and not part.startswith(".") and PLAIN.fullmatch(part) for part in (owner, repository))
    if not (slash and plain) or Path(name).exists():
        raise UnknownNameError("method", name, registry.names())
    return name


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Pixels for the screen."""
    return pixels if pixels.dtype == np.uint8 else np.round(pixels / 257).astype(np.uint8)


def enlarged(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every pixel repeated, so that a small input lies exactly under its enlargement."""
    vertical, horizontal = height // pixels.shape[0], width // pixels.shape[1]
    return pixels if vertical == horizontal == 1 else pixels.repeat(vertical, axis=0).repeat(horizontal, axis=1)


def _record(picture: Picture, card: RestorerCard, done: Restored) -> str:
    height, width = done.pixels.shape[:2]
    megapixels = picture.height * picture.width / 1e6
    figures = [
        ("time", f"{done.seconds:.2f} s" if done.seconds >= 0.095 else f"{1000 * done.seconds:.0f} ms"),
        ("per megapixel", f"{done.seconds / megapixels:.2f} s"),
        ("result", f"{width} × {height}"),
    ]
    ran = f"{done.device}, {done.dtype}" + (f", {done.tiles} tiles" if done.tiles > 1 else "")
    facts = [
        ("File", f"{picture.name}, {picture.width} × {picture.height}"),
        ("Reader", "; ".join(picture.notes) or "pixels taken as they are"),
        ("Method", f"{card.title} ({card.name}): {card.summary}"),
        ("Paper", card.paper),
        ("Trained on", card.trained_on),
        ("Weights", f"sha256 {done.weights_sha256[:16]}…" if done.weights_sha256 else ""),
        ("Ran on", "; ".join((ran, *done.notes))),
    ]
    return html.numbers(figures) + html.facts(facts)
