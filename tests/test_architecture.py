"""Imports point one way; gradio stays in the house's front rooms; nothing heavy happens at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOOR = {
    "command_line",
    "compiled",
    "devices",
    "errors",
    "hashing",
    "version",
    "images",
    "resample",
    "guided_filter",
    "decoding",
    "icc",
    "netpbm",
}
ALLOWED = {
    "app": {"ui", "errors", "version"},
    "ui": {"ui", "eval", "restorers", "priors"} | FLOOR,
    "eval": {"eval", "restorers", "priors"} | FLOOR,
    "training": {"training", "eval", "restorers", "priors"} | FLOOR,
    "restorers": {"restorers", "priors"} | FLOOR,
    "priors": {"priors"} | FLOOR,
} | dict.fromkeys(FLOOR, FLOOR)
ROOMS = set(ALLOWED)
OUTSIDE = {"tests", "benchmarks", "scripts"}
LIGHT = (
    "command_line",
    "compiled",
    "errors",
    "hashing",
    "version",
    "images",
    "decoding",
    "icc",
    "netpbm",
    "resample",
    "guided_filter",
    "restorers.card",
    "restorers.registry",
    "eval.protocol",
    "eval.stats",
    "eval.leaderboard",
    "eval.metrics.registry",
    "eval.scoring",
    "ui.settings",
)
"""What programs that restore nothing import: worker processes, tables, and every command line's --help."""


def sources():
    for name in sorted(ROOMS):
        room = ROOT / name
        yield from sorted(room.rglob("*.py")) if room.is_dir() else [room.with_suffix(".py")]


def imports(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def wrong(room, source):
    """What a file of that room may not import: upper rooms, what is no part of the product, relative names, gradio."""
    used = {name.split(".")[0] for name in imports(source)}  # of a relative name nothing is left
    forbidden = (ROOMS | OUTSIDE | {""}) - ALLOWED[room] - {room}
    if room not in ("app", "ui"):
        forbidden |= {"gradio"}
    return sorted(used & forbidden)


@pytest.mark.parametrize("path", [p for p in sources() if p.exists()], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert wrong(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "line", "found"),
    [
        ("restorers", "from eval.rows import ScoreRow", ["eval"]),
        ("priors", "def f():\n    import restorers.registry", ["restorers"]),
        ("errors", "import ui", ["ui"]),
        ("training", "import gradio as gr", ["gradio"]),
        ("eval", "from tests.eval.boards import frame", ["tests"]),
        ("ui", "from benchmarks import metrics", ["benchmarks"]),
        ("app", "import scripts.screenshots", ["scripts"]),
        ("eval", "from . import rows", [""]),
        ("restorers", "from ..eval.rows import ScoreRow", [""]),
        ("ui", "import gradio, eval.rows", []),
    ],
)
def test_an_import_that_points_elsewhere_is_noticed(room, line, found):
    assert wrong(room, line) == found


def test_light_modules_import_neither_torch_nor_gradio():
    """Worker processes and command lines start in a blink only while these need neither."""
    code = f"""
import sys
from importlib import import_module
for name in {LIGHT}:
    import_module(name)
    for heavy in ("torch", "gradio", "open_clip"):
        assert heavy not in sys.modules, f"{{name}} imports {{heavy}}"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
