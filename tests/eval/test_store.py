from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from dataclasses import replace

import pytest

from errors import StoreError, UsageError
from eval import store as store_module
from eval.merging import doubled, merge_files, missing_shards
from eval.rowfiles import read_rows, shard_of, write_rows
from eval.rows import COLUMNS, FILE_COLUMNS, KEY_COLUMNS, TIMING_COLUMNS, ScoreRow, from_frame, to_frame
from eval.store import SCHEMA_VERSION, Store


def row(image: str = "0001", metric: str = "psnr", value: float | None = 17.25, **more) -> ScoreRow:
    facts = {"method": "input", "protocol": "p", "protocol_hash": "abc", "input_sha256": "1" * 64, "code_version": "1"}
    return ScoreRow(image=image, metric=metric, value=value, **(facts | more))


AWKWARD = [
    row("ünï çode/日本", value=float("inf")),
    row('comma, "quote"', value=None, error="0001.png, cut off: 'x'\nsecond line"),
    row(
        "0003",
        value=-0.1 + 0.3,
        height=10,
        width=20,
        seconds=1.5,
        score_seconds=0.1,
        peak_mib=2.0,
        input_pixels=50,
        device="cpu",
    ),
    row("0004", value=1e-300, metric="niqe", variant="niqe-live@f6284a2b", dataset="SOTS"),
]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "rows.sqlite") as opened:
        yield opened


def test_rows_come_back_as_they_were_and_sorted(store):
    store.add(reversed(AWKWARD))
    assert sorted(AWKWARD, key=lambda r: tuple(getattr(r, n) for n in KEY_COLUMNS)) == list(store.rows())
    assert from_frame(store.frame()) == list(store.rows())
    assert list(store.rows(image="0003", metric=["psnr", "ssim"])) == [AWKWARD[2]]
    assert store.datasets() == ["", "SOTS"]


def test_a_row_holds_a_value_or_an_error():
    with pytest.raises(ValueError, match="exactly one"):
        row(value=None)
    with pytest.raises(ValueError, match="exactly one"):
        row(error="both")
    with pytest.raises(ValueError, match="NaN"):
        row(value=float("nan"))


def test_the_same_key_replaces_and_another_key_stands_beside(store):
    store.add([row(), row(value=18.0), row(weights_sha256="w"), row(reference_sha256="r")])
    assert sorted(r.value for r in store.rows()) == [17.25, 17.25, 18.0]
    for column in KEY_COLUMNS:
        other = {column: "other"} if column != "image" else {}
        store.add([row(image="other" if column == "image" else "0001", **other)]) if column != "metric" else None
    assert len(store) == 3 + len(KEY_COLUMNS) - 1


def test_replace_forgets_what_no_longer_holds(store):
    store.add([row("a", metric="", value=None, error="unreadable"), row("a", "ssim"), row("b", "ssim")])
    store.replace([row("a", "psnr")])
    assert [(r.image, r.metric) for r in store.rows()] == [("a", "psnr"), ("a", "ssim"), ("b", "ssim")]
    store.replace([row("a", "psnr", input_sha256="2" * 64)])
    assert [(r.image, r.metric) for r in store.rows()] == [("a", "psnr"), ("b", "ssim")]
    store.replace([row("b", "psnr", output_sha256="new result")])
    assert [(r.image, r.metric) for r in store.rows()] == [("a", "psnr"), ("b", "psnr")]


def test_replace_keeps_other_metrics_of_a_restorer_whose_pixels_differ_between_devices(store):
    store.add([row("a", "ssim", device="cpu", output_sha256="x")])
    store.replace([row("a", "psnr", device="cuda", output_sha256="y")])
    assert len(store) == 2


def test_delete_needs_a_filter(store):
    store.add([row("a"), row("b")])
    assert store.delete(image="a") == 1 and len(store) == 1
    with pytest.raises(ValueError, match="filter"):
        store.delete()
    with pytest.raises(ValueError, match="no column"):
        list(store.rows(nonsense="x"))


