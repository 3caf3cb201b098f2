"""Entry point of the Space and of ``make demo``: settings, tabs, launch."""

from __future__ import annotations

import sys

import gradio as gr

from errors import UnveilError, UsageError
from ui import api, diagnose, evaluate, haze, leaderboard, models, restore, text, theme
from ui.engine import Engine
from ui.settings import Settings, from_environment


def make_page(engine: Engine) -> gr.Blocks:
    """The whole page; nothing runs until it is launched."""
    with gr.Blocks(title=text.NAME, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        api.offer(engine)
        gr.HTML(theme.header(text.NAME, text.LINE))
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            with gr.Tab("Restore", id="restore"):
                method = restore.build(engine)
            with gr.Tab("Haze", id="haze"):
                haze.build(engine)
            with gr.Tab("Evaluate", id="evaluate"):
                methods = evaluate.build(engine, page, tabs)
            with gr.Tab("Leaderboard", id="leaderboard") as board:
                leaderboard.build(engine, board)
            with gr.Tab("Diagnose", id="diagnose"):
                diagnose.build(engine)
            with gr.Tab("Models", id="models"):
                models.build(engine, method, methods)

        def forget(request: gr.Request) -> None:
            engine.scratch.forget(request)

        page.unload(forget)
    return page.queue(max_size=engine.settings.queue_size, default_concurrency_limit=4)


def launch(settings: Settings, **options: object) -> tuple[gr.Blocks, Engine]:
    """Start the server; ``options`` go to gradio's ``launch``."""
    engine = Engine(settings)
    engine.offer_models()
    page = make_page(engine)
    engine.keep_sweeping()
    page.launch(
        server_name=settings.host,
        server_port=settings.port,
        theme=theme.theme(),
        css=theme.css(),
        favicon_path=theme.LOGO,
        max_file_size=settings.max_upload,
        run_history=False,
        ssr_mode=False,
        mcp_server=settings.mcp,
        footer_links=["api", "settings"],
        **options,
    )
    return page, engine


def main() -> int:
    """Serve until stopped; returns the exit status: 1 failed, 2 unusable settings."""
    try:
        launch(from_environment())
    except UnveilError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
