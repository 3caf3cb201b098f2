"""The real client against the stand-in: what it downloads, what it says when it may not, what it commits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.standin_hub import TOKEN, StandInHub


def client(hub: StandInHub, home: Path, code: str, token: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=hub.environment(home, token), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def hub():
    with StandInHub() as running:
        yield running


def test_a_client_downloads_small_and_large_files_of_every_kind_of_repository(hub, tmp_path):
    large = bytes(range(256)) * 5000
    first = hub.add("dataset", "lab/haze", {"metadata.csv": b"file_name\n1.png\n", "deep/er/1.png": large})
    hub.commit("dataset", "lab/haze", {"metadata.csv": b"newer"})
    hub.add("model", "lab/net", {"config.json": b"{}", "model.safetensors": large})
    code = f"""
from pathlib import Path
from huggingface_hub import hf_hub_download, snapshot_download, HfApi
old = Path(snapshot_download("lab/haze", repo_type="dataset", revision="{first}"))
assert (old / "deep/er/1.png").read_bytes() == bytes(range(256)) * 5000
new = Path(snapshot_download("lab/haze", repo_type="dataset"))
assert (new / "metadata.csv").read_bytes() == b"newer" and not (new / "deep").exists()
assert Path(hf_hub_download("lab/net", "model.safetensors")).stat().st_size == 1280000
assert HfApi().list_repo_files("lab/net") == ["config.json", "model.safetensors"]
assert HfApi().file_exists("lab/net", "config.json") and not HfApi().file_exists("lab/net", "nope")
"""
    client(hub, tmp_path, code)
    assert ("GET", f"/api/datasets/lab/haze/revision/{first}") in hub.requests or any(
        path.endswith(first) for _, path in hub.requests
    )


def test_errors_are_the_clients_own(hub, tmp_path):
    hub.add("model", "lab/secret", {"config.json": b"{}"}, private=True)
    hub.add("model", "lab/gated", {"config.json": b"{}"}, gated=True)
    hub.add("model", "lab/cut", {"model.safetensors": b"x" * 1000})
    hub.cut_short("model", "lab/cut", "model.safetensors", 400)
    code = """
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import *
def fails(kind, *args, **kwargs):
    try:
        hf_hub_download(*args, **kwargs)
    except kind as error:
        return
    raise AssertionError(f"no {kind}")
fails(RepositoryNotFoundError, "lab/none", "config.json")
fails(RepositoryNotFoundError, "lab/secret", "config.json")
fails(GatedRepoError, "lab/gated", "config.json")
fails(RevisionNotFoundError, "lab/cut", "model.safetensors", revision="v9")
fails(RemoteEntryNotFoundError, "lab/cut", "absent.bin")
fails(OSError, "lab/cut", "model.safetensors")
"""
    client(hub, tmp_path, code)
    open_to_the_token = "from huggingface_hub import hf_hub_download; hf_hub_download('lab/secret', 'config.json')"
    client(hub, tmp_path, open_to_the_token, TOKEN)


def test_a_client_creates_a_repository_and_commits_to_it(hub, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "README.md").write_text("---\nlicense: mit\n---\nHello")
    (tmp_path / "up" / "model.safetensors").write_bytes(b"weights" * 1000)
    code = f"""
from huggingface_hub import HfApi
api = HfApi()
assert api.whoami()["name"] == "tester"
api.create_repo("lab/new", private=True, exist_ok=True)
api.create_repo("lab/new", private=True, exist_ok=True)
api.upload_folder(repo_id="lab/new", folder_path={str(tmp_path / "up")!r})
api.upload_file(repo_id="lab/new", path_or_fileobj=b"a,b", path_in_repo="rows/x.csv")
api.delete_file("README.md", repo_id="lab/new")
"""
    client(hub, tmp_path / "home", code, TOKEN)
    assert hub.files("model", "lab/new") == {"model.safetensors": b"weights" * 1000, "rows/x.csv": b"a,b"}


def test_nothing_is_written_without_the_token(hub, tmp_path):
    code = """
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
try:
    HfApi().create_repo("lab/new", token=False)
except HfHubHTTPError as error:
    assert error.response.status_code == 401
else:
    raise AssertionError
"""
    client(hub, tmp_path, code)
    assert not hub.repositories.all
