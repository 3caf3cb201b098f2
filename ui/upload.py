"""Drop targets that hand over the visitor's bytes, untouched."""

from __future__ import annotations

from typing import Any

import gradio as gr

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
    """Path of an uploaded file; gradio has already checked that it lies in its upload folder.

    Raises:
        ImageError: The picture came as an address or as inline data, not as an upload.
    """
    if payload is None:
        return None
    if not payload.path:
        raise ImageError("The picture did not arrive as a file; upload it.")
    return str(payload.path)
