"""Tab Evaluate: sets in, pairing looked at, methods scored, ranking and worst cases out.

The page only follows: the work is a job (:mod:`ui.jobs`) with its id in the page's address. A timer reads how far the
job is, so reloading the page, or opening it elsewhere, shows the same job.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import gradio as gr

from errors import SetError, UnveilError, UsageError
from eval import protocol as protocols
from eval.archives import UPLOAD_LIMITS
from eval.metrics import registry as metrics
from eval.sets import ImageSet, open_set
from images import is_picture_name
from restorers import registry
from ui import html, results, text
from ui.advice import SIZE_POLICIES, SIZES, in_browser, refused
from ui.engine import EXAMPLES, Engine
from ui.jobs import JobSpec
from ui.session import gather, safe_stem

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
EXAMPLE_SETS = {
    "example-haze": ("Use the hazy examples", "haze/hazy", "haze/clear", "dehaze", "dehaze-rgb"),
    "example-low-light": ("Use the dark examples", "lowlight/low", "lowlight/normal", "lowlight", "lowlight-rgb"),
}
SET_JOB_IN_ADDRESS = """(job) => {
  const url = new URL(window.location);
  if (job) url.searchParams.set('job', job); else url.searchParams.delete('job');
  window.history.replaceState(null, '', url);
  return job;
}"""


def build(engine: Engine, page: gr.Blocks, tabs: gr.Tabs) -> gr.CheckboxGroup:
    """Lay out the tab and wire it; returns the list of methods."""
    gr.HTML(html.lede(text.EVALUATE))
    draft = gr.State(None)
    job = gr.Textbox(visible=False, elem_id="job-id")
    timer = gr.Timer(1.0, active=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            gr.Markdown("### 1 · Pictures")
            inputs = _files(text.EVALUATE_INPUTS, "evaluate-inputs")
            references = _files(text.EVALUATE_REFERENCES, "evaluate-references")
            with gr.Row():
                examples = [
                    gr.Button(label, size="sm", elem_id=name, min_width=160)
                    for name, (label, *_) in EXAMPLE_SETS.items()
                ]
            report = gr.HTML(html.empty(text.EVALUATE_PAIRS_EMPTY), elem_id="pairing-report")
        with gr.Column(scale=5, min_width=320):
            gr.Markdown("### 2 · Methods and measures")
            methods = gr.CheckboxGroup(
                engine.ranking_choices(),
                value=_default_methods("dehaze"),
                label="Methods to compare",
                elem_id="evaluate-methods",
            )
            with gr.Accordion("Add results of other methods", open=False):
                own = gr.File(
                    label=text.EVALUATE_RESULTS,
                    file_count="multiple",
                    file_types=[".zip"],
                    height=130,
                    elem_id="evaluate-results",
                    elem_classes="small-drop",
                )
            chosen = gr.CheckboxGroup(
                [(metrics.spec(name).title, name) for name in metrics.names()], value=metrics.names(), label="Metrics"
            )
            protocol = gr.Dropdown(protocols.names(), value=protocols.DEFAULT, label="Protocol")
            sizes = gr.Dropdown(
                [(words, policy) for policy, words in SIZE_POLICIES.items()],
                value=next(iter(SIZE_POLICIES)),
                label=SIZES,
                elem_id="evaluate-sizes",
            )
            sentence = gr.HTML(html.note(html.escape(protocols.get(protocols.DEFAULT).sentence)))
            title = gr.Textbox(label="Name of the set", max_length=60, elem_id="set-name")
            share = gr.Checkbox(True, label="Add the scores to this server's leaderboard")
            gr.HTML(html.note(text.EVALUATE_KEEP.format(hours=engine.settings.keep_hours)))
            start = gr.Button("Score and rank", variant="primary", elem_id="evaluate-start")
    gr.Markdown("### 3 · Ranking")
    about = gr.HTML(elem_id="job-about")
    progress = gr.HTML(elem_id="job-progress")
    with gr.Row():
        cancel = gr.Button("Stop", size="sm", visible=False, elem_id="job-cancel")
        resume = gr.Button("Go on", size="sm", visible=False, elem_id="job-resume")
    view = results.build(engine, job)

    def look(files: list[str] | None, others: list[str] | None, name: str, request: gr.Request) -> tuple:
        """Pair what was uploaded, before anything is scored."""
        if not files:
            return None, html.empty(text.EVALUATE_PAIRS_EMPTY), gr.skip()
        folder = engine.scratch.folder(request)
        try:
            found = place_sets(folder, files, others)
            image_set = open_placed(folder, *found)
        except UnveilError as error:
            return None, refused(error), gr.skip()
        wanted = metrics.names() if image_set.has_references else _without_reference()
        named = gr.skip() if name.strip() else safe_stem(Path(files[0]).name if len(files) == 1 else "my-set")
        return (str(folder), *found), pairing(image_set.report), (wanted, named)

    def looked(files: list[str] | None, others: list[str] | None, name: str, request: gr.Request) -> tuple:
        state, shown, more = look(files, others, name, request)
        wanted, named = more if isinstance(more, tuple) else (gr.skip(), gr.skip())
        return state, shown, wanted, named

    def example(name: str) -> tuple:
        _, degraded, clear, task, suited = EXAMPLE_SETS[name]
        files = [[str(path) for path in sorted((EXAMPLES / part).iterdir())] for part in (degraded, clear)]
        return *files, _default_methods(task), suited, name

    def begin(
        state: tuple | None,
        names: list[str],
        uploads: list[str] | None,
        wanted: list[str],
        how: str,
        sizes: str,
        name: str,
        keep: bool,
    ) -> tuple:
        try:
            started = submit(engine, state, names, uploads or [], wanted, with_policy(how, sizes), name, keep)
        except UnveilError as error:
            return gr.skip(), refused(error), gr.skip(), gr.skip()
        return started, html.note("Starting …"), gr.Timer(active=True), describe(engine, started)

    def follow(current: str) -> tuple:
        """One look at the job: progress, what may be pressed, whether to look again."""
        if not current:
            return gr.skip(), gr.Timer(active=False), gr.skip(), gr.skip()
        try:
            state = engine.jobs.state(current)
        except UnveilError as error:
            gone = html.alert(in_browser(error))
            return gone, gr.Timer(active=False), gr.Button(visible=False), gr.Button(visible=False)
        shown = results.progress(state)
        return (
            shown,
            gr.Timer(active=not state.ended),
            gr.Button(visible=not state.ended),
            gr.Button(visible=state.status in ("cancelled", "interrupted")),
        )

    def go_on(current: str) -> tuple:
        try:
            engine.jobs.resume(current)
        except UnveilError as error:
            return refused(error), gr.skip()
        return gr.skip(), gr.Timer(active=True)

    def reattach(request: gr.Request) -> tuple:
        current = request.query_params.get("job", "")
        if not current:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return current, gr.Timer(active=True), gr.Tabs(selected="evaluate"), describe(engine, current)

    watched = [progress, timer, cancel, resume]
    for component in (inputs, references):
        component.change(
            looked,
            [inputs, references, title],
            [draft, report, chosen, title],
            api_visibility="private",
            show_progress_on=report,
        )
    for button, name in zip(examples, EXAMPLE_SETS, strict=True):
        button.click(
            lambda name=name: example(name),
            None,
            [inputs, references, methods, protocol, title],
            api_visibility="private",
        )
    for component in (protocol, sizes):
        component.change(
            lambda *how: html.note(html.escape(protocols.get(with_policy(*how)).sentence)),
            [protocol, sizes],
            sentence,
            api_visibility="private",
        )
    start.click(
        begin,
        [draft, methods, own, chosen, protocol, sizes, title, share],
        [job, progress, timer, about],
        api_visibility="private",
        trigger_mode="once",
    ).then(None, job, job, js=SET_JOB_IN_ADDRESS, api_visibility="private").then(
        None, js=html.show_script("#job-progress"), api_visibility="private"
    )
    ticking = timer.tick(follow, job, watched, show_progress="hidden", api_visibility="private", concurrency_limit=None)
    ticking.then(view.refresh, [job, view.seen], view.outputs, show_progress="hidden", api_visibility="private")
    cancel.click(engine.jobs.cancel, job, None, api_visibility="private")
    resume.click(go_on, job, [progress, timer], api_visibility="private")
    page.load(reattach, None, [job, timer, tabs, about], api_visibility="private")
    return methods


def place_sets(folder: Path, inputs: Sequence[str], references: Sequence[str] | None) -> tuple[str, str | None]:
    """Bring uploads into ``folder`` as two sets; returns their places in it.

    Raises:
        SetError: Something that is neither a picture nor an archive, or a mixture of both.
    """
    return _place(folder, "input", inputs), _place(folder, "reference", references) if references else None


def open_placed(folder: Path, inputs: str, references: str | None) -> ImageSet:
    """The sets that :func:`place_sets` put into ``folder``, looked at.

    Raises:
        SetError: They cannot be opened, or claim more than uploads may.
    """
    return open_set(folder / inputs, folder / references if references else None, limits=UPLOAD_LIMITS, inspect=True)


def submit(
    engine: Engine,
    draft: tuple | None,
    methods: Sequence[str],
    results_zips: Sequence[str],
    wanted: Sequence[str],
    protocol: str,
    title: str,
    share: bool,
) -> str:
    """Check what was chosen, move the files to a new job, and start it; returns its id.

    Raises:
        UsageError: Something is missing; the sentence says what.
    """
    if not draft:
        raise UsageError("There are no pictures yet; drop a zip of pictures, or use an example set.")
    known = set(_known_methods(engine))
    names = [engine.as_method(name) for name in methods if name in known]
    if not names and not results_zips:
        raise UsageError("No method is ticked; tick at least one, or add a zip of results.")
    if not wanted:
        raise UsageError("No metric is ticked; tick at least one.")
    protocols.get(protocol)
    folder, degraded, reference = draft
    if not Path(folder).is_dir():
        raise UsageError("The uploaded pictures are gone, because the page was idle for long; upload them again.")
    job, files = engine.jobs.new_folder()
    shutil.copytree(folder, files, dirs_exist_ok=True, copy_function=_link)
    for path in results_zips:
        name = method_name(Path(path).name, [*names, *known])
        gather([path], files / "results" / name)
        names.append(f"{name}=results/{name}/{Path(path).name}")
    spec = JobSpec(_title(title), degraded, reference, tuple(names), tuple(wanted), protocol, share)
    engine.jobs.start(job, spec)
    return job


def describe(engine: Engine, job: str) -> str:
    """What a job scores, as one line of HTML above its ranking; the form may say something else by now."""
    try:
        spec = engine.jobs.spec(job)
    except UsageError:
        return ""  # the progress line says so
    methods = ", ".join(item.partition("=")[0] for item in spec.methods)
    measures = ", ".join(metrics.spec(name).title for name in spec.metrics)
    words = (f"Set {spec.title}", f"protocol {spec.protocol}", f"methods {methods}", f"metrics {measures}")
    return html.note(html.escape(" · ".join(words)))


def pairing(report: object) -> str:
    """The pairing report as HTML: one sentence, and what needs attention as a list."""
    first, *rest = report.lines(most=8)
    if any(" but its reference " in sentence for sentence in report.sizes):
        rest.append(text.EVALUATE_SIZES.format(label=SIZES))
    return html.alert(first, rest, good=report.clean, summary="What to know before scoring", unfolded=True)


def with_policy(protocol: str, sizes: str) -> str:
    """The name of a protocol with an answer to a size mismatch; refusing is what every protocol does by itself."""
    return protocol if sizes == "error" else f"{protocol}+{sizes}"


def method_name(file_name: str, taken: Iterable[str]) -> str:
    """The name of a method from the name of its zip; a number is added where the name is taken."""
    base = re.sub(r"[^\w.-]+", "-", file_name.split(".")[0]).strip("-.") or "results"
    used = {name.partition("=")[0] for name in taken}
    name, count = base, 2
    while name in used:
        name, count = f"{base}-{count}", count + 1
    return name


def _known_methods(engine: Engine) -> list[str]:
    return [name for _, name in engine.ranking_choices()]


def _default_methods(task: str) -> list[str]:
    return ["input", *registry.names(task)]


def _without_reference() -> list[str]:
    return [name for name in metrics.names() if not metrics.spec(name).needs_reference]


def _files(label: str, elem_id: str) -> gr.File:
    return gr.File(
        label=label,
        file_count="multiple",
        file_types=[*ARCHIVES, "image"],
        height=130,
        elem_id=elem_id,
        elem_classes="small-drop",
    )


def _place(folder: Path, side: str, paths: Sequence[str]) -> str:
    names = [Path(path).name for path in paths]
    packed = [name for name in names if name.lower().endswith(ARCHIVES)]
    strange = [name for name in names if name not in packed and not is_picture_name(name)]
    if strange:
        raise SetError(
            f"{strange[0]} is neither a picture nor a zip; give PNG, JPEG, WebP, TIFF, BMP, PPM, PGM, or one zip."
        )
    if packed and len(names) > 1:
        raise SetError("Give either one zip or pictures, not both; put all of them into one zip.")
    gather(paths, folder / side)
    return f"{side}/{packed[0]}" if packed else side


def _link(source: str, target: str) -> None:
    gather([source], Path(target).parent)


def _title(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:60] or "unnamed set"
