"""The README's snippets are run as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command, cwd):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_shell_tour(tmp_path):
    script = next(block for block in blocks("sh") if "python -m" in block).replace(" var/", f" {tmp_path}/")
    run(["bash", "-euc", script], ROOT)
    assert len(list((tmp_path / "dehazed").glob("*.png"))) == 8
    assert len(list((tmp_path / "brightened").glob("*.png"))) > 0
    assert {"rows.parquet", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "leaderboard.html"} <= {
        path.name for path in (tmp_path / "leaderboard").iterdir()
    }


def test_python_tour():
    printed = run([sys.executable, "-c", blocks("python")[0]], ROOT)
    assert [line.split()[0] for line in printed.splitlines()] == ["psnr", "ssim", "niqe"]
    psnr, ssim, niqe = (float(line.split()[1]) for line in printed.splitlines())
    assert psnr > 12 and ssim > 0.6, "the restored picture is scored, not the hazy one (8.5 dB, 0.53)"
    assert niqe > 0
