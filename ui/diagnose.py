"""Tab diagnose."""

from __future__ import annotations

import gradio as gr

from ui import html, text
from ui.engine import Engine


def build(engine: Engine) -> None:
    """Lay out the tab and wire it."""
    gr.HTML(html.lede(text.DIAGNOSE))
    gr.HTML(html.empty(text.DIAGNOSE_EMPTY))
