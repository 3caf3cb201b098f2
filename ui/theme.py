"""How the page looks: one accent colour on calm neutrals, type that reads, in light and dark.

Everything is local: fonts ship with gradio, the logo is inlined, nothing is fetched from elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

from eval import plots

ACCENT = colors.Color(
    name="lagoon",
    c50="#effafa",
    c100="#d3f0f1",
    c200="#a9e0e3",
    c300="#74cad0",
    c400="#3dacb5",
    c500="#17909b",
    c600="#0e7c86",
    c700="#0f656e",
    c800="#12525a",
    c900="#12444b",
    c950="#062b31",
)
NEUTRAL = colors.Color(
    name="slate-warm",
    c50="#fafaf9",
    c100="#f3f4f3",
    c200="#e5e7e6",
    c300="#d0d4d3",
    c400="#9aa1a1",
    c500="#6b7373",
    c600="#4d5555",
    c700="#363d3e",
    c800="#22282a",
    c900="#161b1d",
    c950="#0e1214",
)

LOGO = Path(__file__).resolve().parent.parent / "assets" / "logo.svg"


def theme() -> gr.themes.Base:
    """The gradio theme."""
    return gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue=NEUTRAL,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        # The semi-bold files that ship with gradio lack letters, so 600 is left to the bold ones.
        font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_200",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_900",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_border_width="0px",
        block_label_text_color="*neutral_500",
        block_label_text_color_dark="*neutral_400",
        block_label_text_weight="400",
        block_title_text_weight="600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_shadow="none",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        input_border_width="1px",
        button_border_width="1px",
        button_small_padding="6px 14px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        button_large_padding="10px 22px",
        button_large_text_weight="600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_600",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        checkbox_label_background_fill="white",
        checkbox_label_background_fill_dark="*neutral_900",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="*primary_950",
        checkbox_label_border_color_selected="*primary_500",
        checkbox_label_border_width="1px",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )


def css() -> str:
    """The style sheet of what gradio has no words for, and of the plots."""
    return plots.style("class") + (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def header(name: str, line: str) -> str:
    """The top of the page as HTML."""
    return (
        f'<header class="hub-header">{LOGO.read_text(encoding="utf-8")}<div><h1>{name}</h1><p>{line}</p></div></header>'
    )
