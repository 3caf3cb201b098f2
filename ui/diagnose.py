"""Tab Diagnose: one pair under every protocol, and what explains the differences."""

from __future__ import annotations

from html import escape

import gradio as gr

from errors import ImageError, UnveilError
from eval.column import show
from eval.diagnose import METRICS, Diagnosis, Effect, ProtocolScores, diagnose
from eval.metrics import registry as metrics
from eval.protocol import DEFAULT, get
from images import read_picture
from ui import html, text
from ui.advice import in_browser, refused
from ui.engine import EXAMPLES, Engine
from ui.upload import picture_drop

EXAMPLE_PAIR = (EXAMPLES / "haze/hazy/raccoon.jpg", EXAMPLES / "haze/clear/raccoon.jpg")


def build(engine: Engine) -> None:
    """Lay out the tab and wire it."""
    gr.HTML(html.lede(text.DIAGNOSE))
    with gr.Row():
        output = picture_drop("Result", elem_id="diagnose-output", height=260)
        reference = picture_drop("Reference (optional)", elem_id="diagnose-reference", height=260)
    with gr.Row():
        example = gr.Button("Use the example pair", elem_id="diagnose-example")
        start = gr.Button("Explain", variant="primary", elem_id="diagnose-start")
    shown = gr.HTML(html.empty(text.DIAGNOSE_EMPTY), elem_id="diagnose-result", js_on_load=html.SORT_SCRIPT)

    def explain(result: str | None, clear: str | None) -> str:
        try:
            if not result:
                raise ImageError("There is no result yet; drop a picture, or use the example pair.")
            return report(diagnose(read_picture(result), read_picture(clear) if clear else None))
        except UnveilError as error:
            return refused(error)

    asked = start.click(
        explain, [output, reference], shown, concurrency_id="compute", concurrency_limit=1, api_visibility="private"
    )
    tried = example.click(
        lambda: [str(path) for path in EXAMPLE_PAIR], None, [output, reference], api_visibility="private"
    ).then(explain, [output, reference], shown, concurrency_id="compute", concurrency_limit=1, api_visibility="private")
    for answered in (asked, tried):
        answered.then(None, js=html.show_script("#diagnose-result"), api_visibility="private")


def report(diagnosis: Diagnosis) -> str:
    """Everything found, as HTML."""
    missing = [
        f"{one.protocol.name}: no {metrics.spec(found.metric).title}. {in_browser(found.error)}"
        for one in diagnosis.scores
        for found in one.measurements
        if found.error
    ]
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in (*diagnosis.remarks, *missing))
    about = f'<h3>About the pair</h3><ul class="note">{remarks}</ul>' if remarks else ""
    return (
        f'<div class="prose"><h3>The same pair, {len(diagnosis.scores)} protocols</h3></div>{_scores(diagnosis.scores)}'
        f'<div class="prose"><h3>What explains the differences</h3></div>{_effects(diagnosis.effects)}'
        f'<div class="prose">{about}</div>'
    )


def _scores(scores: tuple[ProtocolScores, ...]) -> str:
    names = [metric for metric in METRICS if any(s.value(metric) is not None for s in scores)]
    heads = "".join(f'<th scope="col">{escape(metrics.spec(m).title)} {metrics.spec(m).arrow}</th>' for m in names)
    rows = []
    for one in scores:
        cells = "".join(_value(one, metric) for metric in names)
        name = one.protocol.name.partition("+")[0]
        kind = "best" if name == DEFAULT else ""
        rows.append(
            f'<tr><td class="text {kind}">{escape(one.protocol.name)}</td>{cells}'
            f'<td class="wrap dim">{escape(_difference(one))}</td></tr>'
        )
    return (
        '<div class="table-scroll"><table class="board stacked scores"><thead><tr>'
        '<th class="text" scope="col">Protocol</th>'
        f'{heads}<th class="text" scope="col">What it does</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _difference(scores: ProtocolScores) -> str:
    """The sentence of the primary protocol; of any other only the clauses in which it differs."""
    clauses = _clauses(scores.protocol.sentence)
    if scores.protocol.name.partition("+")[0] == DEFAULT:
        return "; ".join(clauses)
    usual = _clauses(get(DEFAULT).sentence)
    different = [clause.removesuffix(".") for clause in clauses if clause not in usual]
    return f"As {DEFAULT}, but: {'; '.join(different)}." if different else f"As {DEFAULT}."


def _clauses(sentence: str) -> list[str]:
    return sentence.partition(": ")[2].split("; ")


def _value(scores: ProtocolScores, metric: str) -> str:
    found = next((one for one in scores.measurements if one.metric == metric), None)
    if found is None:
        return '<td data-value="">–</td>'
    if found.value is None:
        return f'<td class="why" data-value="" title="{escape(in_browser(found.error or ""))}">none</td>'
    small = f"<small>{escape(found.variant)}</small>" if found.variant else ""
    return f'<td data-value="{found.value!r}">{show(found.value, metrics.spec(metric).decimals)}{small}</td>'


def _effects(effects: tuple[Effect, ...]) -> str:
    largest = {m: max((abs(e.change) for e in effects if e.metric == m), default=0.0) for m in METRICS}
    rows = []
    for effect in effects:
        spec = metrics.spec(effect.metric)
        share = abs(effect.change) / largest[effect.metric] if largest[effect.metric] else 0.0
        share = share if share == share else 0.0
        sign = "+" if effect.change > 0 else ""
        rows.append(
            f'<tr><td class="text">{escape(spec.title)}</td><td class="wrap">{escape(effect.choice)}</td>'
            f'<td data-value="{effect.before!r}">{show(effect.before, spec.decimals)}</td>'
            f'<td data-value="{effect.after!r}">{show(effect.after, spec.decimals)}</td>'
            f'<td class="best" data-value="{effect.change!r}">{sign}{show(effect.change, spec.decimals)}</td>'
            f'<td class="text"><span class="effect" style="--share:{0.6 * share:.3f}"></span></td>'
            f'<td class="wrap dim">{escape(effect.who)}</td></tr>'
        )
    heads = ("Metric", "One choice changed", f"{DEFAULT}", "Changed", "Effect", "", "Where you meet it")
    kinds = ("text", "text", "", "", "", "text", "text")
    head = "".join(f'<th class="{kind}" scope="col">{escape(h)}</th>' for h, kind in zip(heads, kinds, strict=True))
    return (
        f'<div class="table-scroll"><table class="board stacked effects"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
