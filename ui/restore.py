"""Tab Restore: a picture in, a better one out, and the two under one handle."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from errors import UnveilError
from images import is_picture_name, read_picture, write_picture
from restorers import registry
from restorers.card import TASKS, RestorerCard
from ui import html, text
from ui.advice import refused
from ui.engine import EXAMPLES, Engine
from ui.session import safe_stem
from ui.upload import picture_drop


def build(engine: Engine) -> gr.Dropdown:
    """Lay out the tab and wire it; returns the list of methods."""
    tasks = [(TASKS[task], task) for task in TASKS if task != "refine" and registry.names(task)]
    first = engine.method_choices(tasks[0][1])
    gr.HTML(html.lede(text.RESTORE))
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            picture = picture_drop("Your picture", elem_id="restore-picture")
            drawing = gr.Image(
                label="Your TIFF, drawn as PNG",
                format="png",
                type="filepath",
                interactive=False,
                buttons=[],
                visible=False,
                elem_id="restore-drawing",
            )
            task = gr.Radio(tasks, value=tasks[0][1], label="What should happen", elem_id="restore-task")
            method = gr.Dropdown(**first, label="Method", elem_id="restore-method")
            refine = gr.Checkbox(
                value=True,
                label="Refine with PTG-RM",
                info="A small trained module behind the method corrects its result.",
                visible=engine.refined(first["value"]) is not None,
                elem_id="restore-refine",
            )
            about = gr.HTML(_about(engine.card(first["value"])))
            start = gr.Button("Restore", variant="primary", elem_id="restore-start")
        with gr.Column(scale=6, min_width=320):
            message = gr.HTML(visible=False)
            nothing = gr.HTML(html.empty(text.RESTORE_EMPTY))
            slider = gr.ImageSlider(
                format="png",
                type="filepath",
                interactive=False,
                show_label=False,
                buttons=["fullscreen"],
                max_height=620,
                visible=False,
                elem_id="restore-slider",
            )
            download = gr.DownloadButton("Download PNG", visible=False, elem_id="restore-download")
            record = gr.HTML(visible=False, elem_id="restore-record")
            gr.Markdown("### Or try one of these")
            examples = gr.Gallery(
                [str(path) for path, _ in example_pictures()],
                format="png",
                interactive=False,
                allow_preview=False,
                columns=7,
                height="auto",
                object_fit="cover",
                show_label=False,
                container=False,
                buttons=[],
                elem_id="restore-examples",
                elem_classes="strip",
            )
    gr.HTML(html.note(text.RESTORE_PRIVATE))

    def restore(path: str | None, name: str, refined: bool, request: gr.Request) -> dict:
        try:
            result = engine.restore_upload(path, (engine.refined(name) if refined else None) or name, request)
        except UnveilError as error:
            return {message: gr.HTML(refused(error), visible=True)}
        return {
            message: gr.HTML(visible=False),
            nothing: gr.HTML(visible=False),
            slider: gr.ImageSlider((str(result.before), str(result.after)), visible=True),
            download: gr.DownloadButton(value=str(result.after), visible=True),
            record: gr.HTML(result.record, visible=True),
        }

    def draw_for_browser(path: str | None, request: gr.Request) -> gr.Image:
        """Browsers draw no TIFF and no PPM: a PNG stands in on the page. What is restored is the file itself."""
        if not path or Path(path).suffix.lower() not in (".tif", ".tiff", ".ppm", ".pgm", ".pnm"):
            return gr.Image(visible=False)
        drawn = engine.scratch.folder(request) / f"{safe_stem(path)}.png"
        try:
            write_picture(drawn, read_picture(path).pixels)
        except UnveilError:
            return gr.Image(visible=False)  # to restore it is to be told why
        return gr.Image(str(drawn), visible=True)

    def choose_example(event: gr.SelectData) -> dict:
        path, wanted = example_pictures()[event.index]
        return {picture: str(path), task: wanted, method: gr.Dropdown(**engine.method_choices(wanted))}

    def describe(name: str) -> tuple[str, gr.Checkbox]:
        return _about(engine.card(name)), gr.Checkbox(visible=engine.refined(name) is not None)

    outputs = [message, nothing, slider, download, record]
    inputs = [picture, method, refine]
    task.input(lambda chosen: gr.Dropdown(**engine.method_choices(chosen)), task, method, api_visibility="private")
    method.change(describe, method, [about, refine], api_visibility="private")
    picture.change(draw_for_browser, picture, drawing, api_visibility="private", show_progress="hidden")
    asked = start.click(
        restore, inputs, outputs, concurrency_id="compute", concurrency_limit=1, api_visibility="private"
    )
    tried = examples.select(choose_example, None, [picture, task, method], api_visibility="private").then(
        restore, inputs, outputs, concurrency_id="compute", concurrency_limit=1, api_visibility="private"
    )
    for answered in (asked, tried):
        answered.then(None, js=html.show_script("#restore-slider"), api_visibility="private")
    return method


def example_pictures() -> list[tuple[Path, str]]:
    """Example pictures and the task each is for."""
    folders = (("haze/hazy", "dehaze"), ("lowlight/low", "lowlight"))
    return [
        (path, task)
        for folder, task in folders
        for path in sorted((EXAMPLES / folder).iterdir())
        if is_picture_name(path.name)
    ]


def _about(card: RestorerCard) -> str:
    return html.note(html.escape(card.summary))
