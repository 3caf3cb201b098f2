"""Every environment variable the page listens to is read here, once, into a frozen record."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Where things lie and how much is allowed.

    Attributes:
        data: Folder that keeps scores and jobs across restarts.
        host: Address the server listens on; None lets gradio choose (127.0.0.1, or 0.0.0.0 on a Space).
        port: Port, or None for gradio's first free one.
        max_upload: Largest upload, as gradio spells it ("2gb").
        max_model: Bytes that one file of a model that a visitor names may have.
        keep_hours: Uploaded sets are deleted this long after their job ended.
        workers: Processes that score one job.
        queue_size: Visitors that may wait; the next one is told to come back.
        models: Models that are offered from the start: ``ORG/NAME``, ``hf-hub:ORG/NAME@COMMIT``, ``local-dir:FOLDER``.
        mcp: Whether to offer the endpoints to language-model tools (needs gradio's ``mcp`` extra).
    """

    data: Path
    host: str | None = None
    port: int | None = None
    max_upload: str = "2gb"
    max_model: int = 2_000_000_000
    keep_hours: float = 24.0
    workers: int = 1
    queue_size: int = 64
    models: tuple[str, ...] = ()
    mcp: bool = False

    @property
    def rows(self) -> Path:
        """The file with every score."""
        return self.data / "rows.sqlite"

    @property
    def jobs(self) -> Path:
        """The folder with one folder per job."""
        return self.data / "jobs"


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    ========================  =====================================================  ==============
    variable                  meaning                                                default
    ========================  =====================================================  ==============
    ``UNVEIL_DATA``           scores and jobs                                        ``./var``
    ``UNVEIL_MAX_UPLOAD``     largest upload                                         ``2gb``
    ``UNVEIL_MAX_MODEL_GB``   largest file of a model that a visitor names           ``2``
    ``UNVEIL_KEEP_HOURS``     life of uploaded sets after their job                  ``24``
    ``UNVEIL_WORKERS``        scoring processes per job                              ``1``
    ``UNVEIL_QUEUE``          visitors that may wait                                 ``64``
    ``UNVEIL_MODELS``         models offered from the start, with commas between     none
    ``GRADIO_SERVER_NAME``    address                                                gradio's choice
    ``GRADIO_SERVER_PORT``    port; ``PORT`` is understood too                       7860 upwards
    ``GRADIO_MCP_SERVER``     offer tools to language models                         off
    ========================  =====================================================  ==============

    Raises:
        UsageError: Something that should be a number is none, or is out of range.
    """
    env = os.environ if environment is None else environment
    port = "GRADIO_SERVER_PORT" if env.get("GRADIO_SERVER_PORT") else "PORT"
    return Settings(
        data=Path(env.get("UNVEIL_DATA", "var")).resolve(),
        host=env.get("GRADIO_SERVER_NAME"),
        port=_number(port, env[port], 1, 65_535, whole=True) if env.get(port) else None,
        max_upload=env.get("UNVEIL_MAX_UPLOAD", "2gb"),
        max_model=round(1e9 * _number("UNVEIL_MAX_MODEL_GB", env.get("UNVEIL_MAX_MODEL_GB", "2"), 0)),
        keep_hours=_number("UNVEIL_KEEP_HOURS", env.get("UNVEIL_KEEP_HOURS", "24"), 0),
        workers=_number("UNVEIL_WORKERS", env.get("UNVEIL_WORKERS", "1"), 1, whole=True),
        queue_size=_number("UNVEIL_QUEUE", env.get("UNVEIL_QUEUE", "64"), 1, whole=True),
        models=tuple(dict.fromkeys(filter(None, map(str.strip, env.get("UNVEIL_MODELS", "").split(","))))),
        mcp=env.get("GRADIO_MCP_SERVER", "").lower() in ("1", "true", "yes"),
    )


def _number(name: str, text: str, least: int, most: int = 1_000_000, *, whole: bool = False) -> float:
    """The number that a variable holds; an int where it must be whole."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise UsageError(f"{name}={text!r} is not a {kind} from {least} to {most}; correct it or unset it.")
    return int(value) if whole else value
