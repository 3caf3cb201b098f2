import io
import json
import math
import re
from itertools import pairwise

import pandas
import pytest

from errors import ProtocolError, UnknownNameError, UsageError
from eval.efficiency import Efficiency
from eval.export import to_csv, to_html, to_latex, to_markdown, to_report, write_all
from eval.leaderboard import Leaderboard, build
from eval.rowfiles import read_rows
from eval.suite import build_suite
from tests.eval.boards import frame, realistic

NAMES = ("Set5", "Set14", "Urban & 100")
FORMS = (to_csv, to_html, to_latex, to_markdown, to_report)


@pytest.fixture(scope="module")
def rows():
    counts = zip(NAMES, (5, 14, 30), strict=True)
    found = pandas.concat([realistic(n, seed=n).assign(dataset=name) for name, n in counts])
    return found[(found["dataset"] != "Set5") | (found["metric"] != "niqe")]


@pytest.fixture(scope="module")
def suite(rows):
    return build_suite(rows, costs={"net-a": Efficiency(2_610_000, 52.2, 0.42, 310.5, "Some CPU, 2 threads")})


def test_every_set_is_ranked_by_itself(rows, suite):
    assert suite.datasets == NAMES  # 5 before 14
    for name, board in zip(NAMES, suite.boards, strict=True):
        alone = build(rows, dataset=name)
        columns = [c for c in alone.table if c not in alone.costs]
        pandas.testing.assert_frame_equal(board.table[columns], alone.table[columns], check_exact=True)
        assert (board.marks, board.groups, board.tests, board.notes) == (
            alone.marks, alone.groups, alone.tests, alone.notes)  # fmt: skip
    for row in suite.table.to_dict("records"):
        own = [board.raw(row["method"], "average_rank") for board in suite.boards]
        assert row["average_rank"] == pytest.approx(sum(own) / 3)
        assert row["failures"] == sum(board.raw(row["method"], "failures") for board in suite.boards)
    assert suite.table["rank"].tolist() == [1, 2, 3, 4] and suite.table["average_rank"].is_monotonic_increasing


def test_a_single_set_is_a_leaderboard(rows):
    assert isinstance(build_suite(rows, datasets=["Set5"]), Leaderboard)
    assert build_suite(rows, datasets=["Set14", "Set5"]).datasets == ("Set14", "Set5")


def test_latex_has_one_heading_a_set_and_as_many_cells_in_every_line(suite):
    text = to_latex(suite)
    columns = len(re.search(r"\\begin\{tabular\}\{(l?r*)\}", text)[1])
    assert columns == 1 + 2 + 3 + 3 + 1 + len(suite.costs) - 1  # the only device is a sentence
    heads = text.split(r"\toprule")[1].split(r"\midrule")[0].strip().splitlines()
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    for line in (heads[0], heads[2], *body):
        cells = re.split(r"(?<!\\)&", re.sub(r" \\\\(\[2pt\])?$", "", line))
        spans = [re.match(r" ?\\multicolumn\{(\d+)\}\{c\}\{.+\} ?$", cell) for cell in cells]
        assert sum(int(span[1]) if span else 1 for span in spans) == columns, line
    assert re.findall(r"\\multicolumn\{(\d)\}\{c\}\{([^}]+)\}", heads[0]) == [
        ("2", "Set5"), ("3", "Set14"), ("3", r"Urban \& 100")]  # fmt: skip
    rules = re.findall(r"\\cmidrule\(lr\)\{(\d+)-(\d+)\}", heads[1])
    assert rules == [("2", "3"), ("4", "6"), ("7", "9")]
    assert all(int(end) + 1 == int(start) for (_, end), (start, _) in pairwise(rules))
    assert text.count(r"\caption") == 1 and r"\label{tab:Set5-Set14-Urban-100-dehaze-rgb}" in text
    assert text.isascii() and text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_a_single_set_has_no_line_of_sets(rows):
    board = build(rows, dataset="Set5")
    assert "multicolumn" not in to_latex(board) and "colgroup" not in to_html(board)
    assert "| PSNR ↑" in to_markdown(board)


def test_best_and_second_are_those_of_each_set(suite):
    line = next(line for line in to_markdown(suite).splitlines() if "| net-a " in line)
    cells = [cell.strip() for cell in line.split("|")[3:]]
    columns = [(board, metric) for board in suite.boards for metric in board.metrics]
    for (board, metric), cell in zip(columns, cells, strict=False):
        mark = board.marks.get(("net-a", metric), "")
        assert cell.startswith({"best": "**", "second": "<u>", "": ""}[mark])
        assert board.shown.set_index("method").loc["net-a", metric] in cell
    assert "| Set5 PSNR ↑" in to_markdown(suite) and "| Urban &amp; 100 NIQE ↓" in to_markdown(suite)


