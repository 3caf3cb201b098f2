"""The pages name code and files that exist, and commands that can be typed."""

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
METHODS = sorted((ROOT / "docs" / "methods").glob("*.md"))
REFERENCE = re.compile(r"`([\w/]+\.py)::([\w.]+)`")
FILE = re.compile(r"(?<![\w/])(?:restorers|priors|eval|training|benchmarks|scripts)/[\w/+-]+\.(?:py|yaml)\b")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BY_EQUATION = ("aecr_net", "clip_haze")
PARSERS = {"restorers": "parser", "priors": "parser", "training": "parser", "eval": "build_parser"}


def references():
    for page in METHODS:
        for path, symbol in sorted(set(REFERENCE.findall(page.read_text(encoding="utf-8")))):
            yield pytest.param(path, symbol, id=f"{page.stem}-{path}::{symbol}")


def find(body, names):
    for node in body:
        if getattr(node, "name", None) == names[0]:
            return True if len(names) == 1 else find(node.body, names[1:])
    return False


@pytest.mark.parametrize(("path", "symbol"), references())
def test_code_named_in_the_docs_exists(path, symbol):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert find(tree.body, symbol.split(".")), f"{path} has no {symbol}"


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_files_named_on_a_method_page_exist(page):
    named = sorted(set(FILE.findall(page.read_text(encoding="utf-8"))))
    assert named or page.stem not in BY_EQUATION
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", BY_EQUATION)
def test_the_equations_of_a_page_lead_to_code(page):
    text = (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")
    assert len(REFERENCE.findall(text.split("## Equation by equation")[1].split("\n## ")[0])) >= 6


def commands():
    """(room, arguments) of every ``python -m ROOM`` in a shell block; dots stand for what a score needs."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if language not in ("", "bash", "sh") or not re.search(rf"-m ({'|'.join(PARSERS)}) ", line):
                    continue
                text = re.sub(r" (?:…|\.\.\.)(?= )", " --input A --reference B --output C.csv", line)
                words = [*shlex.split(text, comments=True), "&&"]
                while words:
                    end = words.index("&&")
                    command, words = words[:end], words[end + 1 :]
                    room = command.index("-m") + 1
                    yield pytest.param(command[room], command[room + 1 :], id=f"{page.stem}: {' '.join(command)}")


@pytest.mark.parametrize(("room", "arguments"), commands())
def test_commands_in_the_docs_can_be_typed(room, arguments, capsys):
    parser = getattr(import_module(f"{room}.__main__"), PARSERS[room])()
    try:
        parser.parse_args(arguments)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)
