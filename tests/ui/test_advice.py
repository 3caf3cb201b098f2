"""What the page says to do can be done on the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from errors import MetricError, SetError, UnveilError
from eval import protocol as protocols
from eval.alignment import align
from eval.protocol import Mismatch
from images import Picture
from tests.ui.conftest import noise_picture, png, start_job, wait_for, zipped
from ui import board, results
from ui.advice import SIZE_POLICIES, SIZES, in_browser, to_callers
from ui.evaluate import open_placed, pairing, place_sets, with_policy

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND_LINE = re.compile(
    r"--[a-z]|python -m|pip install|hf (auth|download)|HF_[A-Z]|csv:FILE|local-dir:F|/FILE|'list'"
)
OUT_OF_REACH = (
    "pyiqa",  # its metrics are not offered
    "--methods", "No metric is named", "--workers", "--shard", "Ray", "give --reference as well",
    "--device auto or cpu", "--dtype bf16", "hf auth login' or set HF_TOKEN.", "eval costs",
    "--metrics psnr,ssim,niqe", "You are not logged in", "--arch and the file",
    "replace it with --overwrite",
)  # fmt: skip
"""What only a command line can do wrong: the page has no such option, or checks it first."""


def sentences_with_options() -> Iterator[str]:
    """Every sentence of an error below the page that speaks of options or commands; ``X`` stands for what varies."""
    for room in ("eval", "restorers", "priors"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if "commands" in path.parts or path.name in ("__main__.py", "console.py", "publish.py", "convert.py"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                    said = words_of(node.exc.args[0])
                    if COMMAND_LINE.search(said):
                        yield said


def words_of(node: ast.expr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)


def test_no_sentence_sends_a_visitor_to_the_command_line() -> None:
    found = [said for said in sentences_with_options() if not any(words in said for words in OUT_OF_REACH)]
    assert len(found) > 8
    for said in found:
        shown = in_browser(said)
        assert not COMMAND_LINE.search(shown), shown
        assert shown.endswith(".") and shown != said


@pytest.mark.parametrize(("height", "policy"), [(80, "center-crop"), (116, "sots-10px"), (98, "modcrop")])
def test_a_size_mismatch_names_a_choice_of_the_page(height: int, policy: str) -> None:
    small, large = (Picture(noise_picture(0, side, side), "", "x.png") for side in (96, height))
    with pytest.raises(MetricError) as caught:
        align(small, large, protocols.get("dehaze-rgb"))
    shown = in_browser(caught.value)
    assert f"“{SIZE_POLICIES[policy]}” under “{SIZES}” on Evaluate." in shown
    assert "+" not in shown and "policy" not in shown
    assert f"dehaze-rgb+{policy}" in to_callers(caught.value), "a program can give that as its protocol"


def test_every_answer_to_a_size_mismatch_can_be_chosen() -> None:
    assert set(SIZE_POLICIES) == set(get_args(Mismatch))
    for name in protocols.names():
        for policy in SIZE_POLICIES:
            assert protocols.get(with_policy(name, policy)).size_mismatch == policy
        assert with_policy(name, "error") == name, "refusing must stay the same protocol"


def test_sizes_that_differ_are_announced_and_scored_as_chosen(engine, tmp_path: Path) -> None:
    inputs = zipped(tmp_path / "in.zip", {"a.png": png(noise_picture(0)[:64, :80])})
    references = zipped(tmp_path / "ref.zip", {"a.png": png(noise_picture(0))})
    folder = engine.scratch.folder(None)
    said = pairing(open_placed(folder, *place_sets(folder, [str(inputs)], [str(references)])).report)
    assert "but its reference" in said and SIZES in said

    job = start_job(engine, [inputs], [references], ["input"], wanted=["psnr"])
    wait_for(engine, job)
    with pytest.raises(UnveilError) as caught:
        engine.jobs.ranking(job, timings=True)
    assert SIZES in in_browser(caught.value) and "+center-crop" not in in_browser(caught.value)

    job = start_job(
        engine, [inputs], [references], ["input"], wanted=["psnr"], protocol=with_policy("dehaze-rgb", "center-crop")
    )
    assert wait_for(engine, job).status == "done"
    assert np.isfinite(engine.jobs.frame(job)["value"]).all()


def test_failures_and_jobs_speak_to_the_visitor(engine, tmp_path: Path) -> None:
    pictures = {name: png(noise_picture(0)) for name in ("a.png", "b.png")}
    references = pictures | {"b.png": png(noise_picture(0)[:64, :80])}
    packed = zipped(tmp_path / "in.zip", pictures), zipped(tmp_path / "ref.zip", references)
    job = start_job(engine, [packed[0]], [packed[1]], ["input"], wanted=["psnr"])
    wait_for(engine, job)
    said = board.failures(engine.jobs.ranking(job, timings=True))
    assert SIZES in said and "+center-crop" not in said

    alone = start_job(engine, [packed[0]], None, ["input"], wanted=["psnr"])
    shown = results.progress(wait_for(engine, alone))
    assert "add references, or tick NIQE alone" in shown and "--" not in shown.replace("<!--", "")


def test_results_without_pictures_name_no_folder_of_the_server(engine, tmp_path: Path) -> None:
    from eval.archives import UPLOAD_LIMITS
    from eval.methods import parse_method

    empty = zipped(tmp_path / "mine.zip", {"readme.txt": b"words"})
    with pytest.raises(SetError) as caught:
        parse_method(f"mine={empty}", UPLOAD_LIMITS)
    assert str(tmp_path) not in in_browser(caught.value)


def test_paths_of_the_server_are_cut_to_names_and_addresses_stay() -> None:
    assert in_browser("/srv/var/jobs/x/words.json is not JSON.") == "words.json is not JSON."
    assert in_browser("There is nothing at '/srv/var/x.zip'.") == "There is nothing at 'x.zip'."
    for kept in ("See https://example.org/a/b.", "org/name has no file 'x'.", "hf-hub:ORG/NAME", "1/n of a/b/c."):
        assert in_browser(kept) == kept
