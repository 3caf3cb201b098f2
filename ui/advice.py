"""What errors of the rooms below tell a visitor to do: what to press here, in place of options of the command line.

Those rooms speak to whoever types commands, and their words also stand in files, where they stay as they are. For the
page, and for programs that call an endpoint, the clause that says what to do is exchanged, and paths of the server are
cut to file names.
"""

from __future__ import annotations

import re

import gradio as gr

from errors import UnveilError
from ui import html

SIZES = "Where sizes differ"
"""Label of the choice on Evaluate that sentences name."""

SIZE_POLICIES = {
    "error": "refuse the picture",
    "modcrop": "cut the larger at the bottom and right, by 7 pixels at most",
    "center-crop": "cut both to their common centre",
    "sots-10px": "cut 10 pixels around a reference that is 20 larger",
    "resize-output": "resize the output",
    "resize-reference": "resize the reference",
}
"""A protocol's answers to a size mismatch, in the words of that choice."""

_OPERATOR = "tell whoever runs this server"
_OPEN = "choose a model that is open to all"
_POLICY = re.compile(r"or name a policy in the protocol, for example \S+?\+([\w-]+) \(.*?\)")
_RULES = tuple(
    (re.compile(pattern), there)
    for pattern, there in (
        (r"give them with --niqe-parameters .*? niqe-embedded", "choose a protocol other than niqe-live"),
        (r"delete it, or give another with --niqe-parameters", f"leave NIQE out, and {_OPERATOR}"),
        (r"give --reference, or --metrics niqe", "add references, or tick NIQE alone"),
        (r"rename them, or give a table of pairs with csv:FILE", "give each input and its reference the same name"),
        (r"The results of (.*?) at .*? hold no pictures; check the path", r"The zip of \1 holds no pictures; add them"),
        (r"name one: \S+/FILE", "only repositories with one weight file can be loaded here"),
        (r"use ORG/NAME, a file, a folder, or a name from 'list'", "use ORG/NAME"),
        (r"ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN", _OPEN),
        (r"check the name, or log in with 'hf auth login'", "check the name; private models cannot be loaded here"),
        (r"log in with 'hf auth login' or set HF_TOKEN", _OPEN),
        (
            r"is not in the local cache and .*?; run 'hf download .*?' once with a network",
            "is not on this server, and the Hub cannot be reached from it; choose another, or try again later",
        ),
        (r"delete \S+ and try again", _OPERATOR),
        (r"close other programs or use --device cpu", "make the picture smaller, or choose another method"),
        (
            r"if it is an official checkpoint .*? run 'python -m restorers convert --arch NAME' on it",
            "choose a model of this project, or of an architecture that spandrel knows",
        ),
        (r"convert it (first with 'python -m restorers convert'|with --arch NAME)", "choose another model"),
        (r"'python -m priors learn' writes them", "load words that were saved on this page"),
        (r"with no network put its .*? and give local-dir:FOLDER", "check the name, or use embedded"),
        (r"(?<![\w/:.])~?/(?:[^\s/'\"]+/)+(?=[^\s/'\"])", ""),
    )
)


def in_browser(said: object) -> str:
    """An error's sentence with what to do about it on this page.

    Example:
        >>> in_browser("This set has no references for ssim to compare with; give --reference, or --metrics niqe.")
        'This set has no references for ssim to compare with; add references, or tick NIQE alone.'
    """
    return to_callers(
        _POLICY.sub(
            lambda found: f"or score again with “{SIZE_POLICIES[found[1]]}” under “{SIZES}” on Evaluate", str(said)
        )
    )


def to_callers(said: object) -> str:
    """An error's sentence for a program that calls an endpoint; it has no page, but it can name a policy.

    Example:
        >>> to_callers("/srv/hub/blobs/x.safetensors is damaged; delete /srv/hub/blobs/x.safetensors and try again.")
        'x.safetensors is damaged; tell whoever runs this server.'
    """
    sentence = str(said)
    for pattern, there in _RULES:
        sentence = pattern.sub(there, sentence)
    return sentence


def refused(error: UnveilError) -> str:
    """Say an error at the edge of the window, and return it as HTML for the place where the answer would be."""
    sentence = in_browser(error)
    gr.Warning(sentence)
    return html.alert(sentence)
