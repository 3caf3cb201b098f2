"""The method pages point at code that exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r"`([a-z_/0-9]+\.py)`((?:, `[A-Za-z_.0-9]+`)*)")


@pytest.mark.parametrize("page", ["aecr_net", "clip_haze"])
def test_equations_lead_to_names_that_exist(page):
    text = (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")
    table = text.split("## Equation by equation")[1].split("## ")[0]
    found = 0
    for path, names in PLACE.findall(table):
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        for name in re.findall(r"`([A-Za-z_.0-9]+)`", names):
            target = module
            for part in name.split("."):
                target = getattr(target, part)
            found += 1
    assert found >= 6


@pytest.mark.parametrize("page", ["aecr_net", "clip_haze"])
def test_recipes_and_benchmarks_that_are_named_exist(page):
    text = (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:training/recipes|benchmarks)/[\w-]+\.\w+", text))
    assert named
    assert all((ROOT / path).is_file() for path in named)
