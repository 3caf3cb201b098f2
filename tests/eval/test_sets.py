"""Every way a set can come in, and the same table out of each."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from errors import SetError, UsageError
from eval.hub_sets import HubSet
from eval.methods import parse_methods, results_of
from eval.protocol import get
from eval.rowfiles import write_rows
from eval.runner import make_plan, run
from eval.sets import ImageSet, open_set
from eval.store import Store
from eval.tables import side_of
from tests.eval.pictures import files, write_csv, write_folders, write_tar, write_zip
from tests.standin_hub import StandInHub

COUNT = 3


def scored(images: ImageSet, folder: Path) -> bytes:
    """The row file of a set, as bytes."""
    plan = make_plan(images, parse_methods("input"), ["psnr", "ssim", "niqe"], get("dehaze-rgb"))
    with Store(folder / "rows.sqlite") as store:
        for _ in run(plan, store):
            pass
        write_rows(folder / "rows.csv", plan.rows(store))
    return (folder / "rows.csv").read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> bytes:
    root = tmp_path_factory.mktemp("plain")
    rows = scored(open_set(*write_folders(root, COUNT)), root)
    assert rows.count(b"\n") == 1 + 3 * COUNT and b"psnr,1" in rows
    return rows


def in_one_zip(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    both = {f"set/hazy/{name}": data for name, data in inputs.items()}
    both |= {f"set/GT/{name}": data for name, data in references.items()}
    return open_set(write_zip(root / "set.zip", both))


def in_two_zips(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    return open_set(write_zip(root / "in.zip", inputs), write_zip(root / "ref.zip", references))


def in_lists(root: Path) -> ImageSet:
    write_folders(root, COUNT)
    for side in ("hazy", "clear"):
        lines = [f"{side}/{index:04d}.png" for index in range(1, COUNT + 1)]
        (root / f"{side}.txt").write_text("# a list\n" + "\n".join(lines) + "\n")
    return open_set(root / "hazy.txt", root / "clear.txt")


def in_a_csv(root: Path) -> ImageSet:
    write_folders(root, COUNT)
    lines = [[f"hazy/{i:04d}.png", f"clear/{i:04d}.png"] for i in range(1, COUNT + 1)]
    return open_set(write_csv(root / "pairs.csv", ["input", "reference"], lines))


def in_a_tar(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    members: dict[str, bytes] = {}
    for name in inputs:
        stem = Path(name).stem
        members |= {f"{stem}.input.png": inputs[name], f"{stem}.target.png": references[name], f"{stem}.json": b"{}"}
    return open_set(write_tar(root / "shard-0000.tar", members))


def in_a_gzipped_tar(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    members = {f"./hazy/{name}": data for name, data in inputs.items()}
    members |= {f"./clear/{name}": data for name, data in references.items()}
    return open_set(write_tar(root / "set.tar.gz", members, "w:gz"))


def in_parquet(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    cells = {
        "hazy": [{"bytes": data, "path": name} for name, data in inputs.items()],
        "gt": [{"bytes": data, "path": name} for name, data in references.items()],
        "beta": [0.8] * COUNT,
    }
    pyarrow.parquet.write_table(pyarrow.table(cells), root / "set.parquet", row_group_size=2)
    return open_set(root / "set.parquet")


def in_an_imagefolder(root: Path) -> ImageSet:
    write_folders(root, COUNT)
    lines = [[f"hazy/{i:04d}.png", f"clear/{i:04d}.png"] for i in range(1, COUNT + 1)]
    write_csv(root / "metadata.csv", ["input_file_name", "target_file_name"], lines)
    return open_set(root)


def in_a_zipped_imagefolder(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    table = "file_name,target_file_name\n" + "".join(f"a/{name},b/{name}\n" for name in inputs)
    members = {f"a/{name}": data for name, data in inputs.items()} | {"metadata.csv": table.encode()}
    return open_set(write_zip(root / "set.zip", members | {f"b/{name}": data for name, data in references.items()}))


def in_a_folder_with_a_table(root: Path) -> ImageSet:
    hazy, clear = write_folders(root, COUNT)
    for index in range(1, COUNT + 1):
        (clear / f"{index:04d}.png").rename(clear / f"scene {index}.png")
    lines = [[f"{i:04d}.png", f"scene {i}.png"] for i in range(1, COUNT + 1)]
    table = write_csv(root / "pairs.csv", ["hazy", "gt"], lines)
    return open_set(hazy, clear, pairing=f"csv:{table}")


def in_shards(root: Path) -> ImageSet:
    inputs, references = files(COUNT)
    for index, name in enumerate(inputs):
        stem = Path(name).stem
        write_tar(root / f"{index}.tar", {f"{stem}.hazy.png": inputs[name], f"{stem}.clear.png": references[name]})
    return open_set(root)


WAYS = [
    in_one_zip,
    in_two_zips,
    in_lists,
    in_a_csv,
    in_a_tar,
    in_a_gzipped_tar,
    in_parquet,
    in_an_imagefolder,
    in_a_zipped_imagefolder,
    in_a_folder_with_a_table,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_in_gives_the_same_rows(way, tmp_path, expected):
    images = way(tmp_path)
    assert images.report.paired == COUNT, images.report.lines()
    assert scored(images, tmp_path) == expected


def test_shards_keep_their_names_apart(tmp_path):
    images = in_shards(tmp_path)
    assert images.report.paired == COUNT
    assert [pair.key for pair in images.pairs] == ["0/0001", "1/0002", "2/0003"]


def test_parquet_written_by_the_datasets_library(tmp_path, expected):
    datasets = pytest.importorskip("datasets", reason="the datasets library is a test requirement only")
    inputs, references = files(COUNT)
    table = datasets.Dataset.from_dict(
        {
            "input": [{"bytes": data, "path": name} for name, data in inputs.items()],
            "target": [{"bytes": data, "path": name} for name, data in references.items()],
        },
        features=datasets.Features({"input": datasets.Image(), "target": datasets.Image()}),
    )
    table.to_parquet(str(tmp_path / "train-00000-of-00001.parquet"))
    assert scored(open_set(tmp_path / "train-00000-of-00001.parquet"), tmp_path) == expected


HUB_CODE = """
import sys
from pathlib import Path
from tests.eval.test_sets import scored, COUNT
from eval.sets import open_set
for address in sys.argv[2:]:
    images = open_set(address)
    assert images.report.paired == COUNT, images.report.lines()
    sys.stdout.buffer.write(scored(images, Path(sys.argv[1])))
    (Path(sys.argv[1]) / "rows.sqlite").unlink()
