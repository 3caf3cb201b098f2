"""Pictures of one open browser tab: a folder of its own, removed when the tab closes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import gradio as gr

from eval.sources import close_containers

DIRECT = "direct"
"""The folder of those who have no tab: programs that call an endpoint."""

KEPT_SECONDS = 3600
"""Results that no tab will remove by closing are kept so long; gradio hands out copies of them."""

STEM_BYTES = 80
"""Two stems, a word between them and ``.png.part`` fit into the 255 bytes that file systems allow."""


class Scratch:
    """A temporary folder of this server process with one folder per browser session below it."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="unveil-", ignore_cleanup_errors=True)
        self._closed: dict[Path, float] = {}

    def folder(self, request: gr.Request | None) -> Path:
        """A fresh folder for one result of the session."""
        target = self._of(request) / uuid.uuid4().hex
        target.mkdir(parents=True)
        return target

    def forget(self, request: gr.Request | None) -> None:
        """Remove everything the session wrote; called when its tab closes."""
        session = self._of(request)
        self._closed[session] = time.time()
        remove(session)

    def sweep(self) -> None:
        """Remove old results of programs, and of tabs that closed while something ran."""
        for session, closed in list(self._closed.items()):
            if time.time() - closed > KEPT_SECONDS and not session.exists():  # nothing runs for so long
                del self._closed[session]
        for session in Path(self._home.name).iterdir():
            if session.name == DIRECT or session in self._closed:
                for folder in session.iterdir():
                    if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
                        remove(folder)
                if session in self._closed:
                    with suppress(OSError):  # something is in it
                        session.rmdir()

    def _of(self, request: gr.Request | None) -> Path:
        name = getattr(request, "session_hash", None) or DIRECT
        return Path(self._home.name) / re.sub(r"[^0-9A-Za-z_-]", "_", str(name))[:64]


def remove(folder: Path) -> None:
    """Delete a folder of uploads and close its archives, whose disk space an open one would keep."""
    shutil.rmtree(folder, ignore_errors=True)
    close_containers(folder)


def safe_stem(name: str) -> str:
    """A file name's stem that every file system takes; they count bytes, so it is cut by bytes, between characters."""
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem).strip("._")
    return stem.encode()[:STEM_BYTES].decode(errors="ignore") or "picture"


def gather(paths: Sequence[str], target: Path) -> Path:
    """Put uploaded files side by side under their own names; each upload lies in a folder of its own.

    Files are linked where the disk allows it, else copied. Equal names get a number, so none is lost.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in map(Path, paths):
        place, count = target / path.name, 2
        while place.exists():
            place, count = target / f"{path.stem} ({count}){path.suffix}", count + 1
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)
    return target
