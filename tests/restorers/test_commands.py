"""The command line: names and flags of the contract, exit statuses, one-line errors, records for machines."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from images import read_picture, write_picture
from restorers import hub, networks, publish, registry, verify
from restorers.__main__ import main
from restorers.card import UNKNOWN_LICENCE, Figure, RestorerCard
from restorers.checkpoint import described
from restorers.checkpoint import save_file as save_weights
from restorers.classical.lime import Lime
from restorers.networks.scl_lle import SclLle
from restorers.pipeline import restore
from tests.restorers import tiny
from tests.restorers.test_pipeline import picture

ROOT = Path(__file__).resolve().parents[2]
DIGEST = registry.card("scl_lle").weights_sha256


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    for number in (1, 2, 10):
        write_picture(folder / f"p{number}.png", picture(24, 30, number).pixels)
    return folder


def run(capsys, *arguments):
    """Exit status, stdout and stderr."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as error:
        status = error.code
    said = capsys.readouterr()
    return status, said.out, said.err


def failed(capsys, status, words, *arguments):
    got, _, err = run(capsys, *arguments)
    assert got == status, err
    assert words in err and err.count("\n") == 1 and "Traceback" not in err, err


def test_list_shows_every_method_and_the_whole_cards(capsys):
    _, out, _ = run(capsys, "list")
    assert [line.split()[0] for line in out.splitlines()] == registry.names()
    _, out, _ = run(capsys, "list", "--json", "--task", "sr")
    cards = [asdict(registry.card(name)) for name in registry.names("sr")]
    assert json.loads(out) == json.loads(json.dumps(cards))


def test_list_says_that_a_task_has_no_methods(capsys):
    status, out, err = run(capsys, "list", "--task", "refine")
    assert (status, out) == (0, "")
    assert err == "There are no methods for the task refine; there are some for dehaze, lowlight, sr.\n"
    assert run(capsys, "list", "--task", "refine", "--json") == (0, "[]\n", "")


def test_run_writes_one_png_and_one_record_a_picture(capsys, pictures, tmp_path):
    arguments = ("run", "--model", "bicubic_x2", pictures, "--output", tmp_path / "out", "--json")
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert [Path(record["input"]).name for record in records] == ["p1.png", "p2.png", "p10.png"]
    for record in records:
        written = read_picture(record["output"])
        assert (written.width, written.height) == (record["width"], record["height"]) == (60, 48)
        assert record["model"] == "bicubic_x2" and record["weights_sha256"] is None
        assert record["seconds"] > 0 and record["peak_mib"] > 0


