"""Tab Haze: how hazy a picture is and where, in the visitor's own words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from errors import ImageError, PromptError, UnveilError
from eval.sources import close_containers
from images import Picture, read_picture, write_picture
from priors import prompts as library
from priors.prompts import PromptSet
from ui import html, plots, text
from ui.advice import refused
from ui.engine import EXAMPLES, LOADING, Engine
from ui.seen import MOST_PICTURES, compare_words, overlay
from ui.session import safe_stem

if TYPE_CHECKING:
    import pandas

MY_WORDS = "my words"
FIRST_WORDS = PromptSet(MY_WORDS, ("a hazy photo", "a photo taken in fog"), ("a clear photo", "a sharp photo"))
Taught = tuple[str, str, str]
"""A learned prompt set that was uploaded: its file, and the words that were put into the two boxes with it."""


def build(engine: Engine) -> None:
    """Lay out the tab and wire it."""
    start = library.get() if library.DEFAULT in library.names() else FIRST_WORDS
    gr.HTML(html.lede(text.HAZE))
    learned, loaded = gr.State(None), gr.State("")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            files = gr.File(
                label="Pictures",
                file_count="multiple",
                file_types=["image"],
                height=120,
                elem_id="haze-files",
                elem_classes="small-drop",
            )
            example = gr.Button("Use the hazy examples", size="sm", elem_id="haze-example")
            chosen = gr.Dropdown(
                [*library.names(), MY_WORDS], value=start.name, label="Words to start from", elem_id="haze-set"
            )
            positives = gr.Textbox(
                "\n".join(start.positives),
                label="Hazy: one description a line",
                lines=4,
                max_lines=12,
                elem_id="haze-yes",
            )
            negatives = gr.Textbox(
                "\n".join(start.negatives),
                label="Clear: one description a line",
                lines=4,
                max_lines=12,
                elem_id="haze-no",
            )
            with gr.Accordion("Save and load words, other models", open=False):
                save = gr.DownloadButton("Save these words as JSON", size="sm", elem_id="haze-save")
                saved = gr.File(
                    label="Load words (.json, or learned .safetensors)",
                    file_types=[".json", ".safetensors"],
                    height=110,
                    elem_classes="small-drop",
                    elem_id="haze-load",
                )
                clip = gr.Textbox(
                    "embedded",
                    label="Vision–language model",
                    max_length=160,
                    elem_id="haze-clip",
                    info="embedded, hf-hub:ORG/NAME, or ARCHITECTURE:TAG; Enter loads it",
                )
        with gr.Column(scale=6, min_width=320):
            said = gr.HTML(html.empty(text.HAZE_EMPTY), elem_id="haze-said")
            table = gr.HTML(visible=False, elem_id="haze-table", js_on_load=html.SORT_SCRIPT)
            with gr.Column(visible=False) as closer:
                which = gr.Dropdown([], label="Picture", type="index", elem_id="haze-which")
                view = gr.Image(
                    format="png",
                    type="filepath",
                    interactive=False,
                    show_label=False,
                    buttons=["download", "fullscreen"],
                    elem_id="haze-map",
                    height=420,
                )
                opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity of the haze map", elem_id="haze-opacity")
                stretch = gr.Checkbox(
                    True, label="Spread the colours over this map's own range", elem_id="haze-stretch"
                )
                legend = gr.HTML(elem_id="haze-legend")
                bars = gr.HTML(elem_id="haze-bars")
    gr.Markdown("### Which words are best?")
    gr.HTML(html.note(escape(text.HAZE_COMPARE)))
    with gr.Row(equal_height=False):
        labelled = gr.File(
            label="A zip with two folders, hazy and clear (without one: the examples)",
            file_types=[".zip"],
            height=120,
            elem_classes="small-drop",
            elem_id="haze-labelled",
        )
        with gr.Column():
            rivals = gr.CheckboxGroup(
                [*library.names(), MY_WORDS],
                value=[start.name, MY_WORDS],
                label="Words to compare",
                elem_id="haze-rivals",
            )
            compare = gr.Button("Compare on this set", elem_id="haze-compare")
    ranking = gr.HTML(elem_id="haze-ranking", js_on_load=html.SORT_SCRIPT)

    def look(
        paths: list[str] | None,
        yes: str,
        no: str,
        taught: Taught | None,
        model: str,
        index: int | None,
        opaque: float,
        spread: bool,
        request: gr.Request,
    ) -> dict[Any, Any]:
        """Score every picture and draw the chosen one."""
        if not paths:
            return {
                said: gr.HTML(html.empty(text.HAZE_EMPTY), visible=True),
                table: gr.HTML(visible=False),
                closer: gr.Column(visible=False),
            }
        try:
            prompts = words(yes, no, taught)
            pictures, problems = readable(paths)
            known = engine.encodings.brought(model)
            place = index if index is not None and index < len(pictures) else 0
            encoded = [engine.encodings.of(one, known, maps=i == place) for i, one in enumerate(pictures)]
            drawn = engine.scratch.folder(request) / f"{safe_stem(pictures[place].name)}-haze.png"
            density = encoded[place].map(prompts)
            write_picture(drawn, overlay(pictures[place], density, opaque, stretch=spread))
            scores = [one.score(prompts) for one in encoded]
            shown_bars = _bars(encoded[place].similarities(prompts))
        except UnveilError as error:
            return {said: gr.HTML(refused(error), visible=True)}
        names = numbered([picture.name for picture in pictures])
        return {
            said: gr.HTML(html.alert("Left out: " + " ".join(problems)) if problems else "", visible=bool(problems)),
            table: gr.HTML(_table(names, scores), visible=True),
            closer: gr.Column(visible=True),
            which: gr.Dropdown(names, value=names[place]),
            view: str(drawn),
            legend: html.note(f"The map runs from {density.min():.2f} to {density.max():.2f}; bright is dense."),
            bars: shown_bars,
        }

    def bring(name: str) -> tuple:
        try:
            engine.encodings.bring(name)
        except UnveilError as error:
            return gr.HTML(refused(error), visible=True), gr.skip()
        return gr.skip(), f"{name} at {time.time()}"

    def take(name: str) -> tuple:
        if name == MY_WORDS:
            return gr.skip(), gr.skip()
        found = library.get(name)
        return "\n".join(found.positives), "\n".join(found.negatives)

    def load(path: str | None) -> tuple:
        if not path:
            return gr.skip(), gr.skip(), None, gr.skip()
        try:
            found = library.load(path)
        except UnveilError as error:
            return gr.skip(), gr.skip(), gr.skip(), gr.HTML(refused(error), visible=True)
        yes, no = "\n".join(found.positives), "\n".join(found.negatives)
        return yes, no, (path, yes, no) if found.learned else None, gr.skip()

    def keep(yes: str, no: str, request: gr.Request) -> str | None:
        try:
            prompts = words(yes, no, None)
        except UnveilError:
            return None
        path = engine.scratch.folder(request) / "prompts.json"
        path.write_text(prompts.to_json(), encoding="utf-8")
        return str(path)

    def rank(path: str | None, names: list[str], yes: str, no: str, taught: Taught | None, model: str) -> str:
        from priors.clip import load as load_clip

        try:
            sets = [words(yes, no, taught) if name == MY_WORDS else library.get(name) for name in names]
            prior = load_clip(engine.encodings.brought(model))
            ranked, skipped = compare_words(prior, path or EXAMPLES / "haze", sets)
        except UnveilError as error:
            return refused(error)
        finally:
            if path:
                close_containers(Path(path).parent)  # gradio deletes its uploads by itself
        return left_out(skipped) + ranking_table(ranked)

    asked = [files, positives, negatives, learned, clip, which, opacity, stretch]
    answer = [said, table, closer, which, view, legend, bars]
    again = {"api_visibility": "private", "concurrency_id": "compute", "concurrency_limit": 1}
    files.change(look, asked, answer, **again).then(None, js=html.show_script("#haze-table"), api_visibility="private")
    for component in (positives, negatives):
        component.change(look, asked, answer, show_progress="hidden", trigger_mode="always_last", **again)
    which.input(look, asked, answer, show_progress="hidden", **again)
    opacity.release(look, asked, answer, show_progress="hidden", **again)
    stretch.input(look, asked, answer, show_progress="hidden", **again)
    clip.submit(bring, clip, [said, loaded], show_progress_on=clip, **LOADING)
    loaded.change(look, asked, answer, **again)
    example.click(
        lambda: [str(path) for path in sorted((EXAMPLES / "haze/hazy").iterdir())],
        None,
        files,
        api_visibility="private",
    )
    chosen.input(take, chosen, [positives, negatives], api_visibility="private")
    saved.upload(load, saved, [positives, negatives, learned, said], api_visibility="private").then(
        look, asked, answer, **again
    )
    for component in (positives, negatives):
        component.change(keep, [positives, negatives], save, show_progress="hidden", api_visibility="private")
    compare.click(rank, [labelled, rivals, positives, negatives, learned, clip], ranking, **again).then(
        None, js=html.show_script("#haze-ranking"), api_visibility="private"
    )


def words(yes: str, no: str, taught: Taught | None) -> PromptSet:
    """The prompt set on the page: vectors that were loaded, until their words are edited; else the two text boxes.

    Raises:
        PromptError: A box is empty or a line is too long.
    """
    if taught and taught[1:] == (yes, no):
        return library.load(taught[0])
    ends = [[line.strip() for line in box.splitlines() if line.strip()] for box in (yes, no)]
    if not all(ends):
        raise PromptError("Both boxes need at least one line: what hazy looks like, and what clear looks like.")
    return PromptSet(MY_WORDS, *map(tuple, ends))


def readable(paths: Sequence[str]) -> tuple[list[Picture], list[str]]:
    """The pictures that can be read, and a sentence about each that cannot.

    Raises:
        ImageError: None can be read.
    """
    pictures, problems = [], []
    for path in paths[:MOST_PICTURES]:
        try:
            pictures.append(read_picture(path))
        except ImageError as error:
            problems.append(str(error))
    if len(paths) > MOST_PICTURES:
        problems.append(f"Only the first {MOST_PICTURES} of {len(paths)} pictures are shown.")
    if not pictures:
        raise ImageError(problems[0])
    return pictures, problems


def numbered(names: Sequence[str]) -> list[str]:
    """Names that all differ, for a menu that finds its entries by their text.

    Example:
        >>> numbered(["a.png", "b.png", "a.png"])
        ['a.png', 'b.png', 'a.png (2)']
    """
    found: list[str] = []
    for name in names:
        different = (name if number == 1 else f"{name} ({number})" for number in count(1))
        found.append(next(one for one in different if one not in found))
    return found


def _table(names: Sequence[str], scores: Sequence[float]) -> str:
    rows = "".join(
        f'<tr><td class="text name">{escape(name)}</td><td class="best" data-value="{score!r}">{score:.3f}</td>'
        f'<td class="text"><span class="effect" style="--share:{score:.3f}"></span></td></tr>'
        for name, score in zip(names, scores, strict=True)
    )
    return (
        '<div class="table-scroll"><table class="board"><thead><tr><th class="text name" scope="col">Picture</th>'
        f'<th scope="col">Haze, 0 to 1</th><th scope="col"></th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _bars(similarities: Sequence[tuple[str, str, float]]) -> str:
    """How near the picture is to every description: cosines, from zero to either side."""
    rows = [(f"{'hazy' if end == 'positive' else 'clear'}: {words}", cosine) for end, words, cosine in similarities]
    small = html.note(escape(text.HAZE_BARS))
    return small + html.panel(plots.bars(rows, "Similarity to descriptions", 3))


def left_out(sentences: Sequence[str]) -> str:
    """How many labelled pictures could not be read, and why, as HTML."""
    if not sentences:
        return ""
    return html.alert(f"Pictures that could not be read and do not count: {len(sentences)}.", sentences[:MOST_PICTURES])


def ranking_table(found: pandas.DataFrame) -> str:
    """The table of :func:`priors.evaluate.rank` as HTML."""
    rows = "".join(
        f'<tr><td class="text name">{escape(one.prompts)}</td>'
        f'<td class="best" data-value="{one.auroc!r}">{one.auroc:.3f}</td>'
        f'<td data-value="{one.accuracy!r}">{one.accuracy:.1%}</td>'
        f'<td data-value="{one.mean_positive!r}">{one.mean_positive:.3f}</td>'
        f'<td data-value="{one.mean_negative!r}">{one.mean_negative:.3f}</td></tr>'
        for one in found.itertuples()
    )
    titles = ("AUROC ↑", "Balanced accuracy at ½ ↑", "Mean, hazy", "Mean, clear")
    heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return (
        '<div class="table-scroll"><table class="board"><thead><tr><th class="text name" scope="col">Words</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
