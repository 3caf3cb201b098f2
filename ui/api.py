"""What programs may call: few endpoints with typed inputs. Files arrive as uploads, never as paths of the server."""

from __future__ import annotations

import gradio as gr

from restorers import registry
from ui.engine import Engine


def offer(engine: Engine) -> None:
    """Add the endpoints to the page being built."""

    def methods() -> list[dict]:
        """List the restoration methods: name, title, task, scale and summary of each."""
        cards = [registry.card(name) for name in registry.names()]
        return [
            {"name": c.name, "title": c.title, "task": c.task, "scale": c.scale, "summary": c.summary} for c in cards
        ]

    gr.api(methods, api_name="methods")
