"""What programs may call: few endpoints with typed inputs. Files arrive as uploads, never as paths of the server.

Everything the page itself does is private; these are the doors that stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from errors import UnveilError
from eval import protocol as protocols
from images import read_picture
from restorers import registry
from ui.advice import to_callers
from ui.engine import Engine
from ui.upload import uploaded_path


def offer(engine: Engine) -> None:
    """Add the endpoints to the page being built."""

    def restore(image: gr.FileData, method: str = registry.RECOMMENDED["dehaze"]) -> gr.FileData:
        """Restore a picture and get the result as PNG.

        Args:
            image: The hazy, dark or small picture.
            method: Name of a method; the endpoint "methods" lists them.
        """
        with said_to_callers():
            result = engine.restore_upload(uploaded_path(image), method, before=False)
        return gr.FileData(path=str(result.after), orig_name=result.after.name)

    def score(
        output: gr.FileData,
        reference: gr.FileData | None = None,
        metrics: list[str] = ["psnr", "ssim", "niqe"],  # noqa: B006  (never changed; a tuple has no schema)
        protocol: str = protocols.DEFAULT,
    ) -> list[dict[str, Any]]:
        """Measure a picture, against a reference where there is one.

        Args:
            output: The picture to measure.
            reference: What it should look like.
            metrics: Metric names; without a reference only "niqe" has a value.
            protocol: Name of a protocol; the endpoint "protocols" lists them.
        """
        from eval.scoring import score as measure

        with said_to_callers():
            chosen = protocols.get(protocol)
            picture = read_picture(uploaded_path(output) or "")
            path = uploaded_path(reference)
            clear = read_picture(path) if path else None
            measured = measure(picture, clear, metrics, chosen)
        return [
            {
                "metric": one.metric,
                "value": None if one.value is None else str(one.value) if one.value == float("inf") else one.value,
                "error": one.error and to_callers(one.error),
                "variant": one.variant,
                "protocol": chosen.name,
                "protocol_hash": chosen.hash,
            }
            for one in measured
        ]

    def methods() -> list[dict[str, Any]]:
        """List the restoration methods: name, title, task, scale, licence and summary of each."""
        cards = [registry.card(name) for name in registry.names()]
        return [
            {
                "name": card.name,
                "title": card.title,
                "task": card.task,
                "scale": card.scale,
                "licence": card.licence,
                "summary": card.summary,
            }
            for card in cards
        ]

    def list_protocols() -> list[dict[str, str]]:
        """List the protocols: name, hash, and what each measures in a sentence."""
        found = [protocols.get(name) for name in protocols.names()]
        return [{"name": one.name, "hash": one.hash, "sentence": one.sentence} for one in found]

    gr.api(restore, api_name="restore", concurrency_id="compute")
    gr.api(score, api_name="score", concurrency_id="compute")
    gr.api(methods, api_name="methods")
    gr.api(list_protocols, api_name="protocols")


@contextmanager
def said_to_callers() -> Iterator[None]:
    """Errors of this project become the one sentence that callers see; others stay in the server's log."""
    try:
        yield
    except UnveilError as error:
        raise gr.Error(to_callers(error), print_exception=False) from error
