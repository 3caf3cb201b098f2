"""What a job found: progress, the ranking, plots, worst cases with their pictures, and the files to take away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from errors import UnveilError, UsageError
from eval.cases import worst_cases
from eval.column import show
from eval.metrics import registry as metrics
from ui import board, cases, html, text
from ui.advice import in_browser, refused
from ui.engine import Engine
from ui.jobs import JobState

REFRESH_SECONDS = 4.0
"""A growing table is drawn again this often."""

WORDS = {
    "queued": "Waiting for its turn",
    "running": "Scoring",
    "done": "Done",
    "cancelled": "Stopped; the rows so far are kept",
    "failed": "Failed",
    "interrupted": "Interrupted; the rows so far are kept",
}


@dataclass(frozen=True)
class View:
    """The part of the page that shows results, for the tab that drives it."""

    refresh: Callable[..., Any]
    outputs: list[Any]
    seen: gr.State


def progress(state: JobState) -> str:
    """How far a job is, as HTML."""
    share = state.done / state.total if state.total else 0.0
    parts = [f"<b>{WORDS[state.status]}</b>"]
    if state.total:
        parts.append(f"{state.done} of {state.total}")
    if state.status == "running" and state.eta_seconds is not None and state.done:
        parts.append(f"about {html.duration(state.eta_seconds)} left")
    line = " · ".join(parts)
    small = f'<p class="note">{escape(state.message)}</p>' if state.message and state.status != "failed" else ""
    if state.status == "failed":
        small = html.alert(in_browser(state.message))
    bar = "" if state.ended else f'<div class="bar"><i style="width:{100 * share:.1f}%"></i></div>'
    words = [text.EVALUATE_BOARD.format(name=state.board)] if state.board else []
    words += [text.EVALUATE_RENAMED.format(names=state.renamed)] if state.renamed else []
    shared = html.note(escape(" ".join(words)))
    hint = "" if state.ended else html.note(escape(text.EVALUATE_REATTACH))
    return f'<div class="job" data-status="{state.status}">{line}{bar}{small}{shared}{hint}</div>'


def build(engine: Engine, job: gr.Textbox) -> View:
    """Lay out the results of the job named in ``job``."""
    seen = gr.State(())
    table = gr.HTML(html.empty(text.EVALUATE_TABLE_EMPTY), elem_id="job-table", js_on_load=html.SORT_SCRIPT)
    failed = gr.HTML(elem_id="job-failures")
    with gr.Column(visible=False) as ended:
        with gr.Row():
            downloads = {
                name: gr.DownloadButton(label, size="sm", min_width=110, elem_id=f"download-{name}")
                for name, label in board.DOWNLOADS.items()
            }
        gr.Markdown("### Worst cases")
        with gr.Row():
            method = gr.Dropdown([], label="Method", elem_id="worst-method")
            metric = gr.Dropdown([], label="Metric", elem_id="worst-metric")
        gr.HTML(html.note("Shown are the inputs. Click one to see input, output and reference."))
        keys = gr.State([])
        gallery = gr.Gallery(
            format="png",
            type="filepath",
            interactive=False,
            allow_preview=False,
            columns=6,
            height="auto",
            object_fit="cover",
            show_label=False,
            container=False,
            buttons=[],
            elem_id="worst-gallery",
            elem_classes="strip",
        )
        case = gr.HTML(elem_id="worst-case")
        with gr.Row(visible=False) as trio:
            shown = {
                side: gr.Image(
                    label=side,
                    format="png",
                    type="filepath",
                    interactive=False,
                    buttons=["fullscreen", "download"],
                    min_width=240,
                    elem_id=f"case-{side.lower()}",
                )
                for side in ("Input", "Output", "Reference")
            }
        gr.Markdown("### Picture by picture")
        spread = gr.HTML()
        pareto_title = gr.Markdown("### Quality against time", visible=False)
        pareto = gr.HTML(visible=False)

    drawn = gr.State("")
    outputs = [seen, table, failed, ended, *downloads.values(), method, metric, drawn]

    def refresh(current: str, last: tuple, request: gr.Request) -> list:
        """Draw the table again when there is something new to see."""
        nothing = [gr.skip()] * len(outputs)
        if not current:
            return nothing
        try:
            state = engine.jobs.state(current)
        except UnveilError:
            return nothing  # the progress line says so
        try:
            now = (current, state.done, state.ended)
            if last and last[:3] == now:
                return nothing
            if last and last[0] == current and not state.ended and time.time() - last[3] < REFRESH_SECONDS:
                return nothing
            if not state.done:
                return [(*now, 0.0), html.empty(text.EVALUATE_TABLE_EMPTY), "", gr.Column(visible=False), *nothing[4:]]
            ranking = engine.jobs.ranking(current, timings=True)
        except UnveilError as error:
            return [(current, -1, False, time.time()), html.alert(in_browser(error)), "", *nothing[3:]]
        seen_now = (*now, time.time())
        tables = [seen_now, board.table(ranking), board.failures(ranking)]
        if not state.ended:
            return [*tables, gr.Column(visible=False), *nothing[4:]]
        printed = engine.jobs.ranking(current, timings=False)
        files = board.export_files(printed, engine.jobs.frame(current), engine.scratch.folder(request))
        best = [name for name in ranking.methods if name != "input"] or list(ranking.methods)
        return [
            *tables,
            gr.Column(visible=True),
            *[gr.DownloadButton(value=str(files[name])) for name in board.DOWNLOADS],
            gr.Dropdown(list(ranking.methods), value=best[0]),
            gr.Dropdown([(metrics.spec(m).title, m) for m in ranking.metrics], value=ranking.metrics[0]),
            f"{current} {state.updated}",
        ]

    def worst(current: str, name: str, by: str, request: gr.Request) -> tuple:
        if not (current and name and by):
            return gr.skip(), gr.skip(), "", gr.Row(visible=False), gr.skip(), gr.skip(), gr.skip()
        drawings = "", gr.Markdown(visible=False), gr.HTML(visible=False)
        try:
            spread_svg, pareto_svg = board.plots(engine.jobs.ranking(current, timings=True), by)
            shows = bool(pareto_svg)
            drawings = spread_svg, gr.Markdown(visible=shows), gr.HTML(pareto_svg, visible=shows)
            rows = worst_cases(engine.jobs.frame(current), by, name)
            thumbnails = cases.thumbnails(engine, current, list(rows["image"]), request)
        except UnveilError as error:
            return [], [], html.note(escape(in_browser(error))), gr.Row(visible=False), *drawings
        decimals = metrics.spec(by).decimals
        captions = [
            f"{image} · {show(value, decimals)}" for image, value in zip(rows["image"], rows["value"], strict=True)
        ]
        return (
            [(path, caption) for path, caption in zip(thumbnails, captions, strict=True)],
            list(rows["image"]),
            "",
            gr.Row(visible=False),
            *drawings,
        )

    def open_case(current: str, images: list[str], name: str, request: gr.Request, event: gr.SelectData) -> tuple:
        try:
            if event.index >= len(images):
                raise UsageError("This picture is no longer in the list, which has changed; choose another.")
            image = images[event.index]
            pictures = cases.pictures(engine, current, image, name, request)
            words = _case_words(engine.jobs.frame(current), image, name)
        except UnveilError as error:
            return refused(error), gr.Row(visible=False), None, None, None
        found = [pictures.get(side) for side in shown]
        return (
            words,
            gr.Row(visible=True),
            *[gr.Image(str(p), visible=True) if p else gr.Image(visible=False) for p in found],
        )

    choosing = [gallery, keys, case, trio, spread, pareto_title, pareto]
    for event in (drawn.change, method.input, metric.input):
        event(worst, [job, method, metric], choosing, show_progress="hidden", api_visibility="private")
    gallery.select(
        open_case,
        [job, keys, method],
        [case, trio, *shown.values()],
        concurrency_id="compute",
        api_visibility="private",
    ).then(None, js=html.show_script("#worst-case"), api_visibility="private")
    return View(refresh, outputs, seen)


def _case_words(frame: Any, image: str, method: str) -> str:
    """Scores of one picture by one method, beside those of the untouched input."""
    rows = frame[(frame["image"] == image) & (frame["metric"] != "")]
    facts = [("Picture", image), ("Method", method)]
    for metric in dict.fromkeys(rows["metric"]):
        spec = metrics.spec(metric)
        words = []
        for name in dict.fromkeys([method, "input"]):
            for value, error in rows[(rows["metric"] == metric) & (rows["method"] == name)][["value", "error"]].values:
                words.append(f"{show(value, spec.decimals) if error is None else in_browser(error)} ({name})")
        facts.append((f"{spec.title} {spec.arrow}", ", ".join(words)))
    return html.facts(facts)
