"""What all tabs share: the settings, models that are kept loaded, the stored rows, the jobs."""

from __future__ import annotations

import logging
import re
import reprlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from errors import ImageError, UnknownNameError, UnveilError, UsageError, WeightsError
from eval.methods import INPUT
from eval.store import Store
from images import Picture, read_picture, to_8_bit, write_picture
from restorers import registry
from restorers.card import TASKS, RestorerCard
from restorers.checkpoint import constructor_arguments
from restorers.device import gpu
from ui import html
from ui.jobs import Jobs
from ui.locks import Locks
from ui.seen import Encodings, check_clip_size
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

LOADING = {"concurrency_id": "load", "concurrency_limit": 2, "api_visibility": "private"}
"""Options of events that may download for minutes: nobody who restores waits for them."""

SWEEP_SECONDS = 600.0
"""How often the server looks for pictures whose time has come."""


@dataclass(frozen=True)
class RestoreResult:
    """Files and facts of one restoration.

    Attributes:
        before: PNG of the input as it was decoded, at the size of ``after``; None where it was not asked for.
        after: PNG of the result.
        record: HTML: time, size, method, and what the reader did to the file.
    """

    before: Path | None
    after: Path
    record: str


class Engine:
    """Shared state of the server; safe to use from several threads.

    Attributes:
        missing: A sentence for each model of the settings that is not offered.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            settings.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"UNVEIL_DATA={str(settings.data)!r} cannot be made ({error.strerror}); name another folder."
            ) from error
        self.scratch = Scratch()
        self.jobs = Jobs(settings)
        self.encodings = Encodings(settings.max_model)
        self.store = Store(settings.rows)
        self.missing: list[str] = []
        self._models: OrderedDict[str, Restorer] = OrderedDict()
        self._added: dict[str, RestorerCard] = {}
        self._places: dict[str, str] = {}
        self._owned: set[str] = set()
        self._lock = Lock()
        self._loading = Locks()

    def keep_sweeping(self, seconds: float = SWEEP_SECONDS) -> Event:
        """Delete pictures whose time has come, again and again in a thread of its own, until the event is set."""
        stop = Event()

        def work() -> None:
            while not stop.wait(seconds):
                try:
                    self.jobs.sweep()
                    self.scratch.sweep()
                except Exception:
                    logging.getLogger(__name__).exception("old pictures could not be deleted; the next try is soon")

        Thread(target=work, name="sweep", daemon=True).start()
        return stop

    def offer_models(self) -> None:
        """Load the models that the settings name; they may be folders, and of any size.

        One that cannot be loaded is a sentence in the log and in ``missing``, and the others are offered.
        """
        for model in self.settings.models:
            try:
                self.load(self._own(model))
            except Exception as error:
                known = isinstance(error, UnveilError)
                reason = str(error) if known else "it failed in its own way; the log of the server has the details."
                named = Path(model).name if model.startswith("local-dir:") else model
                self.missing.append(f"The model {named} of this server is not offered: {reason}")
                logging.getLogger(__name__).error("UNVEIL_MODELS: %s: %s", model, reason, exc_info=not known)

    def _own(self, model: str) -> str:
        """The name under which a model of the settings is offered; from now on its place may be loaded.

        Raises:
            UsageError: A folder's name is no name for a method, or is taken.
            UnknownNameError: It is neither a folder, nor the id of a repository, nor a built-in name.
        """
        name = place = model.removeprefix("hf-hub:")
        scheme, _, folder = model.partition(":")
        if scheme == "local-dir" and folder:
            path = Path(folder).expanduser().absolute()
            name, place = path.name, f"local-dir:{path}"
            if not PLAIN.fullmatch(name) or name in (INPUT, *registry.names(), *self._places):
                raise UsageError(
                    f"{name!r} is taken or no name for a method; rename the folder with letters, digits, '.', '-', '_'."
                )
            self._places[name] = place
        elif name not in registry.names():
            check_repository_id(name)
        self._owned.add(place)
        return name

    def restorer(self, name: str) -> Restorer:
        """A loaded model: a built-in name, one of the settings, or the id of a Hub repository.

        Paths of this machine are refused. A repository stays at the commit that was loaded first.

        Raises:
            UnknownNameError: No such method.
            WeightsError: Its weights are missing, damaged, or larger than this server loads.
        """
        name = name.removeprefix("hf-hub:")
        place = self._places.get(name, name)
        if place not in self._owned and place not in registry.names():
            check_repository_id(place)
        with self._loading.of(name):
            place = self._places.get(name, name)  # somebody may have loaded it meanwhile
            with self._lock:
                model = self._models.get(place)
            if model is None:
                model = self._load(place)
                if model.pinned:
                    if place in self._owned:
                        self._owned.add(model.pinned)
                    place = self._places[name] = model.pinned
            with self._lock:
                self._models[place] = model
                self._models.move_to_end(place)
                while len(self._models) > KEPT_MODELS:
                    self._models.popitem(last=False)
            return model

    def _load(self, place: str) -> Restorer:
        from restorers.hub import load

        if place in registry.names():
            return load(place)
        owned = place in self._owned
        largest = None if owned else self.settings.max_model
        model = load(place, largest=largest, anonymous=not owned)
        if not place.startswith("local-dir:"):
            check_arguments(constructor_arguments(model), largest)
        return model

    def load(self, name: str) -> RestorerCard:
        """Load a model and list it beside the built-in methods; returns its card.

        Raises:
            UnveilError: It is no repository id, cannot be had, or is of no known kind.
        """
        name = name.removeprefix("hf-hub:")
        facts = replace(self.restorer(name).card, name=name)
        if name not in registry.names():
            self._added[name] = facts
        return facts

    def is_owned(self, name: str) -> bool:
        """Whether the settings name this model, and not a visitor."""
        return self._places.get(name, name) in self._owned

    def as_method(self, name: str) -> str:
        """What a job is told: the name, and the place of the very files that are loaded here under it."""
        place = self._places.get(name)
        if place is None:
            return name
        return f"{name}={place if place.startswith('local-dir:') else f'hf-hub:{place}'}"

    def cards(self, task: str | None = None) -> list[RestorerCard]:
        """Cards of the built-in methods and of loaded models."""
        return registry.cards(task) + [one for one in self._added.values() if task in (None, one.task)]

    def card(self, name: str) -> RestorerCard:
        """Card of a built-in method or a loaded model."""
        return self._added.get(name) or registry.card(name)

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

    def restore_upload(
        self, path: str | None, name: str, request: gr.Request | None = None, *, before: bool = True
    ) -> RestoreResult:
        """Restore an uploaded picture, and write what the page shows.

        Args:
            path: The picture.
            name: The method.
            request: Whose it is; None for programs.
            before: Whether to write the input too, to compare with.

        Raises:
            ImageError: No picture, or one that cannot be read.
            UnveilError: The method cannot run.
        """
        if not path:
            raise ImageError("There is no picture yet; drop one, or click an example.")
        picture = read_picture(path)
        model = self.restorer(name)
        done = run(model, picture)
        folder = self.scratch.folder(request)
        stem = safe_stem(picture.name)
        after = folder / f"{stem}-{safe_stem(name)}.png"
        write_picture(after, done.pixels)
        beside = folder / f"{stem}-before.png" if before else None
        if beside is not None:
            write_picture(beside, enlarged(to_8_bit(picture.pixels), *done.pixels.shape[:2]))
        return RestoreResult(beside, after, _record(picture, model.card, done))


@gpu(duration=60)
def run(model: Restorer, picture: Picture) -> Restored:
    """Restore; on a ZeroGPU Space this is the part that borrows the GPU.

    Raises:
        ImageError: The model cannot work on the picture, or failed on it in its own way.
    """
    from restorers.pipeline import restore_picture

    return restore_picture(model, picture)


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


def check_arguments(arguments: object, largest: int | None = None) -> None:
    """Refuse a stranger's model that names a file: its CLIP or its words would be opened on this machine.

    Args:
        arguments: The network's, with lists and tables of them inside.
        largest: Bytes that a file of a CLIP that they name may have; None: any number, and the Hub is not asked.

    Raises:
        WeightsError: One of them is a path, or a CLIP that is too large or cannot be had.
    """
    if isinstance(arguments, str):
        from restorers.hub import is_local_path

        inside = "/" in arguments and not arguments.startswith("hf-hub:")
        if inside or arguments.startswith("local-dir:") or is_local_path(arguments) or Path(arguments).exists():
            raise WeightsError(
                f"This model wants to open {reprlib.repr(arguments)} on the machine it runs on; models loaded here may "
                "name models of the Hub only."
            )
        if largest is not None:
            check_clip_size(arguments, largest)
    elif isinstance(arguments, Mapping | list | tuple):
        for one in arguments.values() if isinstance(arguments, Mapping) else arguments:
            check_arguments(one, largest)


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
