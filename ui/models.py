"""Tab Models: the card of every method, and loading another model by its Hub id."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr

from restorers import registry
from restorers.card import TASKS, RestorerCard
from ui import html, text
from ui.engine import Engine

WEIGHTS = Path(__file__).resolve().parent.parent / "assets" / "weights"


def build(engine: Engine) -> None:
    """Lay out the tab and wire it."""
    gr.HTML(html.lede(text.MODELS))
    for task, words in TASKS.items():
        cards = [registry.card(name) for name in registry.names(task)]
        if cards:
            gr.Markdown(f"### {words}")
            gr.HTML(f'<div class="cards">{"".join(card(one) for one in cards)}</div>')


def card(facts: RestorerCard) -> str:
    """One method as HTML."""
    figures = "; ".join(
        f"{figure.metric.upper()} {figure.value:g} on {figure.dataset} ({figure.protocol})" for figure in facts.figures
    )
    size = f"{facts.parameters / 1e6:.2f} M" if facts.parameters >= 1e5 else f"{facts.parameters:,}"
    known = html.facts(
        [
            ("Paper", facts.paper),
            ("Licence", facts.licence),
            ("Parameters", size if facts.parameters else "none to learn"),
            ("Trained on", facts.trained_on),
            ("Measured", figures),
            ("Sizes", _sizes(facts)),
            ("Weights", f"{facts.weights}, sha256 {facts.weights_sha256[:16]}…" if facts.weights_sha256 else ""),
        ]
    )
    paper = html.link(facts.paper_url, "Paper") if facts.paper_url else ""
    return (
        f'<article class="card"><div><h3>{escape(facts.title)}</h3><span class="name">{escape(facts.name)}</span></div>'
        f"<div>{_badges(facts)}</div><p>{escape(facts.summary)}</p>{known}<p>{paper}</p></article>"
    )


def _badges(facts: RestorerCard) -> str:
    if facts.weights is None:
        state, kind = "needs no weights", ""
    elif (WEIGHTS / facts.weights).exists():
        state, kind = "weights are here", ""
    else:
        state, kind = "weights are missing", " off"
    return f'<span class="badge{kind}">{state}</span>'


def _sizes(facts: RestorerCard) -> str:
    tiling = {
        "exact": "tiled without a trace",
        "approximate": "tiles change the result a little",
        "whole": "never tiled",
    }[facts.tiling]
    enlarge = f"enlarges {facts.scale} times, " if facts.scale > 1 else ""
    return f"{enlarge}any picture from 16 × 16; {tiling}"
