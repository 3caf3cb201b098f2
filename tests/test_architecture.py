"""Imports point one way; gradio stays in the house's front rooms; nothing heavy happens at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOOR = {"command_line", "compiled", "errors", "hashing", "version", "images", "resample", "guided_filter"}
ALLOWED = {
    "app": {"ui", "errors", "version"},
    "ui": {"ui", "eval", "restorers", "priors"} | FLOOR,
    "eval": {"eval", "restorers", "priors"} | FLOOR,
    "training": {"training", "eval", "restorers", "priors"} | FLOOR,
    "restorers": {"restorers", "priors"} | FLOOR,
    "priors": {"priors"} | FLOOR,
} | dict.fromkeys(FLOOR, FLOOR)
ROOMS = set(ALLOWED)


def sources():
    for name in sorted(ROOMS):
        room = ROOT / name
        yield from sorted(room.rglob("*.py")) if room.is_dir() else [room.with_suffix(".py")]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


@pytest.mark.parametrize("path", [p for p in sources() if p.exists()], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    used = {name.split(".")[0] for name in imports(path)}
    assert used & ROOMS <= ALLOWED[room] | {room}, f"{path.name} imports upward"
    if room not in ("app", "ui"):
        assert "gradio" not in used, "gradio belongs to app.py and ui/"


def test_scoring_does_not_import_torch():
    """Worker processes start in a blink only while the scorer needs no torch."""
    code = "import eval.scoring, eval.protocol, eval.metrics.registry, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
