"""The whole round trip through a Hub on loopback that the real client talks to, in child processes."""

import json
import os

import pytest
from safetensors.torch import save

from hashing import sha256_of
from restorers.publish import write_folder
from tests.restorers import tiny
from tests.restorers.warm import Warm
from tests.standin_hub import TOKEN, StandInHub

PREAMBLE = """
import json, sys, torch
from errors import UnveilError
from restorers import hub
from tests.restorers import tiny
tiny.install()

def attempt(name, **options):
    try:
        model = hub.load(name, device="cpu", **options)
    except UnveilError as error:
        return type(error).__name__ + ": " + str(error)
    with torch.inference_mode():
        return {"sha256": model.weights_sha256, "title": model.card.title,
                "mean": float(model(torch.full((1, 3, 16, 18), 0.4)).mean())}
"""


@pytest.fixture(scope="module")
def child():
    """Runs code in a process of its own, as the client reads its settings when it is imported; JSON back."""
    with Warm() as warm:

        def run(environment, code, *arguments):
            status, out, err = warm.run(PREAMBLE + code, environment, *arguments)
            assert status == 0, err
            assert err == "", "the client must not chatter"
            return json.loads(out)

        yield run


@pytest.fixture(scope="module")
def hub():
    with StandInHub() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder as ``push`` would upload it."""
    path = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        from restorers import networks

        patch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
        write_folder(tiny.make(seed=5, width=6), path, repo_id="lab/tiny")
    return path


def mean_of(model):
    import torch

    with torch.inference_mode():
        return float(model(torch.full((1, 3, 16, 18), 0.4)).mean())


def test_what_is_pushed_is_what_is_loaded(child, hub, tmp_path):
    code = """
from restorers.publish import push
done = push(tiny.make(seed=7, width=5), "lab/pushed", private=True)
print(json.dumps({"revision": done.revision, "sha256": done.weights_sha256,
                  "again": attempt("lab/pushed"), "pinned": attempt("lab/pushed@" + done.revision)}))
"""
    result = child(hub.environment(tmp_path, TOKEN), code)
    files = hub.files("model", "lab/pushed")
    assert {"config.json", "model.safetensors", "README.md"} <= set(files)
    assert result["again"]["sha256"] == result["pinned"]["sha256"] == result["sha256"]
    assert result["again"]["mean"] == pytest.approx(mean_of(tiny.make(seed=7, width=5)), abs=1e-6)
    config = json.loads(files["config.json"])
    assert config["width"] == 5 and config["unveil"]["weights_sha256"] == result["sha256"]
    assert b"model-index" in files["README.md"] and b"21.5" in files["README.md"]


def test_pushing_without_a_token_or_a_network_is_one_sentence(child, hub, tmp_path):
    code = """
from restorers.publish import push
try:
    push(tiny.make(), "lab/refused")
except UnveilError as error:
    print(json.dumps(str(error)))
"""
    message = child(hub.environment(tmp_path), code)
    assert "hf auth login" in message and "\n" not in message
    for cut, reason in (
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "the Hub cannot be reached"),
    ):
        message = child(hub.environment(tmp_path, TOKEN) | cut, code)
        assert message.startswith("lab/refused could not be uploaded (") and reason in message and "\n" not in message


def test_loading_pinning_caching_and_working_offline(child, hub, folder, tmp_path):
    first = hub.add("model", "lab/tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    config["unveil"]["card"]["title"] = "Tiny, second"
    changed = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.commit("model", "lab/tiny", changed | {"config.json": json.dumps(config).encode()})
    online = child(
        hub.environment(tmp_path),
        """print(json.dumps([attempt("lab/tiny"), attempt("lab/tiny", revision=sys.argv[1]),
            attempt("lab/tiny", revision="nowhere")]))""",
        first,
    )
    assert [record["title"] for record in online[:2]] == ["Tiny, second", "Tiny"]
    assert online[0]["sha256"] == online[1]["sha256"] == sha256_of(folder / "model.safetensors")
    assert online[0]["mean"] == pytest.approx(mean_of(tiny.make(seed=5, width=6)), abs=1e-6)
    assert online[2].startswith("WeightsError: lab/tiny has no revision 'nowhere'")

    code = """print(json.dumps([attempt("lab/tiny"), attempt("lab/tiny@" + sys.argv[1]), attempt("lab/never-seen")]))"""
    asked = len(hub.requests)
    offline = child(hub.environment(tmp_path) | {"HF_HUB_OFFLINE": "1"}, code, first)
    assert len(hub.requests) == asked, "offline means no request"
    assert offline[:2] == online[:2]
    assert "HF_HUB_OFFLINE is set" in offline[2] and "hf download lab/never-seen" in offline[2]

    unreachable = child(hub.environment(tmp_path) | {"HF_ENDPOINT": "http://127.0.0.1:9"}, code, first)
    assert unreachable[:2] == online[:2], "a Hub that is down is like being offline"
    assert "cannot be reached" in unreachable[2]


def test_everything_that_can_go_wrong_is_one_sentence(child, hub, folder, tmp_path):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.add("model", "lab/private", files, private=True)
    hub.add("model", "lab/gated", files, gated=True)
    hub.add("model", "lab/cut", files)
    hub.cut_short("model", "lab/cut", "model.safetensors", 300)
    hub.add("model", "lab/truncated", files | {"model.safetensors": files["model.safetensors"][:300]})
    other = {key: value + 1 for key, value in tiny.make(seed=5, width=6).state_dict().items()}
    hub.add("model", "lab/swapped", files | {"model.safetensors": save(other)})
    hub.add("model", "lab/no-weights", {"config.json": files["config.json"]})
    hub.add("model", "lab/pickle", {"weights.pth": b"cos\nsystem\n(S'touch pwned'\ntR."})
    names = ["private", "gated", "cut", "truncated", "swapped", "no-weights", "pickle", "absent", "tiny/none.pth"]
    code = """