"""


def on_the_hub(hub: StandInHub, home: Path, *addresses: str, code: str = HUB_CODE) -> subprocess.CompletedProcess:
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-c", code, str(home), *addresses]
    root = Path(__file__).parents[2]
    return subprocess.run(command, env=hub.environment(home), cwd=root, capture_output=True, timeout=120)


def test_sets_on_the_hub(tmp_path, expected):
    in_an_imagefolder(tmp_path)
    images = {f"data/{p.relative_to(tmp_path).as_posix()}": p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    (tmp_path / "parquet").mkdir()
    in_parquet(tmp_path / "parquet")
    parquet = (tmp_path / "parquet" / "set.parquet").read_bytes()
    with StandInHub() as hub:
        first = hub.add("dataset", "lab/folder", images | {"README.md": b"hello", "huge.bin": b"not a picture"})
        hub.commit("dataset", "lab/folder", {"README.md": b"all gone"})
        hub.add("dataset", "lab/table", {"data/test-00000.parquet": parquet})
        done = on_the_hub(
            hub,
            tmp_path / "home",
            f"hf://datasets/lab/folder@{first}",
            f"hf://datasets/lab/folder@{first}/data",
            "hf://datasets/lab/table",
        )
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout == expected * 3
        assert not any("huge.bin" in path or "README" in path for _, path in hub.requests)


def test_the_hub_says_no_in_one_sentence(tmp_path):
    code = """
import sys
from eval.sets import open_set
from errors import SetError
for address in sys.argv[2:]:
    try:
        open_set(address)
    except SetError as error:
        print(error)
