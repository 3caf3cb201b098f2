"""Damage costs one picture in every container, and what is deleted frees its space."""

from __future__ import annotations

import io
import lzma
import os
import threading
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from errors import ImageError
from eval.sets import open_set
from eval.sources import FileSource, ParquetSource, close_containers, same_bytes
from tests.eval.pictures import files, write_tar, write_zip

INPUTS = files(3)[0]


def damaged(data: bytes, what: bytes) -> bytes:
    """The same with the middle of a part of it overwritten."""
    start = data.index(what) + len(what) // 2
    return data[:start] + b"\xff" * 64 + data[start + 64 :]


@pytest.mark.parametrize("method", ["STORED", "DEFLATED", "BZIP2", "LZMA"])
def test_a_damaged_member_of_a_zip_costs_one_picture(method, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{method}")) as archive:
        for name, data in INPUTS.items():
            archive.writestr(name, data)
        first, second = archive.infolist()[:2]
        length = second.header_offset - first.header_offset
    data = path.read_bytes()
    path.write_bytes(data[: length // 2] + b"\xff" * 64 + data[length // 2 + 64 :])
    broken, *whole = (pair.input for pair in open_set(path).pairs)
    with pytest.raises(ImageError, match=r"0001\.png cannot be unpacked from a\.zip \(.+\); zip it again\.$"):
        broken.read_bytes()
    assert [source.read_bytes() for source in whole] == list(INPUTS.values())[1:]


@pytest.mark.parametrize("error", [lzma.LZMAError("bad"), ValueError("bad"), IndexError("bad")])
def test_whatever_a_zip_fails_with_is_one_sentence(error, tmp_path, monkeypatch):
    (pair, *_) = open_set(write_zip(tmp_path / "a.zip", INPUTS)).pairs
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(ImageError, match=r"0001\.png cannot be unpacked from a\.zip \(bad\)"):
        pair.input.read_bytes()


def test_a_zip_that_became_something_else(tmp_path):
    images = open_set(write_zip(tmp_path / "a.zip", INPUTS))
    write_zip(tmp_path / "a.zip", {"0001.png": INPUTS["0001.png"]})
    with pytest.raises(ImageError, match=r"0003\.png cannot be unpacked"):
        images.pairs[2].input.read_bytes()
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(ImageError, match=r"0001\.png cannot be unpacked from a\.zip"):
        images.pairs[0].input.read_bytes()


def test_a_damaged_member_of_a_tar_costs_one_picture(tmp_path):
    path = write_tar(tmp_path / "a.tar", INPUTS)
    images = open_set(path)
    path.write_bytes(damaged(path.read_bytes(), INPUTS["0002.png"]))
    with pytest.raises(ImageError, match=r"0002\.png"):
        images.pairs[1].input.read()
    path.write_bytes(path.read_bytes()[: images.pairs[2].input.offset + 100])
    with pytest.raises(ImageError, match=r"0003\.png is cut off"):
        images.pairs[2].input.read()
    assert images.pairs[0].input.read().height == 104
    path.unlink()
    with pytest.raises(ImageError, match=r"0001\.png cannot be read \(No such file or directory\); check a\.tar"):
        images.pairs[0].input.read()


def write_parquet(path: Path) -> bytes:
    cells = [{"bytes": data, "path": name} for name, data in INPUTS.items()]
    options = {"row_group_size": 1, "use_dictionary": False, "compression": "zstd", "write_page_checksum": True}
    pyarrow.parquet.write_table(pyarrow.table({"image": cells}), path, **options)
    return path.read_bytes()


def test_a_damaged_cell_of_parquet_costs_its_row_group(tmp_path):
    data = write_parquet(tmp_path / "a.parquet")
    images = open_set(tmp_path / "a.parquet")
    group = pyarrow.parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0)
    start = group.data_page_offset
    (tmp_path / "a.parquet").write_bytes(data[:start] + b"\xff" * 200 + data[start + 200 :])
    with pytest.raises(ImageError, match=r"0002\.png cannot be read from a\.parquet \(.+\); copy or write it again\.$"):
        images.pairs[1].input.read_bytes()
    assert images.pairs[0].input.read_bytes() == INPUTS["0001.png"]
    assert images.pairs[2].input.read_bytes() == INPUTS["0003.png"]
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(ImageError, match=r"0003\.png cannot be read from a\.parquet"):
        images.pairs[2].input.read_bytes()
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(ImageError, match=r"a\.parquet is no longer there"):
        images.pairs[2].input.read_bytes()


def test_a_cell_that_is_not_there(tmp_path):
    write_parquet(tmp_path / "a.parquet")
    for column, group, row in (("image", 9, 0), ("image", 0, 9), ("other", 0, 0)):
        with pytest.raises(ImageError, match=r"x\.png cannot be read from a\.parquet"):
            ParquetSource("x.png", 0, str(tmp_path / "a.parquet"), column, group, row).read_bytes()


def test_a_name_that_no_file_can_have():
    with pytest.raises(ImageError, match=r"cannot be read"):
        FileSource("a\0.png", 0, "a\0.png").read_bytes()


def open_files(folder: Path) -> list[str]:
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return [target for link in links if os.path.islink(link) and (target := os.readlink(link)).startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at the process's open files")
def test_deleted_sets_are_closed_and_others_stay_open(tmp_path):
    for name in ("gone", "gone-too", "kept"):
        (tmp_path / name).mkdir()
        write_zip(tmp_path / name / "a.zip", INPUTS)
    write_parquet(tmp_path / "gone" / "b.parquet")
    opened = {place: open_set(place).pairs for place in tmp_path.glob("*/*")}
    for pairs in opened.values():
        assert pairs[0].input.read_bytes() == INPUTS["0001.png"]
    assert len(open_files(tmp_path)) == 3
    (tmp_path / "gone" / "a.zip").unlink()
    close_containers(tmp_path / "gone")
    assert sorted(open_files(tmp_path)) == [str(tmp_path / name / "a.zip") for name in ("gone-too", "kept")]
    with pytest.raises(ImageError, match=r"a\.zip is no longer there; give it again"):
        opened[tmp_path / "gone" / "a.zip"][0].input.read_bytes()
    assert opened[tmp_path / "gone" / "b.parquet"][0].input.read_bytes() == INPUTS["0001.png"]
    close_containers(tmp_path)
    assert open_files(tmp_path) == []
    close_containers(tmp_path / "never")


def test_closing_while_others_read_harms_nobody(tmp_path):
    write_zip(tmp_path / "a.zip", INPUTS)
    pairs = open_set(tmp_path / "a.zip").pairs
    stop, problems = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                assert [pair.input.read_bytes() for pair in pairs] == list(INPUTS.values())
            except ImageError as error:
                if "no longer there" not in str(error):
                    problems.append(error)
            except BaseException as error:
                problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(100):
        close_containers(tmp_path)
    (tmp_path / "a.zip").unlink()
    close_containers(tmp_path)
    stop.set()
    for reader in readers:
        reader.join()
    assert not problems


def test_the_same_bytes_wherever_they_lie(tmp_path):
    (tmp_path / "a.png").write_bytes(INPUTS["0001.png"])
    write_parquet(tmp_path / "a.parquet")
    zipped = [pair.input for pair in open_set(write_zip(tmp_path / "a.zip", INPUTS)).pairs]
    stored = [pair.input for pair in open_set(tmp_path / "a.parquet").pairs]
    (plain,) = (pair.input for pair in open_set(tmp_path / "a.png").pairs)
    assert same_bytes(plain, zipped[0]) and same_bytes(plain, stored[0]) and same_bytes(zipped[1], stored[1])
    assert not same_bytes(plain, zipped[1]) and not same_bytes(plain, stored[2])
    assert not same_bytes(plain, FileSource("gone.png", 0, str(tmp_path / "gone.png")))