def test_frames_have_one_type_per_column_also_when_empty():
    full, empty = to_frame(AWKWARD), to_frame([])
    assert list(full.columns) == list(empty.columns) == list(COLUMNS)
    assert full["value"].dtype == empty["value"].dtype == "float64"
    assert full["height"].dtype == empty["height"].dtype == "Int64"
    with pytest.raises(StoreError, match="column 'image' is missing"):
        from_frame(full.drop(columns="image"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_row_files_lose_nothing_but_timings(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    write_rows(path, AWKWARD)
    kept = [replace(r, **dict.fromkeys(TIMING_COLUMNS)) for r in AWKWARD]
    assert set(read_rows(path)) == set(kept)
    again = tmp_path / f"again{suffix}"
    write_rows(again, list(read_rows(path))[::-1])
    assert again.read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_the_csv_has_the_promised_columns_in_plain_sight(tmp_path):
    write_rows(tmp_path / "rows.csv", AWKWARD)
    head = (tmp_path / "rows.csv").read_text().splitlines()[0].split(",")
    assert tuple(head) == FILE_COLUMNS
    assert {"image", "method", "metric", "value", "error", "protocol", "protocol_hash"} <= set(head)


def test_row_files_that_are_none(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.parquet").write_bytes(b"nonsense")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00image")
    for name in ("a.csv", "b.parquet", "c.csv", "missing.csv"):
        with pytest.raises(StoreError):
            list(read_rows(tmp_path / name))
    with pytest.raises(UsageError, match=r"end the name with \.csv"):
        write_rows(tmp_path / "rows.xlsx", [])


def test_unsorted_streams_are_refused_rather_than_written(tmp_path):
    with pytest.raises(ValueError, match="sorted"):
        write_rows(tmp_path / "rows.csv", iter([row("b"), row("a")]))
    assert not list(tmp_path.iterdir())


def test_merge_does_not_depend_on_the_order(tmp_path):
    parts = [AWKWARD[:2], AWKWARD[2:], [AWKWARD[0]]]
    for index, part in enumerate(parts):
        write_rows(tmp_path / f"{index}.parquet", part)
    names = [tmp_path / f"{index}.parquet" for index in range(3)]
    counts = merge_files(names, tmp_path / "a.csv")
    merge_files(names[::-1], tmp_path / "b.csv")
    write_rows(tmp_path / "whole.csv", AWKWARD)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (counts.rows, counts.duplicates, counts.conflicts) == (4, 1, 0)


def test_merge_resolves_duplicates_by_rule(tmp_path):
    failed, old, new = row(value=None, error="no memory"), row(value=1.0), row(value=2.0, code_version="10")
    for index, item in enumerate((failed, old, new)):
        write_rows(tmp_path / f"{index}.csv", [item])
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        counts = merge_files([tmp_path / f"{index}.csv" for index in order], tmp_path / "out.csv")
        assert [r.value for r in read_rows(tmp_path / "out.csv")] == [2.0]
        assert (counts.duplicates, counts.conflicts, counts.first_conflict) == (2, 1, "0001, input, psnr")


def test_merge_drops_the_failure_of_a_picture_that_another_file_has_scored(tmp_path):
    write_rows(tmp_path / "a.csv", [row(metric="", value=None, error="no memory"), row("2", "", None, error="gone")])
    write_rows(tmp_path / "b.csv", [row()])
    merge_files([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out.csv")
    assert [(r.image, r.metric) for r in read_rows(tmp_path / "out.csv")] == [("0001", "psnr"), ("2", "")]


def test_an_import_is_whole_or_not_at_all(store):
    def cut_off():
        yield row("a")
        raise StoreError("the file is cut off")

    with pytest.raises(StoreError, match="cut off"):
        store.import_rows(cut_off())
    assert len(store) == 0


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_the_rows_of_a_shard_say_so_in_a_column_that_readers_may_ignore(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    write_rows(path, AWKWARD, shard="2/8")
    assert shard_of(path) == "2/8"
    plain = tmp_path / f"plain{suffix}"
    write_rows(plain, read_rows(path))
    assert shard_of(plain) == "" and set(read_rows(plain)) == set(read_rows(path))
    write_rows(path, [], shard="2/8")
    assert shard_of(path) == "" and list(read_rows(path)) == []


def two(value: float, **facts) -> ScoreRow:
    return row(value=value, **({"reference_sha256": "r"} | facts))


def test_two_results_under_one_name_are_named():
    a, b = two(1.0, input_sha256="a", output_sha256="a"), two(2.0, input_sha256="b", output_sha256="b")
    assert doubled([a, b]) == doubled([b, a]) == ("0001, input, psnr",)
    assert doubled([a, replace(b, value=1.0)]) == (), "the same value is the same score"
    for apart in ({"method": "B"}, {"dataset": "B"}, {"reference_sha256": "s"}, {"weights_sha256": "w"}):
        assert doubled([a, replace(b, **apart)]) == ()
    assert doubled([replace(a, reference_sha256=""), replace(b, reference_sha256="")]) == (), "other pictures"
    assert doubled([a, replace(a, value=2.0, code_version="2")]) == (), "the same output, scored by another version"


def test_missing_shards_are_named_where_that_is_known(tmp_path):
    def part(shard: str, method: str = "input", rows: int = 1):
        path = tmp_path / f"{shard.replace('/', '-')}-{method}-{rows}.csv"
        held = [row(str(index), method=method) for index in range(rows)]
        write_rows(path, held, shard=shard)
        return path, held

    assert missing_shards([part("0/4"), part("2/4")]) == ("1/4", "3/4")
    assert missing_shards([part(f"{index}/4") for index in range(4)]) == ()
    assert missing_shards([part("0/2", "a"), part("1/2", "b")]) == ("1/2", "0/2")
    assert missing_shards([part("0/2"), part("")]) == (), "the rest may be among rows that do not say"
    assert missing_shards([part("0/2"), part("", "other")]) == ("1/2",)
    assert missing_shards([part("0/3"), part("1/3"), part("2/3", rows=0)]) == (), "more shards than pictures"


def test_older_schemas_are_brought_up_to_date(tmp_path):
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    store_module.STEPS[0](connection)
    connection.execute("PRAGMA user_version = 1")
    known = [name for name in COLUMNS if name != "input_pixels"]
    values = [getattr(row(), name) for name in known]
    connection.execute(f"INSERT INTO rows ({', '.join(known)}) VALUES ({', '.join('?' * len(known))})", values)
    connection.commit()
    connection.close()
    with Store(path) as store:
        assert list(store.rows()) == [row()]
        store.add([row(input_pixels=7)])
        assert [r.input_pixels for r in store.rows()] == [7]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM rows WHERE input_sha256='' AND protocol_hash=''")
    assert "by_content" in plan.fetchone()[3]
    connection.close()


def test_a_failing_migration_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "rows.sqlite"
    with Store(path) as store:
        store.add([row()])

    def fails(connection):
        connection.execute("DELETE FROM rows")
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(store_module, "STEPS", (*store_module.STEPS, fails))
    monkeypatch.setattr(store_module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match="disk full"):
        Store(path)
    monkeypatch.undo()
    with Store(path) as store:
        assert len(store) == 1


def test_foreign_newer_and_broken_files_are_refused(tmp_path):
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE photos (name TEXT)")
    other.close()
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    (tmp_path / "text.sqlite").write_text("hello" * 100)
    for name, reason in (("other", "something else"), ("newer", "newer version"), ("text", "cannot be used")):
        with pytest.raises(StoreError, match=reason):
            Store(tmp_path / f"{name}.sqlite")


def _write(path: str, method: str, count: int) -> None:
    with Store(path) as store:
        for index in range(count):
            store.add([row(f"{index:05d}", method=method, value=float(index))])


def test_two_processes_write_a_thousand_rows_each_into_one_store(tmp_path):
    path = str(tmp_path / "rows.sqlite")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, method, 1000)) for method in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with Store(path) as store:
        assert [sum(1 for _ in store.rows(method=m)) for m in ("a", "b")] == [1000, 1000]


def test_threads_share_a_store(store):
    def write(method: str) -> None:
        for index in range(50):
            store.add([row(str(index), method=method)])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 200


def test_parquet_goes_out_and_comes_in(store, tmp_path):
    store.add(AWKWARD)
    write_rows(tmp_path / "rows.parquet", store.rows())
    with Store(tmp_path / "second.sqlite") as second:
        assert second.import_rows(read_rows(tmp_path / "rows.parquet")) == len(AWKWARD)
        assert len(second) == len(store)
