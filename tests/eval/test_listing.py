"""Places that hold one side, both, or more than a table names: what is used, and that the rest is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import SetError
from eval.methods import parse_methods, results_of
from eval.sets import ImageSet, open_set
from images import encode_picture
from tests.eval.pictures import degraded, files, picture, write_folders, write_tar, write_zip

INPUTS, REFERENCES = files(4)
PICTURES = list(zip(INPUTS.values(), REFERENCES.values(), strict=True))


def two_places(root: Path, names: list[str]) -> list[Path]:
    """The folders ``in``, ``gt`` and ``M`` with these names; ``M`` holds results of its own."""
    for index, (name, (hazy, clear)) in enumerate(zip(names, PICTURES, strict=True), start=1):
        result = encode_picture(degraded(picture(index), index + 10))
        for folder, data in (("in", hazy), ("gt", clear), ("M", result)):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (root / folder / name).write_bytes(data)
    return [root / folder for folder in ("in", "gt", "M")]


def paired(images: ImageSet) -> dict[str, str | None]:
    return {pair.input.name: pair.reference.name if pair.reference else None for pair in images.pairs}


@pytest.mark.parametrize("pairing", ["auto", "same-name"])
@pytest.mark.parametrize("form", ["{number}_{side}.png", "{side}/{number}.png"], ids=["names", "folders"])
def test_two_places_are_one_side_each_whatever_their_files_are_called(form, pairing, tmp_path):
    names = sorted(form.format(side=side, number=number) for side in ("low", "high") for number in ("01", "02"))
    inputs, references, results = two_places(tmp_path, names)
    images = open_set(inputs, references, pairing=pairing)
    assert paired(images) == {name: name for name in names} and images.report.clean
    assert images.report.rule == "same-name"
    (method,) = parse_methods(f"M={results}")
    found = results_of(method, images.pairs)
    assert [found[pair.key].name for pair in images.pairs] == [pair.input.name for pair in images.pairs]


def test_two_exposures_of_one_reference_are_two_inputs(tmp_path):
    hazy = dict(zip(["01_low.png", "01_high.png", "02_low.png", "02_high.png"], INPUTS.values(), strict=True))
    clear = dict(zip(["01.png", "02.png"], REFERENCES.values(), strict=False))
    images = open_set(write_zip(tmp_path / "in.zip", hazy), write_zip(tmp_path / "gt.zip", clear))
    assert images.report.paired == 4 and images.report.clean


def test_a_whole_set_given_as_one_side_gives_that_side(tmp_path):
    """What is passed over is named, and no picture is compared with itself."""
    hazy, clear = write_folders(tmp_path / "set", 2)
    expected = {"0001.png": "0001.png", "0002.png": "0002.png"}
    for input, reference in ((tmp_path / "set", clear), (hazy, tmp_path / "set"), (tmp_path / "set", tmp_path / "set")):
        images = open_set(input, reference)
        assert {Path(one).name: Path(other).name for one, other in paired(images).items()} == expected
        assert all(pair.input.read_bytes() == INPUTS[Path(pair.input.name).name] for pair in images.pairs)
        assert all(pair.reference.read_bytes() == REFERENCES[Path(pair.reference.name).name] for pair in images.pairs)
        assert {why for why, _ in images.report.passed_over} == {
            "2 pictures of set left out, on the other side by name"
        }
        sides = {name.partition("/")[0] for _, names in images.report.passed_over for name in names}
        assert sides == {side for side, place in (("clear", input), ("hazy", reference)) if place.name == "set"}
    assert any("left out, on the other side by name: " in line for line in images.report.lines())


def test_results_are_compared_with_the_references_of_a_whole_set(tmp_path):
    both = {f"{name[:4]}_hazy.png": data for name, data in INPUTS.items()}
    results = write_zip(tmp_path / "results.zip", dict.fromkeys(both, REFERENCES["0001.png"]))
    both |= {f"{name[:4]}_GT.png": data for name, data in REFERENCES.items()}
    images = open_set(results, write_zip(tmp_path / "set.zip", both))
    assert images.report.rule == "ntire" and paired(images)["0001_hazy.png"] == "0001_GT.png"
    assert [len(names) for _, names in images.report.passed_over] == [4]


def test_references_come_from_the_column_of_references(tmp_path):
    members = {f"{name[:4]}.input.png": data for name, data in INPUTS.items()}
    members |= {f"{name[:4]}.target.png": data for name, data in REFERENCES.items()}
    images = open_set(write_zip(tmp_path / "in.zip", INPUTS), write_tar(tmp_path / "set.tar", members))
    assert [pair.reference.read_bytes() for pair in images.pairs] == list(REFERENCES.values())
    assert images.report.clean


def in_six(root: Path) -> Path:
    folder = root / "six"
    folder.mkdir()
    for index in range(6):
        (folder / f"{index:02d}.png").write_bytes(PICTURES[index % 4][0])
    return folder


def test_pictures_that_a_table_does_not_name_are_said(tmp_path):
    folder = in_six(tmp_path)
    (tmp_path / "two.csv").write_text("input,reference\n00.png,00.png\n01.png,01.png\n")
    left = ("02.png", "03.png", "04.png", "05.png")
    by_table = open_set(folder, folder, pairing=f"csv:{tmp_path / 'two.csv'}")
    assert by_table.report.passed_over == (("4 pictures of six left out, without a line in two.csv", left),)
    (folder / "metadata.csv").write_text("file_name,label\n00.png,cat\n01.png,dog\n")
    reason = ("4 pictures of six left out, without a line in metadata.csv", left)
    for images in (open_set(folder), open_set(folder, folder)):
        assert len(images.pairs) == 2 and images.report.passed_over == (reason,)
    assert images.report.references == 6
    text = "4 pictures of six left out, without a line in metadata.csv: 02.png, 03.png, 04.png, 05.png."
    assert text in images.report.lines()


def test_a_table_of_labels_says_nothing_about_results(tmp_path):
    folder = in_six(tmp_path)
    inputs = write_zip(tmp_path / "in.zip", {path.name: path.read_bytes() for path in folder.iterdir()})
    (folder / "metadata.csv").write_text("file_name,label\n00.png,cat\n01.png,dog\n")
    (method,) = parse_methods(f"A={folder}")
    assert len(results_of(method, open_set(inputs).pairs)) == 6


def test_members_of_a_tar_that_are_no_sample_are_said(tmp_path):
    names = ["00.input.png", "01.input.png", "02.png", "03.target.png"]
    images = open_set(write_tar(tmp_path / "t.tar", dict(zip(names, INPUTS.values(), strict=True))))
    assert [pair.input.name for pair in images.pairs] == ["00.png", "01.png"]
    reason = "2 pictures of t.tar left out, in no sample with an input such as 0001.input.png"
    assert images.report.passed_over == ((reason, ("02.png", "03.target.png")),)


def test_pictures_in_other_formats_are_said(tmp_path):
    content = INPUTS | {"8.gif": b"GIF89a", "9.JP2": b"x", "notes.txt": b"x"}
    (tmp_path / "in").mkdir()
    for name, data in content.items():
        (tmp_path / "in" / name).write_bytes(data)
    expected = (
        "8.gif was left out: GIF files are not read; save it as PNG.",
        "9.JP2 was left out: JPEG 2000 files are not read; save it as PNG.",
    )
    places = [tmp_path / "in", write_zip(tmp_path / "a.zip", content), write_tar(tmp_path / "a.tar", content)]
    for place in places:
        images = open_set(place)
        assert images.report.left_out == expected and len(images.pairs) == 4
        (method,) = parse_methods(f"M={place}")
        assert method.listing.remarks == expected
    for path in (tmp_path / "in").glob("*.png"):
        path.unlink()
    with pytest.raises(SetError, match=r"in holds no pictures \(8\.gif was left out: GIF"):
        open_set(tmp_path / "in")


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    hazy, clear = write_folders(tmp_path / "store", 2)
    root = tmp_path / "set"
    root.mkdir()
    (root / "hazy").symlink_to(hazy)
    (root / "gt").symlink_to(clear)
    (root / "gt" / "again").symlink_to(root)
    assert open_set(root).report.paired == 2
    (hazy / "metadata.csv").write_text("file_name\n0001.png\n")
    assert [pair.input.name for pair in open_set(root).pairs] == ["hazy/0001.png"]
    packed = tmp_path / "packed"
    packed.mkdir()
    write_tar(packed / "0.tar", {"0001.png": INPUTS["0001.png"]})
    (packed / "loop").symlink_to(packed)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "test").symlink_to(packed)
    assert len(open_set(tmp_path / "shards").pairs) == 1


def test_several_places_are_a_list_of_pictures_only(tmp_path):
    hazy, clear = write_folders(tmp_path, 1)
    with pytest.raises(SetError, match=r"hazy is no picture: several places are a list of pictures; give one folder"):
        open_set([hazy, clear])
    with pytest.raises(SetError, match=r"a\.zip is no picture"):
        open_set([hazy / "0001.png", write_zip(tmp_path / "a.zip", INPUTS)])


def test_a_folder_of_zips_is_no_set(tmp_path):
    write_zip(tmp_path / "a.zip", INPUTS)
    assert len(open_set(tmp_path).pairs) == 4
    write_zip(tmp_path / "b.zip", INPUTS)
    with pytest.raises(SetError, match=r"holds 2 zips \(a\.zip and b\.zip\) and no pictures; give one of them"):
        open_set(tmp_path)
