"""Tab Leaderboard: everything scored on this server, one set and one protocol at a time."""

from __future__ import annotations

import gradio as gr

from errors import UnveilError
from eval.leaderboard import build as rank
from eval.metrics import registry as metrics
from ui import board, html, text
from ui.advice import in_browser
from ui.engine import Engine


def build(engine: Engine, tab: gr.Tab) -> None:
    """Lay out the tab and wire it."""
    gr.HTML(html.lede(text.LEADERBOARD))
    with gr.Row(visible=False) as controls:
        dataset = gr.Dropdown([], label="Set", min_width=240, elem_id="board-set")
        protocol = gr.Dropdown([], label="Protocol", min_width=240, elem_id="board-protocol")
        images = gr.Radio(
            [("pictures every method has", "common"), ("all pictures of each method", "all")],
            value="common",
            label="Means over",
        )
    table = gr.HTML(html.empty(text.LEADERBOARD_EMPTY), elem_id="board-table", js_on_load=html.SORT_SCRIPT)
    failed = gr.HTML()
    with gr.Column(visible=False) as details:
        with gr.Row():
            downloads = {
                name: gr.DownloadButton(label, size="sm", min_width=110) for name, label in board.DOWNLOADS.items()
            }
        metric = gr.Radio([], label="Plots of", elem_id="board-metric")
        with gr.Row(equal_height=False, elem_classes="plots"):
            spread = gr.HTML(elem_id="board-distribution")
            pareto = gr.HTML(elem_id="board-pareto", visible=False)

    def sets(name: str | None) -> tuple:
        """What there is to choose from, now."""
        names = engine.store.datasets()
        if not names:
            return gr.Row(visible=False), gr.skip(), html.empty(text.LEADERBOARD_EMPTY), gr.Column(visible=False)
        chosen = name if name in names else names[0]
        choices = [(title or "unnamed set", title) for title in names]
        return gr.Row(visible=True), gr.Dropdown(choices, value=chosen), gr.skip(), gr.skip()

    def kinds(name: str | None, current: str | None) -> gr.Dropdown:
        if name is None:
            return gr.Dropdown([], value=None)
        found = sorted({(row.protocol, row.protocol_hash) for row in engine.store.rows(dataset=name)})
        hashes = [digest for _, digest in found]
        chosen = current if current in hashes else (hashes[0] if hashes else None)
        return gr.Dropdown([(f"{title} ({digest})", digest) for title, digest in found], value=chosen)

    def show(name: str | None, digest: str | None, which: str, by: str | None, request: gr.Request) -> list:
        outputs = 3 + len(downloads) + 1
        if name is None or not digest:
            return [gr.skip()] * outputs
        frame = engine.store.frame(dataset=name, protocol_hash=digest)
        try:
            ranking = rank(frame, images=which, timings=True)
            files = board.export_files(rank(frame, images=which), frame, engine.scratch.folder(request))
        except UnveilError as error:
            return [html.alert(in_browser(error)), "", gr.Column(visible=False), *[gr.skip()] * (outputs - 3)]
        chosen = by if by in ranking.metrics else ranking.metrics[0]
        return [
            board.table(ranking),
            board.failures(ranking),
            gr.Column(visible=True),
            *[gr.DownloadButton(value=str(files[form])) for form in downloads],
            gr.Radio([(metrics.spec(m).title, m) for m in ranking.metrics], value=chosen),
        ]

    def plots(name: str | None, digest: str | None, which: str, by: str | None) -> tuple:
        if name is None or not digest or not by:
            return gr.skip(), gr.skip()
        try:
            ranking = rank(engine.store.frame(dataset=name, protocol_hash=digest), images=which, timings=True)
        except UnveilError:
            return gr.skip(), gr.skip()
        spread_svg, pareto_svg = board.plots(ranking, by)
        return spread_svg, gr.HTML(pareto_svg, visible=bool(pareto_svg))

    chosen = [dataset, protocol, images, metric]
    shown = [table, failed, details, *downloads.values(), metric]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(sets, dataset, [controls, dataset, table, details], **quiet).then(
        kinds, [dataset, protocol], protocol, **quiet
    ).then(show, chosen, shown, **quiet).then(plots, chosen, [spread, pareto], **quiet)
    dataset.input(kinds, [dataset, protocol], protocol, **quiet).then(show, chosen, shown, **quiet).then(
        plots, chosen, [spread, pareto], **quiet
    )
    for component in (protocol, images):
        component.input(show, chosen, shown, **quiet).then(plots, chosen, [spread, pareto], **quiet)
    metric.input(plots, chosen, [spread, pareto], **quiet)
