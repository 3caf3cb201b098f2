"""Drop targets that hand over the visitor's bytes, untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from errors import ImageError


def picture_drop(label: str, **options: Any) -> gr.Image:
    """An image component that shows a preview and hands the uploaded file's own path to the event.

    gradio would open the file with its own reader first: it re-encodes where modes differ and ends with "Error" on
    a damaged or hostile file. Here the file goes to ``images.read_picture`` as it came.
    """
    drop = gr.Image(
        label=label, type="filepath", image_mode=None, format="png", sources=["upload", "clipboard"], **options
    )
    drop.preprocess = uploaded_path
    return drop


def uploaded_path(payload: Any) -> str | None:
    """Path of an uploaded file, whatever form gradio gives it in; None for no file.

    gradio checks uploads of components, but hands a plain text through where an endpoint asks for a file. So the one
    rule is kept here: a path that does not lie in the upload folder is no upload.

    Raises:
        ImageError: It is not an uploaded file.
    """
    if payload is None:
        return None
    path = payload.get("path") if isinstance(payload, dict) else getattr(payload, "path", None)
    if not isinstance(path, str) or not path:
        raise ImageError("The picture did not arrive as a file; upload it.")
    if not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise ImageError("Only uploaded files are read; upload the picture.")
    return path