import time
time.sleep = lambda seconds: None  # between the client's tries at the file that is cut short
print(json.dumps([attempt(name) for name in sys.argv[1:]]))
"""
    said = child(hub.environment(tmp_path), code, *(f"lab/{name}" for name in names), "not a/repo id!")
    wanted = [
        ("WeightsError", "hf auth login"),
        ("WeightsError", "lab/gated", "hf auth login"),
        ("WeightsError", "model.safetensors", "try again"),
        ("WeightsError",),
        ("WeightsError", "not the file that its description names"),
        ("WeightsError", "no file 'model.safetensors'"),
        ("WeightsError", "refused"),
        ("WeightsError", "lab/absent", "private"),
        ("WeightsError",),
        ("UsageError", "ORG/NAME"),
    ]
    for message, words in zip(said, wanted, strict=True):
        assert isinstance(message, str), message
        assert "\n" not in message and all(word in message for word in words), message


def test_damage_in_the_cache_is_found(child, hub, folder, tmp_path):
    hub.add("model", "lab/rots", folder)
    environment = hub.environment(tmp_path)
    code = """
from pathlib import Path
good = attempt("lab/rots")
blob = next(p.resolve() for p in Path(sys.argv[1]).rglob("model.safetensors") if "rots" in str(p))
data = bytearray(blob.read_bytes()); data[-1] ^= 1
blob.write_bytes(data)
print(json.dumps([good, attempt("lab/rots"), str(blob)]))
"""
    good, message, blob = child(environment, code, str(tmp_path))
    assert good["title"] == "Tiny"
    assert message.startswith("WeightsError") and ("damaged in the local cache" in message or "not the file" in message)
    assert os.path.exists(blob)


def test_the_command_line_runs_and_pushes_by_the_same_names(child, hub, tmp_path):
    """``push`` and ``run`` with a repository, through the real entry point."""
    from images import write_picture
    from tests.restorers.test_pipeline import picture

    write_picture(tmp_path / "in.png", picture(24, 30).pixels)
    code = """
import contextlib, io
from restorers.__main__ import main
from restorers.checkpoint import constructor_arguments, save_file
model = tiny.make(seed=9, width=5)
save_file(sys.argv[1] + "/t.safetensors", "tiny", constructor_arguments(model), model.state_dict())
out = io.StringIO()
with contextlib.redirect_stdout(out):
    codes = [main(["push", sys.argv[1] + "/t.safetensors", "--repo-id", "lab/cli", "--json"]),
             main(["run", "--model", "lab/cli", sys.argv[1] + "/in.png", "--output", sys.argv[1] + "/out", "--json"])]
print(json.dumps([codes, *map(json.loads, out.getvalue().splitlines())]))
"""
    codes, pushed, record = child(hub.environment(tmp_path, TOKEN), code, str(tmp_path))
    assert codes == [0, 0]
    assert pushed["weights_sha256"] == record["weights_sha256"] == sha256_of(tmp_path / "t.safetensors")
    assert (tmp_path / "out" / "in.png").is_file()
