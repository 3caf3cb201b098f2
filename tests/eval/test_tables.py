"""Tables that Excel wrote, and small files that would unpack to gigabytes."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from errors import SetError
from eval.archives import Limits
from eval.sets import open_set
from eval.tables import LINE_BYTES, read_pair_table, read_records
from tests.eval.pictures import files, write_folders, write_zip


def parquet(**columns: object) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


@pytest.mark.parametrize("heading", ["input;reference\n", ""])
def test_semicolons_as_excel_writes_them(heading, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(f"\ufeff{heading}hazy/1, a.png;clear/1.png\n" if heading else "hazy/1.png;clear/1.png\n")
    assert read_pair_table(path) == [("hazy/1, a.png" if heading else "hazy/1.png", "clear/1.png")]
    path.write_text("input,reference\nhazy/1;2.png,clear/1;2.png\n")
    assert read_pair_table(path) == [("hazy/1;2.png", "clear/1;2.png")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"input,reference\n" + b"1.png,1.png\n" * 11),
        ("a.jsonl", b'{"input": "1.png"}\n' * 11),
        ("a.parquet", parquet(file_name=["1.png"] * 11)),
    ],
)
def test_a_table_has_at_most_so_many_lines(name, data):
    with pytest.raises(SetError, match=rf"^{name} has more than 10 lines; split the set into parts"):
        read_records(name, data, most=10)
    assert len(read_records(name, data, most=11)) == 11


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_a_table_in_an_archive_is_not_read_beyond_its_limits(name, tmp_path):
    path = write_zip(tmp_path / "a.zip", files(1)[0] | {name: b"\n" * (20 * LINE_BYTES + 1)})
    with pytest.raises(SetError, match=rf"^{name} is over 0 MiB, too much for a table; split the set"):
        open_set(path, limits=Limits(members=20))


def test_millions_of_rows_in_a_small_file_cost_no_memory(tmp_path):
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3_000_000, pyarrow.int32()), ["0001.png"])
    data = parquet(file_name=same.cast(pyarrow.string()))
    assert len(data) < 100_000
    path = write_zip(tmp_path / "a.zip", files(1)[0] | {"metadata.parquet": data})
    tracemalloc.start()
    with pytest.raises(SetError, match=r"^metadata\.parquet has more than 20,000 lines"):
        open_set(path, limits=Limits(members=20_000))
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()


def shared(count: int) -> bytes:
    """A table whose rows all have the same text of half a MiB, in a file of some KiB."""
    indexes = pyarrow.array([0] * count, pyarrow.int32())
    column = pyarrow.DictionaryArray.from_arrays(indexes, ["x" * 2**19])
    stream = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table({"file_name": column, "other": ["y"] * count}), stream, store_schema=False
    )
    return stream.getvalue()


def test_a_long_text_that_many_rows_share_is_there_once():
    data = shared(5000)
    assert len(data) < 2**17
    records = read_records("a.parquet", data, most=5000)
    assert len(records) == 5000 and "other" not in records[0].cells
    assert len({id(record.cells["file_name"]) for record in records}) <= 5
    with pytest.raises(SetError, match=r"^a\.parquet unpacks to far more than names of pictures take"):
        read_records("a.parquet", shared(100), most=100)


def test_parquet_tables_of_pairs(tmp_path: Path):
    hazy, clear = write_folders(tmp_path, 3)
    names = ["0001.png", "0002.png", "0003.png"]
    (tmp_path / "a.parquet").write_bytes(parquet(label=[1, 2, 3], hazy=names, gt=["0001.png", None, "0003.png"]))
    images = open_set(hazy, clear, pairing=f"csv:{tmp_path / 'a.parquet'}")
    assert [pair.reference.name if pair.reference else None for pair in images.pairs] == ["0001.png", None, "0003.png"]
    (tmp_path / "b.parquet").write_bytes(parquet(label=[1], kind=["x"]))
    with pytest.raises(SetError, match=r"needs a column 'input' and a column 'reference'; it has \['label', 'kind'\]"):
        read_pair_table(tmp_path / "b.parquet")
