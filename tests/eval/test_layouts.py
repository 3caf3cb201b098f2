"""Tables with gaps: what a line lacks costs that line, and what cannot be read is named with its line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from errors import SetError
from eval.sets import ImageSet, open_set
from eval.tables import read_pair_table
from tests.eval.pictures import files, write_folders, write_zip

COUNT = 3
FIRST_ALONE = {f"hazy/{i:04d}.png": f"clear/{i:04d}.png" if i > 1 else None for i in range(1, COUNT + 1)}
"""What pairs in a set of three whose first line has no reference."""


def paired(images: ImageSet) -> dict[str, str | None]:
    return {pair.input.name: pair.reference.name if pair.reference else None for pair in images.pairs}


def json_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def gapped(first: str, second: str) -> list[dict[str, str]]:
    """The records of the set whose first has no reference."""
    return [{first: name} | ({second: clear} if clear else {}) for name, clear in FIRST_ALONE.items()]


def in_a_csv(root: Path) -> ImageSet:
    lines = [",".join(filter(None, pair)) for pair in FIRST_ALONE.items()]
    (root / "pairs.csv").write_text("\n".join(["input,reference", *lines]))
    return open_set(root / "pairs.csv")


def in_a_csv_without_a_heading(root: Path) -> ImageSet:
    lines = [",".join(filter(None, pair)) for pair in FIRST_ALONE.items()]
    (root / "pairs.csv").write_text("\n".join(lines))
    return open_set(root / "pairs.csv")


def in_a_tsv_with_an_empty_cell(root: Path) -> ImageSet:
    (root / "pairs.TSV").write_text("\n".join(f"{name}\t{clear or ''}" for name, clear in FIRST_ALONE.items()))
    return open_set(root / "pairs.TSV")


def in_json_lines(root: Path) -> ImageSet:
    return open_set(json_lines(root / "pairs.jsonl", *gapped("input", "reference")))


def in_json_lines_of_nulls(root: Path) -> ImageSet:
    records = [{"reference": clear, "input": name} for name, clear in FIRST_ALONE.items()]
    return open_set(json_lines(root / "pairs.jsonl", *records))


def in_an_imagefolder(root: Path) -> ImageSet:
    json_lines(root / "metadata.jsonl", *gapped("file_name", "gt_file_name"))
    return open_set(root)


def in_a_zipped_imagefolder(root: Path) -> ImageSet:
    json_lines(root / "metadata.jsonl", *gapped("file_name", "gt_file_name"))
    content = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return open_set(write_zip(root / "set.zip", content))


@pytest.mark.parametrize(
    "way",
    [
        in_a_csv,
        in_a_csv_without_a_heading,
        in_a_tsv_with_an_empty_cell,
        in_json_lines,
        in_json_lines_of_nulls,
        in_an_imagefolder,
        in_a_zipped_imagefolder,
    ],
    ids=lambda way: way.__name__,
)
def test_a_first_line_without_a_reference_costs_no_other_line(way, tmp_path):
    write_folders(tmp_path, COUNT)
    images = way(tmp_path)
    assert paired(images) == FIRST_ALONE
    assert images.report.missing == ("hazy/0001.png",) and images.report.paired == COUNT - 1


def test_a_table_of_names_may_have_gaps(tmp_path):
    hazy, clear = write_folders(tmp_path, COUNT)
    for name, text in (
        ("a.csv", "input,reference\n0001.png\n0002.png,0002.png\n"),
        ("b.jsonl", '{"input": "0001.png"}\n{"input": "0002.png", "reference": "0002.png"}\n'),
    ):
        (tmp_path / name).write_text(text)
        images = open_set(hazy, clear, pairing=f"csv:{tmp_path / name}")
        assert paired(images) == {"0001.png": None, "0002.png": "0002.png"}
        assert images.report.unused == ("0001.png", "0003.png")


def test_references_are_never_read_as_inputs(tmp_path):
    """The heading says what a cell is, also where the first line is shorter than the heading."""
    table = tmp_path / "pairs.csv"
    table.write_text("reference,input\nclear/1.png\nclear/2.png,hazy/2.png\n")
    with pytest.raises(SetError, match=r"^Line 2 of pairs\.csv names no input in the column 'input'; add it, or"):
        open_set(table)
    table.write_text("reference,input\n,hazy/1.png\nclear/2.png,hazy/2.png\n")
    assert read_pair_table(table) == [("hazy/1.png", None), ("hazy/2.png", "clear/2.png")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"reference": "clear/1.png"}', r"Line 3 of a\.jsonl names no input in the column 'input'"),
        ('{"input": null, "reference": "clear/1.png"}', r"Line 3 of a\.jsonl names no input"),
        ("5", r"Line 3 of a\.jsonl is 5 and not an object; write it like"),
        ('["x"]', r"Line 3 of a\.jsonl is \[\"x\"\] and not an object"),
        ("{input: 1}", r"Line 3 of a\.jsonl is not JSON \(.*\); write one object on every line"),
        ("[" * 100_000, r"Line 3 of a\.jsonl is not JSON"),
    ],
    ids=["no-input", "null-input", "number", "list", "no-json", "deep"],
)
def test_lines_that_say_nothing_are_named(line, reason, tmp_path):
    (tmp_path / "a.jsonl").write_text(f'{{"input": "hazy/1.png", "reference": "clear/1.png"}}\n\n{line}\n')
    with pytest.raises(SetError, match=reason) as caught:
        open_set(tmp_path / "a.jsonl")
    assert len(str(caught.value)) < 250


def test_a_first_line_that_is_no_object(tmp_path):
    for line in ("5", '["x"]'):
        (tmp_path / "a.jsonl").write_text(f'{line}\n{{"input": "hazy/1.png"}}\n')
        with pytest.raises(SetError, match=r"Line 1 of a\.jsonl is"):
            open_set(tmp_path / "a.jsonl")


def test_damaged_metadata_is_named(tmp_path):
    write_folders(tmp_path, 1)
    (tmp_path / "metadata.parquet").write_bytes(b"no table")
    with pytest.raises(SetError, match=r"^metadata\.parquet is not a Parquet file that can be read \(.*\); copy or"):
        open_set(tmp_path)
    (tmp_path / "metadata.parquet").unlink()
    json_lines(tmp_path / "hazy" / "metadata.jsonl", 5)
    with pytest.raises(SetError, match=r"^Line 1 of hazy/metadata\.jsonl is 5"):
        open_set(tmp_path)


def test_metadata_that_names_no_input_or_no_file_is_said(tmp_path):
    write_folders(tmp_path, 1)
    records = [{"gt_file_name": "clear/0001.png"}, *gapped("file_name", "gt_file_name")[:2]]
    json_lines(tmp_path / "metadata.jsonl", *records)
    content = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.*")}
    for images in (open_set(tmp_path), open_set(write_zip(tmp_path / "set.zip", content))):
        assert paired(images) == {"hazy/0001.png": None}
        assert images.report.left_out == (
            "Line 1 of metadata.jsonl was left out: it names no input in the column 'file_name'.",
            "metadata.jsonl names 'hazy/0002.png', which is not in the set.",
            "metadata.jsonl names 'clear/0002.png', which is not in the set.",
        )


def test_every_table_of_an_imagefolder_has_columns_of_its_own(tmp_path):
    write_folders(tmp_path / "a", 1)
    write_folders(tmp_path / "b", 1)
    json_lines(tmp_path / "a" / "metadata.jsonl", {"file_name": "hazy/0001.png"})
    json_lines(tmp_path / "b" / "metadata.jsonl", {"input_file_name": "hazy/0001.png", "gt_image": "clear/0001.png"})
    assert paired(open_set(tmp_path)) == {"a/hazy/0001.png": None, "b/hazy/0001.png": "b/clear/0001.png"}


def test_tables_name_files_however_accents_are_encoded(tmp_path):
    (picture,) = files(1)[0].values()
    content = {"hazy/cafe\u0301.png": picture, "clear/caf\u00e9.png": picture}
    (tmp_path / "a.csv").write_text("input,reference\ncaf\u00e9.png,cafe\u0301.png\n")
    table = "file_name,gt_file_name\nhazy/caf\u00e9.png,clear/cafe\u0301.png\n"
    for name in ("hazy", "clear"):
        write_zip(tmp_path / f"{name}.zip", {key: data for key, data in content.items() if name in key})
    by_table = open_set(tmp_path / "hazy.zip", tmp_path / "clear.zip", pairing=f"csv:{tmp_path / 'a.csv'}")
    metadata = open_set(write_zip(tmp_path / "set.zip", content | {"metadata.csv": table.encode()}))
    for images in (by_table, metadata):
        assert paired(images) == {"hazy/cafe\u0301.png": "clear/caf\u00e9.png"}


def cells(*, path: bool) -> dict[str, list[dict[str, object]]]:
    """Image columns, with or without names."""
    sides = zip(("hazy", "gt"), files(COUNT), strict=True)
    return {
        column: [{"bytes": data} | ({"path": name} if path else {}) for name, data in side.items()]
        for column, side in sides
    }


def test_parquet_without_names_is_called_by_its_rows(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table(cells(path=False)), tmp_path / "a.parquet", row_group_size=2)
    images = open_set(tmp_path / "a.parquet")
    assert [pair.key for pair in images.pairs] == ["00000000", "00000001", "00000002"]
    inputs, references = files(COUNT)
    assert [pair.input.read_bytes() for pair in images.pairs] == list(inputs.values())
    assert [pair.reference.read_bytes() for pair in images.pairs] == list(references.values())


def test_parquet_files_may_lack_references(tmp_path):
    both = cells(path=False)
    pyarrow.parquet.write_table(pyarrow.table({"hazy": both["hazy"]}), tmp_path / "0.parquet")
    pyarrow.parquet.write_table(pyarrow.table(both), tmp_path / "1.parquet")
    images = open_set(tmp_path)
    assert [pair.key for pair in images.pairs] == [f"{row:08d}" for row in range(2 * COUNT)]
    assert [pair.reference is not None for pair in images.pairs] == [False] * COUNT + [True] * COUNT


def test_parquet_that_is_damaged_inside(tmp_path):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(cells(path=True)), stream, use_dictionary=False)
    whole = stream.getvalue()
    start = whole.index(b"0001.png")
    (tmp_path / "a.parquet").write_bytes(whole[: start - 40] + b"\xff" * 80 + whole[start + 40 :])
    with pytest.raises(SetError, match=r"^a\.parquet is not a Parquet file that can be read"):
        open_set(tmp_path / "a.parquet")
