"""What a Space reads from the repository agrees with what was tested."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def requirements(name):
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]


def pins():
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = Requirement(line)
        found.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
    return found


def test_front_matter_is_what_a_space_accepts():
    data = SpaceCard.load(ROOT / "README.md").data.to_dict()
    assert data["sdk"] == "gradio"
    assert (ROOT / data["app_file"]).is_file()
    assert [data["sdk_version"]] == pins()["gradio"], "sdk_version is the gradio that was tested"
    assert data["python_version"] == "3.12"
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {data["colorFrom"], data["colorTo"]} <= colours
    assert data["license"] == "apache-2.0"
    assert len(data["short_description"]) <= 60
    for entry in data["preload_from_hub"]:
        assert entry.split()[0] in data["models"]


def test_the_preloaded_model_is_the_one_the_code_asks_for():
    from eval.metrics import niqe_model

    source = Path(niqe_model.__file__).read_text()
    for entry in SpaceCard.load(ROOT / "README.md").data.to_dict()["preload_from_hub"]:
        for word in entry.split():
            assert word in source


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-cluster.txt"])
def test_every_requirement_has_an_exact_pin_inside_its_range(name):
    for requirement in requirements(name):
        versions = pins()[requirement.name.lower().replace("_", "-")]
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_requested_packages_are_installed_by_a_space():
    names = {requirement.name for requirement in requirements("requirements.txt")}
    assert {"gradio", "torch", "huggingface_hub", "open_clip_torch", "pyiqa", "pandas"} <= names


def test_readme_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if not target.startswith(("http:", "https:", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_make_knows_every_documented_target():
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for target in ("setup", "demo", "test", "lint", "bench", "screenshots"):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
