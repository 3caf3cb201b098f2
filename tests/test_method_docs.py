"""The pages name code and files that exist, and commands that can be typed."""

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from restorers import registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = re.compile(r"`([\w/]+\.py)::([\w.]+)`")
ROOMS = "restorers|priors|eval|training|ui|benchmarks|scripts|tests"
FILE = re.compile(rf"(?<![\w/])(?:{ROOMS})/[\w/+-]+\.(?:py|yaml|sh)\b")
TO_BE_WRITTEN = "your_"
PROGRAM = re.compile(r"python3? (?:-\w )?(benchmarks|scripts)[/.](\w+)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BY_EQUATION = ("aecr_net", "clip_haze")
PARSERS = {"restorers": "parser", "priors": "parser", "training": "parser", "eval": "build_parser"}


def references():
    for page in PAGES:
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_named_on_a_page_exist(page):
    named = sorted({path for path in FILE.findall(page.read_text(encoding="utf-8")) if TO_BE_WRITTEN not in path})
    assert named or page.stem not in BY_EQUATION
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_programs_named_in_the_docs_exist():
    named = {found for page in PAGES for found in PROGRAM.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 8
    assert [f"{room}/{name}.py" for room, name in sorted(named) if not (ROOT / room / f"{name}.py").is_file()] == []


@pytest.mark.parametrize("page", BY_EQUATION)
def test_the_equations_of_a_page_lead_to_code(page):
    text = (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")
    assert len(REFERENCE.findall(text.split("## Equation by equation")[1].split("\n## ")[0])) >= 6


def commands():
    """(room, arguments) of every ``python -m ROOM`` in a shell block; dots stand for what a score needs."""
    for page in PAGES:
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


SETS = {
    "rooms, even haze": "NYU 1349-1398, SOTS recipe",
    "rooms, patchy haze": "NYU 1349-1398, patchy haze",
    "photographs, drawn outdoor haze": "held-out photographs, synthetic outdoor haze",
    "photographs darkened with a sensor's noise": "the held-out BSDS500 photographs",
    "dark exposures of scenes": "multi-exposure pseudo-pairs",
    "Set5": None,
}
"""What the README calls a set, and how its name on the cards starts; None if the cards have figures of other sets."""


def shipped():
    """(method, metric, printed, measured) of the README's table, wherever the method's card has the figure."""
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## What ships")[1].split("\n## ")[0]
    rows = re.findall(r"^\|[^|]*\| \[`(.+?)`\]\(.+?\)[^|]*\| ([\d.]+) dB(?: / ([\d.]+))?[^|]*\| (.+?) \|$", table, re.M)
    assert len(rows) == table.count(" dB"), "a row of another form"
    measured_on = None
    for method, psnr, ssim, place in rows:
        if place != "the same":
            known = [words for words in SETS if place.startswith(words)]
            assert known, f"say in SETS which set {place!r} is"
            measured_on = SETS[known[0]]
        for metric, printed in (("psnr", psnr), ("ssim", ssim)):
            for figure in registry.card(method).figures:
                if measured_on and printed and figure.dataset.startswith(measured_on) and figure.metric == metric:
                    yield method, metric, printed, figure.value


def test_figures_of_the_readme_are_those_of_the_cards():
    rows = list(shipped())
    assert len(rows) >= 12, "most methods have a PSNR and an SSIM on their card"
    wrong = [row for row in rows if f"{row[3]:.{len(row[2].partition('.')[2])}f}" != row[2]]
    assert wrong == []
