"""Repositories whose files are too large for whoever asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from errors import WeightsError
from restorers import hub
from restorers.download import Repository

SIZES = {"config.json": 2, "model.safetensors": 3_000_000_000, "small.safetensors": 2_000_000}


@pytest.fixture
def asked(monkeypatch, tmp_path: Path) -> list[object]:
    """What the Hub was asked for; it has one repository, and gives empty files."""
    found: list[object] = []

    def model_info(api: object, name: str, *, revision: str | None = None, files_metadata: bool = False) -> object:
        found.append(files_metadata)
        files = [SimpleNamespace(rfilename=f, size=size if files_metadata else None) for f, size in SIZES.items()]
        return SimpleNamespace(sha="c0", siblings=files)

    def download(name: str, filename: str, **options: object) -> str:
        found.append(filename)
        path = tmp_path / "snapshots" / "c0" / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        return str(path)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return found


def test_what_is_too_large_is_not_downloaded_and_what_lies_beside_it_is(asked: list) -> None:
    repository = Repository("org/name", largest=2_000_000)
    with pytest.raises(WeightsError, match=r"model\.safetensors of .* has 3 GB, more than the 0\.002 GB .*smaller"):
        repository.fetch("model.safetensors")
    assert repository.fetch("small.safetensors").is_file()
    assert asked == [True, "small.safetensors"]


def test_without_a_limit_sizes_are_not_asked_for(asked: list) -> None:
    assert Repository("org/name").fetch("model.safetensors").is_file()
    assert asked == [False, "model.safetensors"]


@pytest.mark.parametrize("name", ["org/name", "org/name/model.safetensors", "org/name@v1"])
def test_a_limit_holds_for_every_way_of_naming(asked: list, name: str) -> None:
    with pytest.raises(WeightsError, match="has 3 GB"):
        hub.load(name, largest=10**9)
    assert "model.safetensors" not in asked
