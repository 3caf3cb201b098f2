"""The mirror against a stand-in Hub, through the real client and its real commit scheduler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.standin_hub import TOKEN, StandInHub

ROOT = Path(__file__).parents[2]


def child(hub: StandInHub, home: Path, code: str, token: str | None = TOKEN) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=hub.environment(home, token), cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def hub():
    with StandInHub() as running:
        yield running


def test_rows_survive_the_loss_of_the_disk(hub, tmp_path):
    write = """
from eval.mirror import Mirror
from eval.store import Store
from tests.eval.test_store import row
mirror = Mirror("lab/board", "{folder}", every_minutes=60)
mirror.add([row("1", method="{method}"), row("2", method="{method}")])
mirror.push()
mirror.add([row("3", method="{method}")])
mirror.add([])
mirror.close()
"""
    for method in ("a", "b"):  # two processes one after the other, as two starts of a Space
        child(hub, tmp_path / "home", write.format(folder=tmp_path / f"out-{method}", method=method))
    names = list(hub.files("dataset", "lab/board"))
    assert len(names) == len(set(names)) == 4 and all(name.startswith("rows/") for name in names)
    assert hub.repositories.all["dataset", "lab/board"].private
    read = f"""
from eval.mirror import Mirror
from eval.store import Store
mirror = Mirror("lab/board", "{tmp_path / "fresh"}", every_minutes=60)
with Store("{tmp_path / "rows.sqlite"}") as store:
    print(mirror.load(store), sorted((row.method, row.image) for row in store.rows()))
mirror.close()
"""
    seen = child(hub, tmp_path / "another home", read)
    assert seen.strip() == f"6 {[(method, image) for method in 'ab' for image in '123']}"
    assert len(hub.files("dataset", "lab/board")) == 4, "a reader commits nothing"


def test_no_token_no_mirror(hub, tmp_path):
    code = f"""
from errors import StoreError
from eval.mirror import Mirror
for token in (None, "hf_wrong"):
    try:
        Mirror("lab/board", "{tmp_path / "out"}", token=token)
    except StoreError as error:
        print(error)
"""
    first, second = child(hub, tmp_path / "home", code, token=None).strip().splitlines()
    assert "without a token" in first and "check the name and the token" in second
    assert not hub.repositories.all
