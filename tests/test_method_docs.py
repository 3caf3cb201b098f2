"""The pages that map equations to code name code that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = re.compile(r"`([\w/]+\.py)::([\w.]+)`")


def references():
    for page in sorted((ROOT / "docs" / "methods").glob("*.md")):
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
