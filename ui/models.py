"""Tab Models: the card of every method, and loading another model by its Hub id."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from errors import UnveilError
from eval.metrics.registry import spec
from restorers import registry
from restorers.card import TASKS, Figure, RestorerCard
from restorers.networks import WEIGHTS
from ui import html, text
from ui.advice import in_browser, refused
from ui.engine import LOADING, Engine


def build(engine: Engine, method: gr.Dropdown, methods: gr.CheckboxGroup) -> None:
    """Lay out the tab and wire it.

    Args:
        engine: The server's engine.
        method: The method of the tab Restore, which learns of models that are loaded here.
        methods: The methods of the tab Evaluate, likewise.
    """
    gr.HTML(html.lede(text.MODELS))
    if engine.missing:
        gr.HTML("".join(html.alert(in_browser(said)) for said in engine.missing), elem_id="models-missing")
    shelf = gr.HTML(cards(engine), elem_id="model-cards")
    gr.Markdown("### Load another model")
    gr.HTML(html.note(text.MODELS_LOAD.format(size=engine.settings.max_model / 1e9)))
    with gr.Row():
        name = gr.Textbox(show_label=False, placeholder="org/name", max_length=140, scale=4, elem_id="model-id")
        load = gr.Button("Load", variant="primary", scale=1, min_width=120, elem_id="model-load")
    said = gr.HTML(elem_id="model-said")

    def bring(wanted: str) -> tuple:
        try:
            facts = engine.load(wanted.strip())
        except UnveilError as error:
            return refused(error), gr.skip(), gr.skip(), gr.skip()
        message = f"{facts.name} is loaded: choose it on Restore, or tick it on Evaluate."
        return (
            html.alert(message, good=True),
            cards(engine),
            gr.Dropdown(**engine.method_choices(facts.task, facts.name)),
            gr.CheckboxGroup(engine.ranking_choices()),
        )

    for event in (load.click, name.submit):
        event(bring, name, [said, shelf, method, methods], **LOADING)


def cards(engine: Engine) -> str:
    """All methods as HTML, in the order of their tasks."""
    known = [facts for task in TASKS for facts in engine.cards(task)]
    return f'<div class="cards">{"".join(card(one, owned=engine.is_owned(one.name)) for one in known)}</div>'


def card(facts: RestorerCard, *, owned: bool = False) -> str:
    """One method as HTML; ``owned``: a model that the server's settings name."""
    size = f"{facts.parameters / 1e6:.2f} M" if facts.parameters >= 1e5 else f"{facts.parameters:,}"
    first = html.facts(
        [("Measured", measured(facts.figures)), ("Parameters", size if facts.parameters else "none to learn")]
    )
    more = html.facts(
        [
            ("Paper", facts.paper),
            ("Trained on", facts.trained_on),
            ("Licence", facts.licence),
            ("Sizes", _sizes(facts)),
            ("Weights", f"{facts.weights}, sha256 {facts.weights_sha256[:16]}…" if facts.weights_sha256 else ""),
        ]
    )
    paper = f"<p>{html.link(facts.paper_url, 'Read the paper')}</p>" if facts.paper_url else ""
    known = f"{first}<details><summary>Paper, training data, licence, weights</summary>{more}{paper}</details>"
    return (
        f'<article class="card"><div><h3>{escape(facts.title)}</h3><span class="name">{escape(facts.name)}</span></div>'
        f"<div>{_badges(facts, owned)}</div><p>{escape(facts.summary)}</p>{known}</article>"
    )


def measured(figures: Sequence[Figure]) -> str:
    """Figures in words, those of one set and protocol together."""
    together: dict[tuple[str, str], list[str]] = {}
    for figure in figures:
        value = f"{figure.metric.upper()} {figure.value:.{_decimals(figure.metric)}f}"
        together.setdefault((figure.dataset, figure.protocol), []).append(value)
    return "; ".join(
        f"{', '.join(values)} on {dataset} ({protocol})" for (dataset, protocol), values in together.items()
    )


def _decimals(metric: str) -> int:
    """Decimals of a metric; cards of other people's models may name one that is not known here."""
    try:
        return spec(metric).decimals
    except UnveilError:
        return 4


def _badges(facts: RestorerCard, owned: bool) -> str:
    if facts.name not in registry.names():
        state, kind = "a model of this server" if owned else "loaded by a visitor", ""
    elif facts.weights is None:
        state, kind = "needs no weights", ""
    elif (WEIGHTS / facts.weights).exists():
        state, kind = "weights are here", ""
    else:
        state, kind = "weights are missing", " off"
    return f'<span class="badge task">{escape(TASKS[facts.task])}</span><span class="badge{kind}">{state}</span>'


def _sizes(facts: RestorerCard) -> str:
    tiling = {
        "exact": "tiled without a trace",
        "approximate": "tiles change the result a little",
        "whole": "never tiled",
    }[facts.tiling]
    enlarge = f"enlarges {facts.scale} times, " if facts.scale > 1 else ""
    return f"{enlarge}any picture from 16 × 16; {tiling}"
