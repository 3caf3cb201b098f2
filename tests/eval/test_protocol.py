"""Protocols: presets, hash, sentence, JSON, refusals."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ProtocolError, UnknownNameError, UnveilError
from eval import protocol
from eval.metrics.ssim import SsimWindow
from eval.protocol import Protocol

PRESETS = [protocol.get(name) for name in protocol.names()]


def test_the_agreed_names_exist() -> None:
    wanted = ("dehaze-rgb", "dehaze-ffa", "dehaze-dehazeformer", "lowlight-rgb", "lowlight-gtmean", "sr-y4", "sr-y2",
              "y-noborder", "niqe-live", "skimage-default")  # fmt: skip
    assert set(wanted) <= set(protocol.names())
    assert protocol.DEFAULT == "dehaze-rgb"


def test_hashes_are_stable() -> None:
    # Stored rows carry these: a change here orphans them. Raise SEMANTICS on purpose, never by accident.
    assert {p.name: p.hash for p in PRESETS} == {
        "dehaze-rgb": "acaa483b5e64",
        "dehaze-ffa": "16524949dff2",
        "dehaze-dehazeformer": "06fa804ed5e3",
        "lowlight-rgb": "ace22cbdc60f",
        "lowlight-gtmean": "f316b1766667",
        "sr-y4": "f408396a2a46",
        "sr-y2": "a6fa6f56a6bd",
        "y-noborder": "cc41405c778f",
        "niqe-live": "cfadfcff7b92",
        "skimage-default": "8bde73140258",
        "sr-y3": "d4f7255d244f",
        "sr-y8": "bccb18cda628",
        "sr-rgb4": "7affee50a26e",
    }


def test_every_field_that_matters_changes_the_hash_and_the_sentence() -> None:
    base = protocol.get("dehaze-rgb")
    changes = {
        "color": "y", "border": 3, "rounding": "uint8", "size_mismatch": "center-crop", "gt_mean": True,
        "ssim": SsimWindow(size=9), "niqe": "embedded", "niqe_border": 4,
    }  # fmt: skip
    assert set(changes) == {f.name for f in fields(Protocol)} - {"name", "purpose"}
    changed = [replace(base, **{name: value}) for name, value in changes.items()]
    assert len({p.hash for p in (base, *changed)}) == len(changed) + 1
    assert len({p.sentence.partition(": ")[2] for p in (base, *changed)}) == len(changed) + 1
    assert replace(base, name="mine", purpose="x").hash == base.hash


def test_every_window_field_changes_the_hash_and_the_sentence() -> None:
    base = protocol.get("dehaze-rgb")
    values = {
        "shape": "uniform", "size": 7, "sigma": 2, "border": "zero", "pooling": "adaptive", "sample_covariance": True,
        "k1": 0.02, "k2": 0.1,
    }  # fmt: skip
    windows = [SsimWindow(**{name: value}) for name, value in values.items()]
    assert len(windows) == len(fields(SsimWindow))
    changed = [replace(base, ssim=window) for window in windows]
    assert len({p.hash for p in (base, *changed)}) == len({p.sentence for p in (base, *changed)}) == 9


@pytest.mark.parametrize("preset", PRESETS, ids=protocol.names())
def test_sentence_is_one_sentence_with_name_and_hash(preset: Protocol) -> None:
    assert preset.sentence.startswith(f"{preset.name} ({preset.hash}): ")
    assert preset.sentence.endswith(".")
    assert ". " not in preset.sentence
    assert preset.purpose


@pytest.mark.parametrize("preset", PRESETS, ids=protocol.names())
def test_json_round_trip(preset: Protocol) -> None:
    text = preset.to_json()
    assert Protocol.from_json(text) == preset
    assert json.loads(text)["hash"] == preset.hash
    assert Protocol.from_json(text).to_json() == text


def test_edited_or_foreign_json_is_refused() -> None:
    content = json.loads(protocol.get("dehaze-rgb").to_json())
    for broken in (
        json.dumps(content | {"border": 4}),  # edited: the hash no longer fits
        json.dumps(content | {"colour": "rgb"}),
        json.dumps(content | {"color": "cmyk", "hash": None}),
        json.dumps(content | {"border": -1, "hash": None}),
        json.dumps(content | {"ssim": {"size": 4}, "hash": None}),
        json.dumps(content | {"ssim": {"shape": "round"}, "hash": None}),
        json.dumps([1]),
        json.dumps(content | {"name": 5, "hash": None}),
        json.dumps(content | {"gt_mean": "no", "hash": None}),
        json.dumps(content | {"ssim": {"size": 7.5}, "hash": None}),
        json.dumps(content | {"ssim": {"k1": "0.01"}, "hash": None}),
        "{",
        "null",
    ):
        with pytest.raises(ProtocolError):
            Protocol.from_json(broken)


def test_super_resolution_cuts_its_scale() -> None:
    borders = {name: protocol.get(name).border for name in protocol.names() if name.startswith("sr-")}
    assert borders == {"sr-y4": 4, "sr-y2": 2, "sr-y3": 3, "sr-y8": 8, "sr-rgb4": 4}
    assert protocol.get("sr-rgb4").color == "rgb" and protocol.get("sr-y8").color == "y"


def test_only_the_command_line_opens_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval import console

    monkeypatch.chdir(tmp_path)
    mine = replace(protocol.get("sr-y4"), name="sr-y5", border=5)
    (tmp_path / "mine.json").write_text(mine.to_json())
    with pytest.raises(UnknownNameError):
        protocol.get("mine.json")
    assert console.protocol_of("mine.json") == mine
    assert console.protocol_of(None).name == protocol.DEFAULT and console.protocol_of("sr-y4").name == "sr-y4"
    entry = json.loads(protocol.get("sr-y4").to_json()) | {"sentence": protocol.get("sr-y4").sentence}
    for name, content, reason in (
        ("none.json", None, "No such file"),
        ("text.json", "words", "not a protocol in JSON"),
        ("edited.json", json.dumps(entry | {"border": 5}), "leave the hash out"),
        ("stolen.json", json.dumps(entry | {"border": 5, "hash": None}), "a name of its own"),
        ("nameless.json", json.dumps(entry | {"name": " "}), "has no name"),
    ):
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(UnveilError, match=reason):
            console.protocol_of(name)
    (tmp_path / "same.json").write_text(json.dumps(entry))
    assert console.protocol_of("same.json") == protocol.get("sr-y4")


def test_policies_are_added_with_a_plus() -> None:
    sots = protocol.get("dehaze-rgb+sots-10px")
    assert (sots.name, sots.size_mismatch) == ("dehaze-rgb+sots-10px", "sots-10px")
    assert sots.hash != protocol.get("dehaze-rgb").hash
    assert protocol.get("sr-y4+resize-pred").size_mismatch == "resize-output"
    assert protocol.get("sr-y4+resize-ref").name == "sr-y4+resize-reference"
    assert protocol.get("dehaze-rgb+error") == replace(protocol.get("dehaze-rgb"), name="dehaze-rgb+error")


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="dehaze-rgb"):
        protocol.get("dehaze-rbg")
    with pytest.raises(UnknownNameError, match="center-crop"):
        protocol.get("dehaze-rgb+centre-crop")


@given(
    st.builds(
        Protocol,
        name=st.text(max_size=9),
        color=st.sampled_from(["rgb", "y", "grey"]),
        border=st.integers(0, 50),
        rounding=st.sampled_from(["none", "uint8"]),
        gt_mean=st.booleans(),
        ssim=st.builds(SsimWindow, size=st.integers(0, 9).map(lambda n: 2 * n + 1), sigma=st.floats(0.1, 9)),
        niqe_border=st.integers(0, 9),
    )
)
def test_any_protocol_survives_json(made: Protocol) -> None:
    again = Protocol.from_json(made.to_json())
    assert (again, again.hash) == (made, made.hash)