"""
    with StandInHub() as hub:
        hub.add("dataset", "lab/open", {"a.txt": b""})
        hub.add("dataset", "lab/gated", {"a.png": b"x"}, gated=True)
        addresses = ["lab/none", "lab/open@v9", "lab/gated", "lab/open"]
        done = on_the_hub(hub, tmp_path, *(f"hf://datasets/{address}" for address in addresses), code=code)
        assert done.returncode == 0, done.stderr.decode()
        sentences = done.stdout.decode().splitlines()
    assert len(sentences) == 4
    for sentence, reason in zip(
        sentences, ("There is no data set", "no revision 'v9'", "gated", "no pictures"), strict=True
    ):
        assert reason in sentence
    offline = hub.environment(tmp_path / "empty") | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, "", "hf://datasets/lab/open"]
    done = subprocess.run(command, env=offline, cwd=Path(__file__).parents[2], capture_output=True, timeout=60)
    assert b"Hub cannot be reached" in done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("hf://datasets/lab/set", HubSet("lab/set")),
        ("hf://datasets/lab/set/", HubSet("lab/set")),
        ("hf://datasets/lab/set@v1.0", HubSet("lab/set", "v1.0")),
        ("hf://datasets/lab/set@refs%2Fpr%2F1/test/hazy", HubSet("lab/set", "refs/pr/1", "test/hazy")),
    ],
)
def test_hub_addresses(address, parsed):
    assert HubSet.parse(address) == parsed


@pytest.mark.parametrize("address", ["hf://lab/set", "hf://datasets/lab", "hf://datasets/lab/set/../../x"])
def test_malformed_hub_addresses(address):
    with pytest.raises(UsageError, match="no data set address"):
        HubSet.parse(address)


def test_sides_are_known_by_their_names():
    assert [side_of(n) for n in ("hazy", "LQ", "input_file_name", "file_name", "image")] == ["input"] * 5
    assert [side_of(n) for n in ("GT", "target_file_name", "ground truth", "Clear", "hr_image")] == ["reference"] * 5
    assert side_of("split") is None and side_of("") is None


def test_two_sides_are_only_split_when_every_file_is_on_one(tmp_path):
    inputs, _ = files(2)
    both = {f"hazy/{n}": d for n, d in inputs.items()} | {f"clear/{n}": d for n, d in inputs.items()}
    assert open_set(write_zip(tmp_path / "a.zip", both)).report.paired == 2
    images = open_set(write_zip(tmp_path / "b.zip", both | {"other/1.png": inputs["0001.png"]}))
    assert len(images.pairs) == 5 and not images.has_references
    suffixed = {f"{n[:4]}_hazy.png": d for n, d in inputs.items()} | {f"{n[:4]}_GT.png": d for n, d in inputs.items()}
    images = open_set(write_zip(tmp_path / "c.zip", suffixed))
    assert images.report.rule == "ntire" and [pair.key for pair in images.pairs] == ["0001_hazy", "0002_hazy"]


def test_a_list_in_python_and_single_pictures(tmp_path):
    hazy, clear = write_folders(tmp_path, 2)
    images = open_set(sorted(hazy.iterdir()), sorted(clear.iterdir()))
    assert images.report.paired == 2 and [pair.key for pair in images.pairs] == ["0001", "0002"]
    single = open_set(hazy / "0001.png", clear / "0001.png")
    assert single.report.paired == 1 and single.pairs[0].key == "0001"


def test_sets_without_references(tmp_path):
    hazy, _ = write_folders(tmp_path, 2)
    images = open_set(hazy, inspect=True)
    assert not images.has_references and images.report.lines() == ["2 pictures, no references."]


def test_results_and_references_zipped_on_a_mac(tmp_path):
    """macOS writes accents as two characters; the pictures pair all the same and are read under their own names."""
    inputs, references = files(2)
    composed, decomposed = ["1.png", "caf\u00e9.png"], ["1.png", "cafe\u0301.png"]
    hazy = write_zip(tmp_path / "hazy.zip", dict(zip(composed, inputs.values(), strict=True)))
    clear = write_zip(tmp_path / "clear.zip", dict(zip(decomposed, references.values(), strict=True)))
    images = open_set(hazy, clear)
    assert images.report.clean and images.report.paired == 2
    assert [pair.reference.name for pair in images.pairs] == decomposed
    assert images.pairs[1].reference.read_bytes() == references["0002.png"]
    (method,) = parse_methods(f"MINE={clear}")
    assert {key: source.name for key, source in results_of(method, images.pairs).items()} == {
        "1": "1.png",
        "caf\u00e9": "cafe\u0301.png",
    }


def test_a_missing_file_of_a_table_costs_one_picture(tmp_path):
    write_folders(tmp_path, 2)
    lines = [["hazy/0001.png", "clear/0001.png"], ["hazy/0009.png", "clear/0002.png"], ["hazy/0002.png", ""]]
    images = open_set(write_csv(tmp_path / "pairs.csv", ["input", "reference"], lines))
    assert [pair.key for pair in images.pairs] == ["0001", "0009", "0002"]
    assert images.report.missing == ("hazy/0002.png",)


def test_a_table_without_a_heading(tmp_path):
    write_folders(tmp_path, 2)
    (tmp_path / "pairs.csv").write_text("hazy/0001.png,clear/0001.png\nhazy/0002.png,clear/0002.png\n")
    assert open_set(tmp_path / "pairs.csv").report.paired == 2


def test_tables_that_say_nothing(tmp_path):
    write_folders(tmp_path, 1)
    (tmp_path / "a.csv").write_text("foo,bar\n1,2\n")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00\x01")
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "d.parquet")
    (tmp_path / "e.parquet").write_bytes(b"no table")
    for name in ("a.csv", "b.csv", "c.csv", "d.parquet", "e.parquet"):
        with pytest.raises(SetError, match=name):
            open_set(tmp_path / name)
    with pytest.raises(SetError, match=r"names 'nope\.png', which is not in"):
        (tmp_path / "f.csv").write_text("input,reference\nnope.png,0001.png\n")
        open_set(tmp_path / "hazy", tmp_path / "clear", pairing=f"csv:{tmp_path / 'f.csv'}")


def test_places_that_are_no_sets(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.docx").write_text("hello")
    for place, reason in (("empty", "holds no pictures"), ("notes.docx", "not a set"), ("gone", "nothing at")):
        with pytest.raises(SetError, match=reason):
            open_set(tmp_path / place)


def test_metadata_cannot_reach_outside_its_folder(tmp_path):
    hazy, _ = write_folders(tmp_path, 1)
    (hazy / "metadata.csv").write_text("input_file_name,target_file_name\n0001.png,../clear/0001.png\n")
    images = open_set(hazy)
    assert not images.has_references and "is not in the set" in images.report.left_out[0]


def test_a_cut_off_tar_costs_its_last_picture(tmp_path):
    inputs, _ = files(2)
    path = write_tar(tmp_path / "a.tar", inputs)
    images = open_set(path)
    data = path.read_bytes()
    path.write_bytes(data[: images.pairs[1].input.offset + 100])
    assert images.pairs[0].input.read().height == 104
    with pytest.raises(Exception, match="cut off"):
        images.pairs[1].input.read()


def test_shards_split_a_set_without_loss(tmp_path):
    images = open_set(*write_folders(tmp_path, 5))
    parts = [images.shard(index, 3).pairs for index in range(3)]
    assert sorted((p for part in parts for p in part), key=lambda p: p.key) == list(images.pairs)
    assert [len(part) for part in parts] == [2, 2, 1]


def test_pairs_are_small_when_they_travel(tmp_path):
    import pickle

    for way in (in_two_zips, in_a_tar, in_parquet, in_a_csv):
        root = tmp_path / way.__name__
        root.mkdir()
        pair = way(root).pairs[0]
        assert len(pickle.dumps(pair)) < 1500
        assert pickle.loads(pickle.dumps(pair)).input.read().width == 112


def test_a_temporary_copy_lives_as_long_as_its_set(tmp_path):
    images = in_a_gzipped_tar(tmp_path)
    copy = Path(images.pairs[0].input.path)
    assert copy.exists()
    assert io.BytesIO(images.pairs[0].input.read_bytes()).read(4) == b"\x89PNG"
    del images
    import gc

    gc.collect()
    assert not copy.exists()
