from __future__ import annotations

import pytest

from errors import SetError, UnknownNameError
from eval.inspection import inspect
from eval.pairing import RULES, NameIndex, keys_of, match, pair_by_name, rule_named, without_common_folder
from eval.sources import BytesSource
from images import encode_picture
from tests.eval.pictures import picture


def sources(*names: str) -> list[BytesSource]:
    return [BytesSource(name, 0, b"") for name in names]


def paired(inputs: list[str], references: list[str], rule: str = "auto") -> dict[str, str | None]:
    pairs, _ = pair_by_name(sources(*inputs), sources(*references), rule)
    return {pair.input.name: pair.reference.name if pair.reference else None for pair in pairs}


LAYOUTS = [
    ("same-name", ["0001.png", "0002.jpg"], ["0001.jpg", "0002.png"]),
    ("reside", ["0001_0.8_0.2.jpg", "0002_1_0.16.jpg"], ["0001.png", "0002.png"]),
    ("reside", ["1400_1.png", "1400_2.png", "1401_1.png"], ["1400.png", "1400.png", "1401.png"]),
    ("lol", ["low/low00690.png", "low/low00691.png"], ["normal/normal00690.png", "normal/normal00691.png"]),
    ("ntire", ["01_hazy.png", "02_hazy.png"], ["01_GT.png", "02_GT.png"]),
    ("ntire", ["01_outdoor_hazy.jpg", "02_outdoor_hazy.jpg"], ["01_outdoor_GT.jpg", "02_outdoor_GT.jpg"]),
    ("sr", ["0801x4.png", "0802x4.png"], ["0801.png", "0802.png"]),
    ("sr", ["img_001_x4_LR.png", "img_002_x4_LR.png"], ["img_001_x4_HR.png", "img_002_x4_HR.png"]),
    ("sr", ["img_001_SRF_4_LR.png"], ["img_001_SRF_4_HR.png"]),
]


@pytest.mark.parametrize(("rule", "inputs", "references"), LAYOUTS)
def test_auto_finds_the_layout_and_says_which(rule, inputs, references):
    unique = list(dict.fromkeys(references))
    pairs, report = pair_by_name(sources(*inputs), sources(*unique))
    assert [pair.reference.name for pair in pairs] == references
    assert report.rule == rule and report.clean and rule in report.sentence
    assert report.tried[rule] == len(inputs) == max(report.tried.values())
    assert paired(inputs, unique, rule) == dict(zip(inputs, references, strict=True))


def test_auto_prefers_the_simplest_of_equal_rules():
    _, report = pair_by_name(sources("a.png"), sources("a.png"))
    assert report.rule == "same-name" and set(report.tried.values()) == {1}


def test_position_never_pairs():
    with pytest.raises(SetError, match=r"No input pairs with a reference by any rule .*a\.png.*c\.png.*csv:FILE"):
        paired(["a.png", "b.png"], ["c.png", "d.png"])


def test_one_picture_a_side_is_a_pair_whatever_it_is_called():
    pairs, report = pair_by_name(sources("out.png"), sources("00.png"))
    assert pairs[0].reference.name == "00.png" and report.clean and report.paired == 1
    assert report.sentence == "1 of 1 input paired with 1 reference as the only file of each side."
    with pytest.raises(SetError, match="by the rule 'same-name'"):
        paired(["out.png"], ["00.png"], "same-name")


def test_what_does_not_pair_is_said_and_kept():
    pairs, report = pair_by_name(sources("1.png", "2.png", "3.png"), sources("1.png", "2.tif", "2.jpg", "9.png"))
    assert [pair.key for pair in pairs] == ["1", "2", "3"]
    assert report.missing == ("3.png",) and report.unused == ("9.png",)
    assert report.ambiguous == (("2.png", ("2.tif", "2.jpg")),)
    assert report.paired == 1 and not report.clean
    assert "could pair with 2.tif, 2.jpg" in pairs[1].problem and "3.png has no reference" in pairs[2].problem
    assert all(line.endswith(".") for line in report.lines())
    assert "1 input without a reference: 3.png." in report.lines()


def test_folders_count_where_they_help():
    both = ["a/1.png", "b/1.png"]
    assert paired(both, both) == {"a/1.png": "a/1.png", "b/1.png": "b/1.png"}
    assert paired(["in/1.png"], ["out/x/1.png", "out/y/2.png"]) == {"in/1.png": "out/x/1.png"}


def test_endings_count_where_they_help():
    both = ["a.png", "a.jpg", "b.png"]
    assert paired(both, both) == dict(zip(both, both, strict=True))
    assert paired(["x/a.png", "y/a.jpg"], ["z/a.png", "y/a.jpg"]) == {"x/a.png": "z/a.png", "y/a.jpg": "y/a.jpg"}
    assert paired(["a_hazy.png"], ["a_GT.jpg", "a_GT.png"]) == {"a_hazy.png": "a_GT.png"}


def test_case_counts_where_it_helps():
    assert paired(["IMG.PNG"], ["img.png"]) == {"IMG.PNG": "img.png"}
    assert paired(["IMG.png"], ["img.png", "IMG.jpg"]) == {"IMG.png": "IMG.jpg"}


