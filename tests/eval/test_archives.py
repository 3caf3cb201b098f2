"""Archives that want to do harm, or were packed by strange tools."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib

import pytest

from errors import ImageError, SetError
from eval import sources
from eval.archives import Limits
from eval.sets import open_set
from tests.eval.pictures import files, write_tar, write_zip

GOOD = files(1)[0]["0001.png"]


def only_good(path) -> list[str]:
    """Names that are left, and they can be read."""
    images = open_set(path)
    return [pair.input.name for pair in images.pairs if pair.input.read().height]


def test_an_empty_zip(tmp_path):
    with pytest.raises(SetError, match=r"a\.zip is an empty zip; put the pictures into it"):
        open_set(write_zip(tmp_path / "a.zip", {}))


def test_a_zip_without_pictures(tmp_path):
    with pytest.raises(SetError, match=r"a\.zip holds no pictures; PNG, JPEG"):
        open_set(write_zip(tmp_path / "a.zip", {"notes.txt": b"hi"}))


def test_what_is_called_zip_and_is_none(tmp_path):
    (tmp_path / "a.zip").write_text("I am a text")
    with pytest.raises(SetError, match=r"a\.zip is not a zip that can be opened"):
        open_set(tmp_path / "a.zip")
    data = write_zip(tmp_path / "b.zip", {"1.png": GOOD}).read_bytes()
    (tmp_path / "b.zip").write_bytes(data[:-30])
    with pytest.raises(SetError, match=r"b\.zip is not a zip"):
        open_set(tmp_path / "b.zip")


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "C:/evil.png"])
def test_paths_that_point_outside(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", {name: GOOD, "good.png": GOOD})
    images = open_set(path)
    assert [pair.input.name for pair in images.pairs] == ["good.png"]
    assert "points outside the archive" in images.report.left_out[0]
    path = write_tar(tmp_path / "a.tar", {name: GOOD, "good.png": GOOD})
    assert only_good(path) == ["good.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "a.zip"]


def test_links_and_devices(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good.png", GOOD)
    images = open_set(tmp_path / "a.zip")
    assert len(images.pairs) == 1 and "it is a link" in images.report.left_out[0]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("s.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("good.png")
        member.size = len(GOOD)
        archive.addfile(member, io.BytesIO(GOOD))
    images = open_set(tmp_path / "a.tar")
    assert [pair.input.name for pair in images.pairs] == ["good.png"]
    assert [line.split(": ")[1] for line in images.report.left_out] == [
        "it is a link.",
        "it is a link.",
        "it is not a regular file.",
    ]


def test_archives_in_archives_stay_closed(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", {"1.png": GOOD}).read_bytes()
    images = open_set(write_zip(tmp_path / "a.zip", {"inner.zip": inner, "good.png": GOOD}))
    assert len(images.pairs) == 1 and "an archive in the archive" in images.report.left_out[0]
    with pytest.raises(SetError, match=r"holds no pictures .*archive in the archive"):
        open_set(write_zip(tmp_path / "b.zip", {"inner.zip": inner}))


def test_encrypted_members_cost_one_row_each(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"locked.png": GOOD, "good.png": GOOD})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.index(signature)
        data[start + offset] |= 1
    path.write_bytes(data)
    images = open_set(path)
    assert {pair.input.name for pair in images.pairs} == {"locked.png", "good.png"}
    locked = next(pair.input for pair in images.pairs if pair.input.name == "locked.png")
    with pytest.raises(ImageError, match=r"locked\.png is encrypted"):
        locked.read()


def test_names_in_unknown_code_pages(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("AAAAAA.png", GOOD)
        archive.writestr("BBBBBB.png", GOOD)
    data = (tmp_path / "a.zip").read_bytes()
    data = data.replace(b"AAAAAA", "дым".encode()).replace(b"BBBBBB", b"\x81\x8d\xff\x90\x9d\xa0")
    (tmp_path / "a.zip").write_bytes(data)
    names = only_good(tmp_path / "a.zip")
    assert "дым.png" in names and len(names) == 2
    with tarfile.open(tmp_path / "a.tar", "w", errors="surrogateescape") as archive:
        member = tarfile.TarInfo(b"\xff\xfe.png".decode("utf-8", "surrogateescape"))
        member.size = len(GOOD)
        archive.addfile(member, io.BytesIO(GOOD))
    (name,) = only_good(tmp_path / "a.tar")
    name.encode()


def test_names_in_an_old_code_page_are_said(tmp_path):
    """As 7-Zip writes them on a Chinese Windows: GBK that nothing declares reads as Western letters."""
    path = write_zip(tmp_path / "a.zip", {"AAAA.png": GOOD, "BBBB.png": GOOD})
    data = path.read_bytes().replace(b"AAAA", "写真".encode("gbk")).replace(b"BBBB", "图像".encode("gbk"))
    path.write_bytes(data)
    (remark,) = open_set(path).report.left_out
    assert remark.startswith("a.zip has names in an old code page (") and "zip the folder again" in remark
    clear = write_zip(tmp_path / "b.zip", {"写真.png": GOOD, "图像.png": GOOD})
    assert open_set(clear).report.clean
    with pytest.raises(SetError, match=r"No input pairs .*a\.zip has names in an old code page"):
        open_set(clear, path)


def test_a_name_that_stands_for_two_pictures_stands_for_none(tmp_path):
    other = files(2)[0]["0002.png"]
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in (("a.png", GOOD), ("a.png", other), ("b.png", GOOD), ("b.png", GOOD)):
            archive.writestr(name, data)
    images = open_set(tmp_path / "a.zip")
    assert [pair.input.name for pair in images.pairs] == ["a.png", "b.png"]
    assert images.pairs[1].input.read().height == 104
    with pytest.raises(ImageError, match="more than once with different content"):
        images.pairs[0].input.read()


def test_a_name_that_a_tar_repeats_is_treated_as_in_a_zip(tmp_path):
    """``tar -r`` leaves both members; a tar has no checksums, so equal sizes say nothing."""
    other = bytes([*GOOD[:-1], GOOD[-1] ^ 1])
    members = (("a.png", GOOD), ("./a.png", other), ("a.png", GOOD), ("b.png", GOOD), ("b.png", GOOD))
    for path, mode in ((tmp_path / "a.tar", "w"), (tmp_path / "a.tar.gz", "w:gz")):
        with tarfile.open(path, mode) as archive:
            for name, data in members:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        images = open_set(path)
        assert [pair.key for pair in images.pairs] == ["a", "b"]
        assert images.pairs[1].input.read().height == 104
        reason = "a.png is in the archive more than once with different content; keep one of them."
        assert images.report.left_out == (reason,)
        with pytest.raises(ImageError, match=reason):
            images.pairs[0].input.read()


def test_a_repeated_name_that_is_too_large_to_compare_stands_for_none(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for _ in range(2):
            member = tarfile.TarInfo("a.png")
            member.size = len(GOOD)
            archive.addfile(member, io.BytesIO(GOOD))
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", len(GOOD) - 1)
    (pair,) = open_set(tmp_path / "a.tar").pairs
    with pytest.raises(ImageError, match="more than once with different content"):
        pair.input.read()


def test_encrypted_notes_cost_no_picture(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"notes.txt": b"hi", "good.png": GOOD})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    images = open_set(path)
    assert [pair.input.name for pair in images.pairs] == ["good.png"]
    assert images.report.left_out == ("notes.txt is encrypted; zip the set again without a password.",)


def test_clutter_is_passed_over(tmp_path):
    clutter = {"__MACOSX/._good.png": b"x", ".hidden/a.png": b"x", "good.png": GOOD, "set/.DS_Store": b"x"}
    images = open_set(write_zip(tmp_path / "a.zip", clutter))
    assert [pair.input.name for pair in images.pairs] == ["good.png"] and images.report.clean


def bomb(path, claimed: int) -> None:
    """A zip of one member whose directory claims ``claimed`` bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 5_000_000)
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", claimed)
    path.write_bytes(data)