def test_run_takes_a_weight_file_tiles_and_precision(capsys, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
    from restorers import checkpoint

    model = tiny.make()
    file = tmp_path / "tiny.safetensors"
    digest = checkpoint.save_file(file, "tiny", checkpoint.constructor_arguments(model), model.state_dict())
    flags = ("--device", "cpu", "--dtype", "bf16", "--tile", "32", "--overlap", "4", "--json")
    write_picture(tmp_path / "big.png", picture(50, 70).pixels)
    status, out, _ = run(capsys, "run", "--model", file, tmp_path / "big.png", "--output", tmp_path / "out", *flags)
    record = json.loads(out)
    assert status == 0 and record["weights_sha256"] == digest
    assert record["tiles"] > 1 and record["dtype"] == "bfloat16" and record["device"] == "cpu"


def test_a_bad_picture_costs_one_picture(capsys, pictures, tmp_path):
    (pictures / "p3.png").write_bytes((pictures / "p2.png").read_bytes()[:60])
    status, out, err = run(capsys, "run", "--model", "lime", pictures, "--output", tmp_path / "out", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and len(list((tmp_path / "out").iterdir())) == 3
    assert [Path(record["input"]).name for record in records if "error" in record] == ["p3.png"]
    assert err.splitlines()[-1] == "error: 1 of 4 pictures could not be restored."


def test_pictures_of_one_stem_cost_these_pictures(capsys, pictures, tmp_path):
    write_picture(tmp_path / "other" / "p1.bmp", picture(20, 20).pixels)
    words = ("run", "--model", "bicubic_x2", pictures, tmp_path / "other", "--output", tmp_path / "out", "--json")
    status, out, err = run(capsys, *words)
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p10.png", "p2.png"]
    assert [Path(record["input"]).name for record in records if "error" in record] == ["p1.png", "p1.bmp"]
    first, second, count = err.splitlines()
    assert first.startswith(f"error: {pictures / 'p1.png'} and {tmp_path / 'other' / 'p1.bmp'} would be written to one")
    assert second.endswith("p1.png; rename them, or restore them to two folders.")
    assert count == "error: 2 of 4 pictures could not be restored."


def test_pictures_that_are_not_read_are_named_once(capsys, pictures, tmp_path):
    for name in ("anim.gif", "notes.txt", ".hidden.gif", "deep/photo.HEIC"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).write_bytes(b"x")
    status, _, err = run(capsys, "run", "--model", "bicubic_x2", pictures, "--output", tmp_path / "out")
    assert (status, err) == (0, "2 files left out: anim.gif (GIF is not read), photo.HEIC (HEIC is not read)\n")
    words = ("run", "--model", "bicubic_x2", pictures / "deep", "--output", tmp_path / "out")
    failed(capsys, 2, "are not read, photo.HEIC for one; export them as PNG", *words)
    for number in range(5):
        (pictures / "deep" / f"{number}.psd").write_bytes(b"x")
    status, _, err = run(capsys, "run", "--model", "bicubic_x2", pictures, "--output", tmp_path / "more")
    assert err.startswith("7 files left out: anim.gif (") and err.endswith("3.psd (PSD is not read), and 2 more\n")


def test_an_output_named_as_a_picture_is_refused_and_no_folder_of_that_name_made(capsys, pictures, tmp_path):
    words = ("run", "--model", "lime", pictures / "p1.png", "--output", tmp_path / "restored.png")
    failed(capsys, 2, "restored.png names a picture; --output is a folder", *words)
    assert not (tmp_path / "restored.png").exists()


def test_the_device_is_looked_at_first(capsys, pictures):
    words = ("run", "--model", "lime", pictures, "--output", pictures)
    failed(capsys, 2, "no device called 'banana'", *words, "--device", "banana")


def test_every_error_names_the_picture(capsys, pictures, tmp_path, monkeypatch):
    """Also what the method says, and what a model raises in its own way; the other pictures are restored."""

    def fall(self, x):
        if x.shape[-1] == 31:
            raise IndexError("index 7 is out of range")
        if x.shape[-1] == 33:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

    monkeypatch.setattr(Lime, "enhance", fall)
    for name, width in (("small", 8), ("odd", 31), ("large", 33)):
        write_picture(pictures / f"{name}.png", picture(24, width).pixels)
    status, out, err = run(capsys, "run", "--model", "lime", pictures, "--output", tmp_path / "out", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and len(list((tmp_path / "out").iterdir())) == 3
    reasons = {Path(record["input"]).stem: record["error"] for record in records if "error" in record}
    assert reasons["small"].startswith("small.png: A picture of 8x24 is too small")
    assert reasons["odd"] == "LIME failed on odd.png: IndexError index 7 is out of range."
    assert reasons["large"].startswith("large.png: LIME ran out of memory on 33x24")
    assert err.splitlines()[:-1] == [f"error: {reasons[name]}" for name in sorted(reasons)]


def test_errors_stand_on_a_line_of_their_own_where_somebody_watches(capsys, pictures, tmp_path, monkeypatch):
    (pictures / "p2.png").write_bytes(b"text")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    _, _, err = run(capsys, "run", "--model", "bicubic_x2", pictures, "--output", tmp_path / "out")
    assert "\r\x1b[Kerror: p2.png is not a picture" in err and "\r1/3 p1.png\x1b[K\r\x1b[K\r2/3" in err


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (("run", "--model", "lime", "x.png", "--output", "y", "--overwirte"), "python -m restorers run"),
        (("list", "stray"), "python -m restorers list"),
        (("run", "x.png"), "python -m restorers run"),
        (("rum",), "python -m restorers"),
    ],
)
def test_wrong_arguments_point_to_the_help_of_their_command(capsys, words, program):
    status, _, err = run(capsys, *words)
    assert status == 2 and err.startswith(f"{program}: ") and err.endswith(f"; see {program} --help\n")


def test_unusable_arguments_are_status_2(capsys, pictures, tmp_path):
    out = ("--output", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    failed(capsys, 2, "did you mean dark_channel", "run", "--model", "dark_chanel", pictures, *out)
    failed(capsys, 2, "no picture or folder", "run", "--model", "lime", tmp_path / "none.png", *out)
    failed(capsys, 2, "holds no pictures", "run", "--model", "lime", tmp_path / "empty", *out)
    failed(capsys, 2, "overwritten by its own", "run", "--model", "lime", pictures, "--output", pictures)
    failed(capsys, 2, "is a file", "run", "--model", "lime", pictures, "--output", pictures / "p1.png")
    failed(capsys, 2, "--tile", "run", "--model", "lime", pictures, *out, "--tile", "3x")
    failed(capsys, 2, "from 32", "run", "--model", "lime", pictures, *out, "--tile", "8")
    failed(capsys, 2, "no cuda:77", "run", "--model", "lime", pictures, *out, "--device", "cuda:77")
    failed(
        capsys, 2, "fp16 needs a GPU", "run", "--model", "lime", pictures, *out, "--dtype", "fp16", "--device", "cpu"
    )
    failed(capsys, 2, "required", "run", pictures, *out)
    failed(capsys, 2, "invalid choice", "rum")
    failed(capsys, 2, "did you mean aecr_net", "convert", "--arch", "aecr", "x.pth", "--output", "x.safetensors")
    failed(capsys, 2, ".safetensors", "convert", "--arch", "aecr_net", "x.pth", "--output", "x.pth")
    failed(capsys, 2, "no weights", "push", "lime", "--repo-id", "a/b")


def test_failures_are_status_1(capsys, pictures, tmp_path):
    failed(capsys, 1, "no file or folder", "run", "--model", "./x.safetensors", pictures, "--output", tmp_path / "out")
    (tmp_path / "note.png").write_text("hello")
    failed(capsys, 1, "is not a picture", "run", "--model", "lime", tmp_path / "note.png", "--output", tmp_path / "out")
    failed(
        capsys, 1, "no weight file", "convert", "--arch", "aecr_net", "x.pth", "--output", tmp_path / "x.safetensors"
    )


def test_debug_shows_the_traceback(capsys, pictures, tmp_path):
    words = ["run", "--model", "nothing", str(pictures), "--output", str(tmp_path / "out"), "--debug"]
    assert main(words) == 2
    assert "UnknownNameError" in capsys.readouterr().err


def test_convert_is_strict_and_its_result_runs(capsys, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
    model = tiny.make(seed=2)
    official, output = tmp_path / "official.pth", tmp_path / "ours.safetensors"
    torch.save({"params": {f"module.{key}": value for key, value in model.state_dict().items()}}, official)
    status, out, _ = run(capsys, "convert", "--arch", "tiny", official, "--output", output)
    assert status == 0 and "6 tensors" in out
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in load_file(output).items())
    status, _, _ = run(capsys, "run", "--model", output, pictures, "--output", tmp_path / "out")
    assert status == 0
    save_file({"up.bias": torch.zeros(3)}, tmp_path / "part.safetensors")
    arguments = ("convert", "--arch", "tiny", tmp_path / "part.safetensors", "--output", tmp_path / "no.safetensors")
    failed(capsys, 1, "missing", *arguments)
    assert not (tmp_path / "no.safetensors").exists()


def test_embedded_weights_are_what_their_cards_say(capsys):
    status, out, err = run(capsys, "verify")
    assert status == 0, err
    with_weights = [card for card in registry.cards() if card.weights]
    assert out.splitlines()[-1].startswith(f"{len(with_weights)} of {len(with_weights)}")


def test_verify_finds_a_wrong_hash_a_wrong_count_and_a_missing_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
    model = tiny.make()
    save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    from hashing import sha256_of

    digest = sha256_of(tmp_path / "tiny.safetensors")
    count = sum(p.numel() for p in model.parameters())
    facts = {
        "good": {"weights_sha256": digest, "parameters": count},
        "hash": {"weights_sha256": "0" * 64, "parameters": count},
        "count": {"weights_sha256": digest, "parameters": 7},
        "gone": {"weights_sha256": digest, "parameters": count, "weights": "gone.safetensors"},
    }
    local = registry.Registry()
    for name, card in facts.items():
        card = {"name": name, "weights": "tiny.safetensors"} | card
        description = {"architecture": "tiny", "config": {}, "card": card}
        (tmp_path / f"{name}.json").write_text(json.dumps(description))
    local.register(*networks.entries(tmp_path))
    monkeypatch.setattr(registry, "_default", local)
    problems = {verdict.name: verdict.problem for verdict in verify.verify()}
    assert problems["good"] is None
    assert "sha256" in problems["hash"] and "7" in problems["count"] and "missing" in problems["gone"]
    status, out, err = run(capsys, "verify", "--json")
    assert status == 1 and err.count("error:") == 3
    assert [json.loads(line)["name"] for line in out.splitlines()] == registry.names()


def test_help_and_list_start_without_torch():
    code = "import sys; from restorers.__main__ import parser; parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("command", ["list", "run", "convert", "verify", "push"])
def test_every_command_explains_itself(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and f"python -m restorers {command}" in out and "example" in out


def test_cards_of_the_contract():
    assert isinstance(registry.card("dark_channel"), RestorerCard)
    assert {"dark_channel", "lime", "bicubic_x2", "bicubic_x4"} <= set(registry.names())


def test_results_are_not_replaced_unasked(capsys, pictures, tmp_path):
    arguments = ("run", "--model", "dark_channel", str(pictures), "--output", str(tmp_path / "out"))
    run(capsys, *arguments)
    failed(capsys, 2, "--overwrite", *arguments)
    run(capsys, *arguments, "--overwrite")


def converted(capsys, tmp_path, source, *flags, arch="scl_lle"):
    """What the written file says of itself."""
    output = tmp_path / "converted.safetensors"
    status, _, err = run(capsys, "convert", "--arch", arch, source, "--output", output, *flags)
    assert (status, err) == (0, "")
    return described(output)


def test_convert_keeps_what_a_file_of_ours_says(capsys, tmp_path):
    card = registry.card("scl_lle")
    ours = converted(capsys, tmp_path, networks.WEIGHTS / card.weights)
    assert (ours.facts["licence"], ours.facts["trained_on"]) == (card.licence, card.trained_on)
    assert (ours.config["side"], ours.config["undo_rounding"]) == (32, True)
    again = hub.load(tmp_path / "converted.safetensors", device="cpu")
    shot, model = picture(40, 50), registry.create("scl_lle")
    assert (restore(again, shot).pixels == restore(model, shot).pixels).all()
    ours = converted(capsys, tmp_path, networks.WEIGHTS / card.weights, "--licence", "CC-BY-NC-4.0")
    assert ours.facts["licence"] == "CC-BY-NC-4.0" and ours.facts["trained_on"] == card.trained_on


SHAPES = {
    "bare": lambda state: state,
    "model_state_dict": lambda state: {"model_state_dict": state, "epoch": 1},
    "lightning": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 1},
    "parallel": lambda state: {"net": {f"module.model.{key}": value for key, value in state.items()}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_convert_knows_the_common_shapes_of_checkpoints_and_reads_the_width(capsys, tmp_path, shape):
    state = SclLle(width=16, iterations=4).state_dict()
    torch.save(SHAPES[shape](state), tmp_path / "foreign.pk")
    theirs = converted(capsys, tmp_path, tmp_path / "foreign.pk")
    assert theirs.config == {"width": 16, "iterations": 4}
    assert theirs.facts == {"licence": UNKNOWN_LICENCE}
    tensors = load_file(tmp_path / "converted.safetensors")
    assert all(torch.equal(tensors[key], value) for key, value in state.items())


def test_convert_takes_arguments_and_terms(capsys, tmp_path):
    torch.save(SclLle(width=8, denoise=6).state_dict(), tmp_path / "foreign.pth")
    flags = ("--config", '{"denoise": 6, "side": 32}', "--licence", "MIT")
    theirs = converted(capsys, tmp_path, tmp_path / "foreign.pth", *flags)
    assert theirs.config == {"width": 8, "iterations": 8, "denoise": 6, "side": 32}
    card = hub.load(tmp_path / "converted.safetensors", device="cpu").card
    assert (card.licence, card.tiling) == ("MIT", "whole")
    words = ("convert", "--arch", "scl_lle", tmp_path / "foreign.pth", "--output", tmp_path / "no.safetensors")
    failed(capsys, 2, "--config is no JSON (", *words, "--config", "{side: 32}")
    failed(capsys, 2, "--config is no JSON object", *words, "--config", "[32]")
    failed(capsys, 1, "side is a whole number from 1", *words, "--config", '{"side": "x"}')


@pytest.fixture
def pushed(monkeypatch):
    """What would have gone to the Hub."""
    calls = []

    def push(model, repo_id, *, private, weights_file):
        calls.append((model.card, weights_file))
        return publish.Published(repo_id, "c0", model.weights_sha256)

    monkeypatch.setattr(publish, "push", push)
    return calls


def test_push_takes_the_measured_file_of_a_run_and_its_figures(capsys, tmp_path, pushed):
    run_folder = tmp_path / "run"
    weights = run_folder / "weights.safetensors"
    facts = {"name": "mine", "licence": "MIT"}
    tensors = {key: value.half() for key, value in SclLle(width=8).state_dict().items()}
    digest = save_weights(weights, "scl_lle", {"width": 8}, tensors, facts)
    figures = {"psnr": 20.12345, "ssim": 0.7, "pairs": 3, "limit": 3, "dataset": "toys", "protocol": "lowlight-rgb"}
    (run_folder / "evaluation.json").write_text(json.dumps({**figures, "weights_sha256": digest}))
    words = ("push", run_folder, "--repo-id", "me/mine")
    assert run(capsys, *words)[0] == 0
    card, file = pushed.pop()
    assert file == weights
    command = "python -m training evaluate RUN --data ROOT --limit 3"
    assert card.figures[0] == Figure("toys (3 pairs)", "lowlight-rgb", "psnr", 20.1234, command)
    (run_folder / "evaluation.json").write_text(json.dumps({**figures, "weights_sha256": "other"}))
    status, _, err = run(capsys, *words)
    assert status == 0 and "is of other weights; its figures are left out" in err and not pushed.pop()[0].figures
    (run_folder / "evaluation.json").write_text("{")
    failed(capsys, 1, "evaluate the run again", *words)


def test_push_takes_the_embedded_file_and_says_when_no_licence_is_known(capsys, tmp_path, pushed):
    assert run(capsys, "push", "scl_lle", "--repo-id", "me/x") == (0, f"me/x@c0  weights sha256 {DIGEST}\n", "")
    assert pushed.pop()[1] == networks.WEIGHTS / "scl_lle.safetensors"
    torch.save(SclLle(width=8).state_dict(), tmp_path / "foreign.pth")
    converted(capsys, tmp_path, tmp_path / "foreign.pth")
    status, _, err = run(capsys, "push", tmp_path / "converted.safetensors", "--repo-id", "me/x")
    assert status == 0 and err.startswith("The licence of these weights is unknown") and err.count("\n") == 1


def test_push_needs_a_place(capsys):
    for place in ("onlyname", "a/b/c", "/x", "x/"):
        failed(capsys, 2, "give ORG/NAME", "push", "scl_lle", "--repo-id", place)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"architecture": "none", "card": {}}', '{"architecture": "tiny", "card": {"name": "A b"}}'],
)
def test_a_damaged_description_costs_its_own_method(monkeypatch, tmp_path, text):
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
    (tmp_path / "bad.json").write_text(text)
    (tmp_path / "good.json").write_text('{"architecture": "tiny", "card": {"name": "good"}}')
    with pytest.warns(UserWarning, match=r"bad\.json describes no method that can be offered"):
        assert [card.name for card, _ in networks.entries(tmp_path)] == ["good"]
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path)
    monkeypatch.setattr(registry, "_default", registry.Registry())
    assert [(verdict.name, verdict.problem[:8]) for verdict in verify.verify()] == [("bad", "bad.json")]