NFC, NFD = "caf\u00e9", "cafe\u0301"  # as most systems write it, and as macOS does


def test_how_accents_are_encoded_never_counts():
    assert paired([f"{NFD}.png"], [f"{NFC}.png"]) == {f"{NFD}.png": f"{NFC}.png"}
    assert paired([f"{NFC}_hazy.png"], [f"{NFD}_GT.png"], "ntire") == {f"{NFC}_hazy.png": f"{NFD}_GT.png"}
    folders = [f"{NFD}/a/1.png", f"{NFC}/b/1.png"]
    assert paired(folders, ["a/1.png", "b/1.png"]) == {folders[0]: "a/1.png", folders[1]: "b/1.png"}
    pairs, _ = pair_by_name(sources(f"{NFD}.png"), sources(f"{NFC}.png"))
    assert pairs[0].key == NFD


def test_names_that_look_the_same_are_not_merged():
    rivals = (f"{NFC}.png", f"{NFD}.png")
    pairs, report = pair_by_name(sources(f"{NFC}.png", "1.png"), sources(*rivals, "1.png"))
    assert report.ambiguous == ((f"{NFC}.png", rivals),) and report.paired == 1
    assert pairs[0].reference is None and "could pair with" in pairs[0].problem
    pairs, _ = pair_by_name(sources(*rivals), sources("x.png", f"{NFC}.jpg"))
    assert [pair.input.name for pair in pairs] == list(rivals)
    assert [pair.key for pair in pairs] == [f"{NFC}.png", f"{NFD}.png#2"]


def test_looking_up_names():
    first, second = sources(f"{NFC}.png", f"{NFD}.png")
    assert NameIndex.of({first.name: first}).get(second.name) is first
    both = NameIndex.of({first.name: first, second.name: second})
    assert both.get(first.name) is first and both.get(second.name) is second and both.get("x") is None
    mixed = {"\u1ebf.png": first, "e\u0302\u0301.png": second}  # ế
    assert NameIndex.of(mixed).get("\u00ea\u0301.png") is None


def test_a_rule_never_makes_an_empty_word():
    for rule in RULES:
        for stem in ("low", "x4", "_hazy", "_GT", "_1", "hazy"):
            assert rule.input_word(stem) and rule.reference_word(stem)


def test_unknown_rule():
    with pytest.raises(UnknownNameError, match=r"no pairing rule called 'resid'; did you mean reside"):
        rule_named("resid")


def test_keys_are_short_and_unique():
    assert keys_of(["set/hazy/1.png", "set/hazy/2.jpg"]) == ["1", "2"]
    assert keys_of(["a/1.png", "b/1.png"]) == ["a/1", "b/1"]
    assert keys_of(["1.png", "1.jpg", "2.png"]) == ["1.png", "1.jpg", "2"]
    assert keys_of(["1.png", "1.png"]) == ["1.png", "1.png#2"]
    assert keys_of(["0001_0.8_0.2.png"]) == ["0001_0.8_0.2"]
    assert keys_of([]) == [] and without_common_folder(["x/a", "x/b"]) == ["a", "b"]


def test_matching_is_not_quadratic():
    """Twenty thousand pairs; comparing each with each would be 400 million comparisons."""
    import time

    inputs = sources(*(f"{i:07d}_0.8.png" for i in range(20_000)))
    references = sources(*(f"{i:07d}.png" for i in range(20_000)))
    start = time.process_time()
    assert all(len(found) == 1 for found in match(inputs, references, rule_named("reside")))
    assert time.process_time() - start < 10


def with_pictures(*items: tuple[str, bytes]) -> list[BytesSource]:
    return [BytesSource(name, len(data), data) for name, data in items]


def test_inspection_finds_sizes_scales_and_duplicates():
    small, large = encode_picture(picture(1, 40, 50)), encode_picture(picture(2, 80, 100))
    odd = encode_picture(picture(3, 60, 50))
    pairs, report = pair_by_name(
        with_pictures(("a.png", small), ("b.png", small)), with_pictures(("a.png", large), ("b.png", large))
    )
    found = inspect(pairs, report)
    assert found.scale == 2 and not found.sizes and found.inspected
    assert found.duplicates == (("a.png", "b.png"), ("a.png (reference)", "b.png (reference)"))
    pairs, report = pair_by_name(with_pictures(("a.png", small)), with_pictures(("a.png", odd)))
    found = inspect(pairs, report)
    assert found.sizes == ("a.png is 50x40 but its reference a.png is 50x60.",) and found.scale == 1


def test_inspection_notices_that_the_reference_is_the_input():
    data = encode_picture(picture(1))
    found = inspect(*pair_by_name(with_pictures(("a.png", data)), with_pictures(("a.png", data))))
    assert found.duplicates == (("a.png", "a.png (reference)"),)
    assert "The same content more than once: a.png, a.png (reference)." in found.lines()


def test_inspection_survives_what_is_no_picture():
    found = inspect(*pair_by_name(with_pictures(("a.png", b"text")), with_pictures(("a.png", b"text"))))
    assert len(found.sizes) == 1 and "is not a picture" in found.sizes[0]