def test_csv_reads_back_exactly(suite):
    table = pandas.read_csv(io.StringIO(to_csv(suite)), float_precision="round_trip").set_index("method")
    for name, board in zip(NAMES, suite.boards, strict=True):
        for metric in board.metrics:
            for column in (metric, f"{metric}_low", f"{metric}_n"):
                expected = board.table.set_index("method")[column]
                found = table[f"{name}/{column}"].reindex(expected.index)
                pandas.testing.assert_series_equal(found, expected, check_names=False, check_dtype=False)
    assert table["parameters"].dropna().to_dict() == {"net-a": 2_610_000}
    assert not [column for column in table if column.endswith("/parameters")]


def test_the_page_has_the_sets_over_their_columns_and_sorts_by_the_line_below(suite):
    page = to_html(suite)
    head = page.split("<thead>")[1].split("</thead>")[0]
    first, second = re.findall(r"<tr>(.*?)</tr>", head)
    assert re.findall(r'colspan="(\d)"', first) == ["2", "2", "3", "3"] and "Urban &amp; 100" in first
    assert second.count("<button") == 2 + 8 + 2 + 4 and "tHead.rows].at(-1)" in page
    assert page.count("Image by image: ") == 3 and "<h3>Set14</h3>" in page


def test_sentences_name_the_sets(suite):
    text = to_markdown(suite)
    assert "Sets Set5, Set14, Urban &amp; 100. Protocol dehaze-rgb (" in text
    assert "one family a set and metric" in text and "mean over sets and metrics" in text
    assert "Set5: PSNR, SSIM: ranked on the 4 of 5 images that every method has" in text
    assert "Failed images: dark-channel 5." in text and "Set5/0003" in text


def test_the_report_holds_a_report_a_set(suite):
    report = json.loads(to_report(suite))
    assert report["datasets"] == list(NAMES) and [part["datasets"] for part in report["sets"]] == [[n] for n in NAMES]
    assert [method["method"] for method in report["methods"]] == list(suite.methods)
    assert report["sets"][1] == json.loads(to_report(suite.boards[1]))


def test_a_method_that_a_set_lacks_has_empty_cells_and_no_rank():
    both, one = frame({"a": [20.0] * 3, "b": [30.0] * 3}, dataset="X"), frame({"a": [20.0] * 3}, dataset="Y")
    suite = build_suite(pandas.concat([both, one]))
    assert suite.methods == ("a", "b") and math.isnan(suite.table["rank"][1])
    assert re.search(r"\| – +\| b +\| \*\*30.00\*\* +\| – +\| – +\|", to_markdown(suite))
    assert all(form(suite) for form in FORMS)


def test_weights_tell_methods_apart_across_sets():
    parts = [frame({"net": [20.0], "b": [1.0]}, dataset=d, weights_sha256=w * 64) for d, w in (("X", "a"), ("Y", "b"))]
    suite = build_suite(pandas.concat(parts))
    assert {"net@aaaaaaaa", "net@bbbbbbbb"} <= set(suite.methods)
    assert any("2 different weight files" in note for note in suite.notes)


def test_sets_of_different_protocols_or_variants_share_no_table():
    x = frame({"a": [20.0]}, dataset="X")
    with pytest.raises(ProtocolError, match="different protocols"):
        build_suite(pandas.concat([x, frame({"a": [20.0]}, dataset="Y", protocol="sr-y4", protocol_hash="feed")]))
    niqe = [frame({"a": [3.0]}, "niqe", dataset=name, variant=name) for name in ("X", "Y")]
    with pytest.raises(ProtocolError, match="computed in different ways"):
        build_suite(pandas.concat(niqe))


def test_what_no_set_has_is_refused(rows):
    with pytest.raises(UnknownNameError, match="net-a"):
        build_suite(rows, methods=["net-x"])
    with pytest.raises(UnknownNameError, match="psnr"):
        build_suite(rows, metrics=["psrn"])
    with pytest.raises(UsageError, match="set 'Set5' has no rows"):
        build_suite(rows, metrics=["niqe"])
    with pytest.raises(UsageError, match="choose one set, or pool them"):
        build_suite(rows, timings=True)
    with pytest.raises(UsageError, match="none of the methods"):
        build_suite(rows, costs={"c": Efficiency(1, 1.0, 0.25, 40.0, "H100")})


def test_choices_hold_for_every_set(rows):
    chosen = {"metrics": ["ssim", "niqe"], "methods": ["input", "net-a"], "sort_by": "ssim", "decimals": {"ssim": 2}}
    suite = build_suite(rows, **chosen)
    assert [board.metrics for board in suite.boards] == [("ssim",), ("ssim", "niqe"), ("ssim", "niqe")]
    assert suite.methods == ("net-a", "input") and "SSIM" in to_latex(suite)


def test_the_same_rows_give_the_same_bytes_and_their_file_holds_all_of_them(rows, tmp_path):
    for folder, part in (("one", rows), ("two", rows.sample(frac=1, random_state=1))):
        paths = write_all(build_suite(part), part, tmp_path / folder)
    for path in paths:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
    assert len(list(read_rows(tmp_path / "one" / "rows.parquet"))) == len(rows)
