"""With the network cut, the app starts, answers, restores and scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from images import read_picture
from tests.ui import offline_probe

pytestmark = pytest.mark.timeout(400)


def isolated() -> bool:
    """Whether this machine lets us make a network namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not isolated(), reason="unshare -rn (a network namespace of our own) is not permitted here")
def test_the_app_answers_restores_and_scores_without_a_network(tmp_path: Path) -> None:
    from eval.protocol import get
    from eval.scoring import score
    from restorers.hub import load
    from restorers.pipeline import restore

    command = ["unshare", "-rn", sys.executable, offline_probe.__file__, tmp_path / "data"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cut"] is True
    assert found["page"] is True

    hazy, clear = (read_picture(offline_probe.EXAMPLES / side / "cat.jpg") for side in ("hazy", "clear"))
    from images import Picture

    output = Picture(restore(load("dark_channel"), hazy).pixels, "", "cat")
    expected = {one.metric: one.value for one in score(output, clear, ["psnr", "ssim", "niqe"], get("dehaze-rgb"))}
    assert found["scores"] == pytest.approx(expected, rel=1e-9)
