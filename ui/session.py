"""Pictures of one open browser tab: a folder of its own, removed when the tab closes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import gradio as gr


class Scratch:
    """A temporary folder of this server process with one folder per browser session below it."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="unveil-", ignore_cleanup_errors=True)

    def folder(self, request: gr.Request | None) -> Path:
        """A fresh folder for one result of the session."""
        target = self._of(request) / uuid.uuid4().hex
        target.mkdir(parents=True)
        return target

    def forget(self, request: gr.Request | None) -> None:
        """Remove everything the session wrote; called when its tab closes."""
        shutil.rmtree(self._of(request), ignore_errors=True)

    def _of(self, request: gr.Request | None) -> Path:
        name = getattr(request, "session_hash", None) or "direct"
        return Path(self._home.name) / re.sub(r"[^0-9A-Za-z_-]", "_", str(name))[:64]


def safe_stem(name: str) -> str:
    """A file name's stem that every file system takes."""
    return re.sub(r"[^\w.-]+", "_", Path(name).stem).strip("._")[:80] or "picture"


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
