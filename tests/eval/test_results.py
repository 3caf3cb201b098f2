"""Folders of results as people have them: with long names, and with inputs and references among them."""

from __future__ import annotations

import pytest

from eval.layouts import list_any
from eval.methods import parse_methods, remarks, results_of
from eval.pairing import Pair
from eval.results import Results, match_results
from eval.sources import BytesSource
from tests.eval.pictures import files, write_folders, write_zip


def sources(*names: str) -> list[BytesSource]:
    return [BytesSource(name, 0, name.encode()) for name in names]


def pairs(*names: str) -> list[Pair]:
    return [Pair(source.name, source) for source in sources(*names)]


def found(results: list[str], inputs: list[str], name: str = "M") -> dict[str, str]:
    matched = match_results(name, sources(*results), pairs(*inputs))
    return {key: source.name for key, source in matched.chosen.items()}


def numbered(*forms: str) -> list[str]:
    return [form.format(f"{number:03d}") for form in forms for number in range(3)]


@pytest.mark.parametrize(
    ("forms", "inputs", "expected"),
    [
        (["{}_pred.png", "{}_gt.png"], "{}.png", "{}_pred.png"),
        (["{}_output.png", "{}_input.png"], "{}.png", "{}_output.png"),
        (["{}_output.png", "{}_input.png"], "{}_input.png", "{}_output.png"),
        (["{}_epoch_9.png", "{}_gt.png", "{}_low.png"], "{}.png", "{}_epoch_9.png"),
        (["{}.png", "{}_gt.png"], "{}.png", "{}.png"),
        (["{}_fake_B.png", "{}_real_A.png"], "{}.png", "{}_fake_B.png"),
        (["pred/{}.png", "gt/{}.png", "input/{}.png"], "{}.png", "pred/{}.png"),
        (["M/{}.png", "clear/{}.png"], "{}.png", "M/{}.png"),
        (["{}.png", "gt/{}.png"], "{}.png", "{}.png"),
        (["hazy/{}.png", "gt/{}.png"], "hazy/{}.png", "hazy/{}.png"),
        (["{}_low.png", "{}_low_mask.png"], "{}_low.png", "{}_low.png"),
        (["{}_low.png", "{}_mask.png"], "{}_low.png", "{}_low.png"),
        (["{}_low.png"], "{}.png", "{}_low.png"),
    ],
)
def test_inputs_and_references_among_results_are_none(forms, inputs, expected):
    assert found(numbered(*forms), numbered(inputs)) == dict(zip(numbered(inputs), numbered(expected), strict=True))


def test_pictures_called_low_and_high_are_results_all_the_same():
    names = ["01.png", "01_low.png", "02_low.png", "02_high.png"]
    assert found(names, names) == {name: name for name in names}


@pytest.mark.parametrize(
    ("results", "inputs"),
    [
        (["astro_MyNet.png", "cat_MyNet.png"], ["astrox4.png", "catx4.png"]),
        (["astro-mynet.png", "other_thing.png"], ["astro.png"]),
        (["astro_SwinIR_x4.png", "cat_SwinIR_x4.png"], ["astrox4.png", "catx4.png"]),
        (["01_outdoor_hazy_net.png", "02_outdoor_hazy_net.png"], ["01_outdoor_hazy.png", "02_outdoor_hazy.png"]),
        (["out.png"], ["00.png"]),
        (["a.png", "a.jpg", "b.png"], ["a.png", "a.jpg", "b.png"]),
    ],
)
def test_names_that_a_script_made_longer(results, inputs):
    assert found(results, inputs, "MyNet") == dict(zip(inputs, results, strict=False))


def test_what_was_taken_is_said_where_it_may_surprise():
    inputs = pairs("000.png", "001.png")
    matched = match_results("M", sources("000_pred.png", "000_gt.png", "001_pred.png", "001_gt.png"), inputs)
    assert matched.remarks(inputs) == [
        "2 of 4 files used (000_pred.png for 000.png, 001_pred.png for 001.png); 2 left out: 000_gt.png, 001_gt.png."
    ]
    other = [Pair("0", BytesSource("0.png", 0, b"x"))]
    plain = match_results("M", [BytesSource("0.jpg", 0, b"y")], other)
    assert plain == Results({"0": BytesSource("0.jpg", 0, b"y")}, (), True) and plain.remarks(other) == []
    assert match_results("M", sources("x.png", "y.png"), inputs).remarks(inputs) == []


def test_results_that_are_copies_are_said():
    hazy, clear, own = b"hazy", b"clear", b"own"
    for output, sentence in (
        (clear, "2 of 2 results have the very bytes of their references (0.png, 1.png); check that results and"),
        (hazy, "Every result has the very bytes of its input; check that these are results."),
        (own, None),
    ):
        inputs = [Pair(name, BytesSource(name, 4, hazy), BytesSource(name, 5, clear)) for name in ("0.png", "1.png")]
        results = [BytesSource(pair.key, len(output), output) for pair in inputs]
        said = match_results("M", results, inputs).remarks(inputs)
        assert len(said) == (sentence is not None) and all(line.startswith(sentence) for line in said)


def test_methods_say_it_with_their_names(tmp_path):
    hazy, _ = write_folders(tmp_path, 2)
    results = files(2)[1]
    packed = write_zip(tmp_path / "M.zip", {f"{name[:4]}_pred.png": data for name, data in results.items()})
    opened = list_any(hazy)
    inputs = [Pair(source.name, source) for source in opened.inputs]
    methods = parse_methods(f"input,M={packed}")
    assert remarks(methods, inputs) == [
        "M: 2 of 2 files used (0001_pred.png for 0001.png, 0002_pred.png for 0002.png)."
    ]
    assert remarks(methods) == [] and len(results_of(methods[1], inputs)) == 2


def test_the_board_says_what_it_took(tmp_path, capsys):
    from eval.__main__ import main

    hazy, clear = write_folders(tmp_path, 2)
    inputs, references = files(2)
    content = {f"{name[:4]}_pred.png": data for name, data in inputs.items()}
    content |= {f"{name[:4]}_gt.png": data for name, data in references.items()}
    packed = write_zip(tmp_path / "mine.zip", content)
    words = ["leaderboard", "--input", str(hazy), "--reference", str(clear), "--metrics", "psnr"]
    assert main([*words, "--methods", f"input,M={packed}", "--output", str(tmp_path / "board")]) == 0
    out, err = capsys.readouterr()
    assert (
        "M: 2 of 4 files used (0001_pred.png for 0001.png, " in err and "2 left out: 0001_gt.png, 0002_gt.png." in err
    )
    assert "inf" not in out and "M: Every result has the very bytes of its input" in err


def test_commas_in_the_path_of_what_exists_separate_nothing(tmp_path):
    hazy, _ = write_folders(tmp_path, 1)
    place = hazy.rename(tmp_path / "run,v2,dark")
    methods = parse_methods(f"input,M={place},dark_channel,{place},N={place}")
    assert [method.name for method in methods] == ["input", "M", "dark_channel", "run,v2,dark", "N"]