def test_a_bomb_that_says_so_is_not_opened(tmp_path):
    bomb(tmp_path / "a.zip", 3_000_000_000)
    with pytest.raises(SetError, match=r"claims to unpack to 3 GiB, over the limit of 1 GiB; it was not opened"):
        open_set(tmp_path / "a.zip", limits=Limits(total_bytes=2**30))
    with pytest.raises(ImageError, match=r"a\.png is 2861 MiB, over the limit"):
        open_set(tmp_path / "a.zip").pairs[0].input.read()


def test_a_bomb_that_lies_is_cut_off(tmp_path, monkeypatch):
    bomb(tmp_path / "a.zip", 1000)
    source = open_set(tmp_path / "a.zip").pairs[0].input
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(ImageError, match=r"a\.png"):
        source.read()


def test_a_compressed_tar_that_never_ends(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "a.tar.gz").write_bytes(b"".join(packer.compress(b"\0" * 2**20) for _ in range(64)))  # it has no end
    with pytest.raises(SetError, match=r"a\.tar\.gz unpacks to over 0 GiB; it was not opened"):
        open_set(tmp_path / "a.tar.gz", limits=Limits(total_bytes=2**23))


def test_damaged_tars(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "b.tar.gz").write_bytes(b"no gzip at all" * 100)
    for name in ("a.tar", "b.tar.gz"):
        with pytest.raises(SetError, match=name):
            open_set(tmp_path / name)


def test_a_wrong_checksum_costs_one_picture(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": GOOD, "b.png": GOOD})
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    images = open_set(path)
    with pytest.raises(ImageError, match=r"a\.png cannot be unpacked from a\.zip"):
        images.pairs[0].input.read()
    assert images.pairs[1].input.read().height == 104


def test_thousands_of_files(tmp_path):
    import time

    path = write_zip(tmp_path / "a.zip", {f"{index:05d}.png": b"" for index in range(5000)})
    start = time.perf_counter()
    assert len(open_set(path).pairs) == 5000
    assert time.perf_counter() - start < 10
    with pytest.raises(SetError, match=r"more than 4,000 entries; split it"):
        open_set(path, limits=Limits(members=4000))


def test_a_zip_that_is_replaced_is_opened_again(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": GOOD})
    assert open_set(path).pairs[0].input.read_bytes() == GOOD
    other = files(2)[0]["0002.png"]
    write_zip(path, {"b.png": b"", "a.png": other})
    assert open_set(path).pairs[0].input.read_bytes() == other
