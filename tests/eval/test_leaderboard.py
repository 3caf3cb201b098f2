import doctest
import importlib
import json
import math
from dataclasses import replace

import numpy as np
import pandas
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from errors import MetricError, ProtocolError, UnknownNameError, UsageError
from eval import protocol
from eval.efficiency import Efficiency
from eval.export import to_csv, to_html, to_latex, to_markdown, to_report
from eval.leaderboard import build, compare, show, worst_cases
from eval.rows import to_frame
from eval.suite import build_suite
from tests.eval.boards import HASH, frame, realistic, row


@pytest.fixture(scope="module")
def board():
    return build(realistic())


@pytest.mark.parametrize("name", ["stats", "column", "plots", "exports.printed"])
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"eval.{name}")).failed == 0


def test_numbers_against_numpy_and_scipy():
    rows = frame({"a": np.linspace(20, 31, 12), "b": np.linspace(19.5, 32, 12)[::-1], "c": np.linspace(15, 25, 12)})
    found = build(rows)
    wide = rows.pivot(index="image", columns="method", values="value")
    for name in "abc":
        assert found.raw(name, "psnr") == pytest.approx(wide[name].mean(), rel=1e-14)
        assert found.raw(name, "psnr_median") == np.median(wide[name])
        assert found.raw(name, "psnr_std") == pytest.approx(wide[name].std(ddof=1))
    ranks = pandas.Series(scipy_stats.rankdata(-wide.to_numpy(), axis=1).mean(axis=0), index=wide.columns)
    assert {n: found.raw(n, "average_rank") for n in "abc"} == pytest.approx(ranks.to_dict())
    raw = [scipy_stats.wilcoxon(wide[x], wide[y]).pvalue for x, y in (("a", "b"), ("a", "c"), ("b", "c"))]
    expected = dict(zip(["ab", "ac", "bc"], multipletests(raw, method="holm")[1], strict=True))
    assert {"".join(sorted((t.a, t.b))): t.p for t in found.tests} == pytest.approx(expected)


def test_order_of_rows_does_not_change_a_bit():
    rows = realistic()
    first, second = build(rows), build(rows.sample(frac=1, random_state=4))
    pandas.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    assert (first.groups, first.tests, first.notes) == (second.groups, second.tests, second.notes)


def test_a_further_method_leaves_means_and_intervals_of_the_others_alone():
    rows = frame({"a": [20, 22, 27, 21, 25, 24, 20], "b": [21, 20, 25, 24, 23, 27, 21]})
    more = pandas.concat([rows, frame({"c": [10, 12, 11, 13, 14, 9, 15]})])
    columns = ["method", "psnr", "psnr_low", "psnr_high", "psnr_median", "psnr_std"]
    small, large = (build(r).table[columns].set_index("method").loc[["a", "b"]] for r in (rows, more))
    pandas.testing.assert_frame_equal(small, large, check_exact=True)


def test_marks_follow_the_direction_and_ties_share_at_the_shown_precision():
    psnr = frame({"a": [20.001] * 3, "b": [20.004] * 3, "c": [18.0] * 3, "d": [17.0] * 3})
    niqe = frame({"a": [5.0] * 3, "b": [4.0] * 3, "c": [3.0] * 3, "d": [3.0004] * 3}, "niqe")
    found = build(pandas.concat([psnr, niqe]))
    assert {k: v for k, v in found.marks.items() if k[1] == "psnr"} == {
        ("a", "psnr"): "best",
        ("b", "psnr"): "best",
        ("c", "psnr"): "second",
    }
    assert {k[0]: v for k, v in found.marks.items() if k[1] == "niqe"} == {"c": "best", "d": "best", "b": "second"}
    assert found.raw("a", "psnr_rank") == found.raw("b", "psnr_rank") == 1 and found.raw("c", "psnr_rank") == 3
    assert found.raw("a", "psnr") != found.raw("b", "psnr")  # raw stays raw


def test_nothing_is_marked_where_all_are_equal_or_alone():
    assert build(frame({"a": [20.0], "b": [20.0]})).marks == {}
    assert build(frame({"a": [20.0]})).marks == {}


def test_letters_show_what_cannot_be_told_apart(board):
    groups = {name: board.groups[name, "psnr"] for name in board.methods}
    assert groups["net-a"] == groups["net-b"] == "a"
    assert groups["dark-channel"] == "b" and groups["input"] == "c"
    pair = next(t for t in board.tests if t.metric == "psnr" and {t.a, t.b} == {"net-a", "net-b"})
    assert pair.p > 0.05 and pair.wins + pair.ties + pair.losses == pair.images == 38


def test_few_images_claim_nothing():
    found = build(frame({"a": [30.0] * 5, "b": [10.0] * 5}))
    assert set(found.groups.values()) == {""} and math.isnan(found.tests[0].p)
    assert "5 images cannot support a test" in " ".join(found.notes)
    one = build(frame({"a": [30.0], "b": [10.0]}))
    assert math.isnan(one.raw("a", "psnr_low")) and math.isnan(one.raw("a", "psnr_std"))


def test_too_few_images_for_so_many_methods_is_said():
    found = build(frame({name: np.arange(6) + 3.0 * i for i, name in enumerate("abcd")}))
    assert set(found.groups.values()) == {""}
    assert "6 images are too few to tell any two of 4 methods apart" in " ".join(found.notes)
    assert "share a letter" not in to_markdown(found) + to_html(found) + to_latex(found)
    assert set(build(frame({name: np.arange(6) + 3.0 * i for i, name in enumerate("ab")})).groups.values()) == {
        "a",
        "b",
    }


def test_fewer_than_five_images_get_no_interval_and_it_is_said():
    rows = frame({"a": [20.0, 22, 27, 21, 25], "b": [30.0, 31, 33, 32, None]})
    assert build(rows).table["psnr_low"].isna().all()
    assert build(rows).notes[1] == "PSNR: fewer than 5 images cannot support an interval, so none is shown."
    own = build(rows, images="all")
    assert math.isfinite(own.raw("a", "psnr_low")) and math.isnan(own.raw("b", "psnr_low"))
    assert "so none of b is shown" in own.notes[1]
    assert "interval of the mean" in to_html(own) and "interval of the mean" not in to_html(build(rows))
    assert not any("interval" in note for note in build(frame({"a": [20.0] * 5, "b": [math.inf] * 5})).notes[1:])


def test_methods_are_ranked_on_common_images_and_it_is_said():
    rows = frame({"picky": [40, 40, None, None], "steady": [30, 30, 10, 10]})
    common, everything = build(rows), build(rows, images="all")
    assert common.raw("steady", "psnr") == 30 and common.raw("steady", "psnr_n") == 2 and common.common["psnr"] == 2
    assert "ranked on the 2 of 4 images that every method has (picky lacks 2); left out: 02, 03" in common.notes[0]
    assert everything.raw("steady", "psnr") == 20 and everything.raw("steady", "psnr_n") == 4
    assert everything.marks == {} and math.isnan(everything.raw("steady", "psnr_rank"))
    assert "do not compare" in everything.notes[0]


def test_methods_without_a_common_image_are_not_ranked():
    found = build(frame({"a": [20, None], "b": [None, 30]}))
    assert found.table["rank"].isna().all() and found.marks == {} and not any(found.groups.values())
    assert found.raw("a", "psnr") == 20 and "no image in common" in found.notes[0]


def test_a_method_that_always_fails_stays_on_the_board_and_harms_nobody():
    rows = pandas.concat([frame({"a": [20.0, 21.0], "b": [22.0, 23.0]}), frame({"broken": ["Out of memory."] * 2})])
    found = build(rows)
    assert found.methods == ("b", "a", "broken") and found.common["psnr"] == 2
    assert found.raw("broken", "failures") == 2 and found.raw("broken", "psnr_n") == 0
    assert math.isnan(found.raw("broken", "rank")) and found.shown["psnr"].tolist()[-1] == "–"
    assert "no value for broken" in found.notes[0]


def test_infinite_psnr_is_left_out_of_the_mean_and_ranked_best():
    rows = frame({"a": [math.inf, 20, 20, 20, 20, 20, 20], "b": [50, 30, 30, 30, 30, 30, 30]})
    found = build(rows)
    assert found.raw("a", "psnr") == 20 and found.raw("a", "psnr_infinite") == 1 and found.raw("a", "psnr_n") == 6
    assert found.raw("a", "images") == 7 and "(6 to 7 images)" in to_markdown(found)
    assert found.raw("a", "psnr_average_rank") == pytest.approx((1 + 6 * 2) / 7)
    assert found.win_tie_loss("psnr")["a", "b"] == (1, 0, 6)
    assert found.tests[0].difference == pytest.approx(10)  # where both are finite
    assert "infinite for a on 1 image" in found.notes[0] and "no best is marked" in found.notes[0]
    assert found.marks == {} and math.isnan(found.raw("a", "psnr_rank"))


def test_the_median_is_over_the_images_of_the_mean():
    found = build(frame({"a": [math.inf, math.inf, 20, 21, 25], "b": [30.0] * 5}))
    numbers = [found.raw("a", f"psnr{detail}") for detail in ("", "_median", "_n", "_infinite")]
    assert numbers == [22, 21, 3, 2]
    copy = build(frame({"copy": [math.inf] * 5, "b": [30.0] * 5}))
    numbers = [copy.raw("copy", f"psnr{detail}") for detail in ("", "_median", "_n", "_infinite")]
    assert numbers == [math.inf, math.inf, 5, 5]


def test_letters_follow_the_ranks_where_means_leave_infinite_scores_out():
    rows = frame({"perfect": [math.inf] * 9 + [20, 21, 22], "b": [30.5 + i / 10 for i in range(12)],
                  "c": [29.5 + i / 10 for i in range(12)]})  # fmt: skip
    found = build(rows)
    assert found.methods[0] == "perfect" and found.groups["perfect", "psnr"] == "a"
    assert found.marks == {}


def test_all_identical_is_infinite_and_best():
    found = build(frame({"copy": [math.inf] * 6, "b": [30.0] * 6}))
    assert found.shown["psnr"].tolist() == ["∞", "30.00"] and found.marks["copy", "psnr"] == "best"
    assert math.isnan(found.raw("copy", "psnr_low"))


def test_failures_are_counted_by_image(board):
    assert board.raw("dark-channel", "failures") == 2 and len(board.failures) == 2
    assert {f.image for f in board.failures} == {"0003", "0007"}


def test_a_missing_reference_is_no_method_s_failure():
    bare, damaged = {"reference_sha256": ""}, "The reference cannot be used: 03.png is empty (0 bytes)."
    rows = [row(f"{i:02d}", m, metric, 20.0 + i) for i in range(2) for m in "ab" for metric in ("psnr", "ssim", "niqe")]
    rows += [row("02", m, metric, "02.png has no reference.", **bare) for m in "ab" for metric in ("psnr", "ssim")]
    rows += [row("03", m, metric, damaged) for m in "ab" for metric in ("psnr", "ssim")]
    rows += [row("02", "a", "niqe", "02.png is too small.", **bare), row("02", "b", "niqe", 3.0, **bare)]
    rows += [row("04", "b", "", "The method 'b' has no result for 04.png; add it.", **bare)]
    found = build(to_frame(rows))
    assert {f.image for f in found.unreferenced} == {"02", "03"} and len(found.unreferenced) == 8
    assert [(f.image, f.method, f.metric) for f in found.failures] == [("02", "a", "niqe"), ("04", "b", "")]
    assert found.raw("a", "failures") == found.raw("b", "failures") == 1
    for text in (to_markdown(found), to_html(found), to_latex(found)):
        assert "2 images have no usable reference, so no PSNR and SSIM: 02 and 03." in text
        assert "Failed images: a 1, b 1." in text
    assert len(json.loads(to_report(found))["unreferenced"]) == 8
    with pytest.raises(MetricError, match="has no reference"):
        build(to_frame([row("02", "a", "psnr", "02.png has no reference.", **bare)]))


def test_what_one_run_lacked_or_foreign_rows_do_not_tell_is_a_failure():
    """Another method was scored with that reference; and rows without any hash say nothing about references."""
    rows = [row("00", "a", "psnr", 20.0), row("00", "b", "psnr", "00.png has no reference.", reference_sha256="")]
    assert len(build(to_frame(rows)).failures) == 1
    unknown = {"reference_sha256": "", "input_sha256": ""}
    rows = [row("00", "a", "psnr", 20.0, **unknown), row("01", "a", "psnr", "Out of memory.", **unknown)]
    assert len(build(to_frame(rows)).failures) == 1


def test_table_order_and_ranks(board):
    assert set(board.methods[:2]) == {"net-a", "net-b"} and board.methods[2:] == ("dark-channel", "input")
    assert board.table["rank"].tolist() == [1, 2, 3, 4]
    by_niqe = build(realistic(), sort_by="niqe")
    assert by_niqe.table["niqe"].is_monotonic_increasing
    tied = build(frame({"b": [20.0, 30.0], "a": [30.0, 20.0], "c": [1.0, 1.0]}))
    assert tied.methods == ("a", "b", "c") and tied.table["rank"].tolist() == [1, 1, 3]


def test_metrics_methods_and_order_can_be_chosen(board):
    assert board.metrics == ("psnr", "ssim", "niqe")
    found = build(realistic(), metrics=["niqe", "psnr"], methods=["input", "net-a"])
    assert found.metrics == ("niqe", "psnr") and set(found.methods) == {"input", "net-a"}
    assert found.failures == ()
    with pytest.raises(UnknownNameError, match="net-a"):
        build(realistic(), methods=["net-x"])
    with pytest.raises(UnknownNameError, match="psnr"):
        build(realistic(), metrics=["psrn"])
    with pytest.raises(UnknownNameError, match="average_rank"):
        build(realistic(), sort_by="average-rank")
    with pytest.raises(UsageError, match="'common' or 'all'"):
        build(realistic(), images="some")


def test_nothing_to_rank_says_why():
    with pytest.raises(MetricError, match="The file is cut off"):
        build(to_frame([row("1", "a", "psnr", "The file is cut off.")]))
    rows = [row("1", "net", "", "No file of the method 'net'."), row("1", "bicubic", "psnr", "The sizes differ.")]
    with pytest.raises(MetricError, match=r"bicubic: The sizes differ\. net: No file of the method 'net'\."):
        build(to_frame(rows))


def test_protocols_do_not_mix():
    mixed = pandas.concat([frame({"a": [20.0]}), frame({"b": [30.0]}, protocol="sr-y4", protocol_hash="feedfeedfeed")])
    with pytest.raises(ProtocolError):
        build(mixed)


def test_protocol_travels(board):
    assert board.protocol_hash == HASH and board.protocol == protocol.get("dehaze-rgb").sentence
    assert board.protocol_json["color"] == "rgb" and board.variants["niqe"] == "niqe-live@1a2b3c4d"
    unknown = build(frame({"a": [1.0]}, protocol="lab-x", protocol_hash="0123456789ab"))
    assert unknown.protocol == "lab-x (0123456789ab): its definition did not travel with the rows."
    stale = build(frame({"a": [1.0]}, protocol_hash="0123456789ab"))
    assert "did not travel" in stale.protocol  # a name we know with a hash we do not is not our protocol


def test_a_protocol_of_ones_own_selects_its_rows_and_says_what_it_does():
    mine = replace(protocol.get("dehaze-rgb"), name="lab-x", border=8)
    ours = frame({"a": [1.0]}, protocol="lab-x", protocol_hash=mine.hash)
    for rank in (build, build_suite):
        board = rank(pandas.concat([ours, frame({"a": [2.0]})]), protocol=mine)
        assert (board.protocol, board.protocol_hash) == (mine.sentence, mine.hash) and "8 pixels" in board.protocol
    two = pandas.concat([ours, ours.assign(dataset="other")])
    assert build_suite(two, protocol=mine).protocol == mine.sentence
    with pytest.raises(UsageError, match="no score rows of protocol"):
        build(frame({"a": [2.0]}), protocol=replace(mine, border=9))


def test_costs_stand_beside_the_scores_and_times_only_on_request():
    rows = frame({"a": [20.0], "b": [30.0]}, seconds=0.5, input_pixels=500_000, peak_mib=900.0, device="cpu")
    assert build(rows).costs == ()
    timed = build(rows, timings=True)
    assert timed.costs == ("seconds_per_mpix", "used_mib", "device") and timed.raw("a", "seconds_per_mpix") == 1.0
    cost = Efficiency(parameters=2_610_000, gmacs=52.2, seconds_per_mpix=0.25, peak_mib=40.0, device="H100")
    found = build(rows, costs={"a": cost})
    assert found.costs == ("parameters", "gmacs", "seconds_per_mpix", "peak_mib", "device")
    assert found.raw("a", "seconds_per_mpix") == 0.25 and found.raw("a", "device") == "H100"
    assert pandas.isna(found.raw("b", "gmacs"))


def test_no_column_mixes_two_ways_of_measuring():
    rows = frame({"a": [20.0], "b": [30.0]}, seconds=0.5, input_pixels=500_000, peak_mib=900.0, device="cpu")
    costs = {"a": Efficiency(1, 1.0, 0.25, 40.0, "H100")}
    found = build(rows, costs=costs)
    assert pandas.isna(found.raw("b", "seconds_per_mpix")) and pandas.isna(found.raw("b", "peak_mib"))
    assert pandas.isna(found.raw("b", "device"))
    with pytest.raises(UsageError, match="do not compare"):
        build(rows, costs=costs, timings=True)


def test_costs_of_other_methods_are_refused():
    with pytest.raises(UsageError, match="none of the methods a and b; it has c"):
        build(frame({"a": [20.0], "b": [30.0]}), costs={"c": Efficiency(1, 1.0, 0.25, 40.0, "H100")})


def test_decimals_decide_what_is_shown_and_what_is_best():
    rows = frame({"a": [20.004], "b": [20.001]})
    assert build(rows).marks == {}
    found = build(rows, decimals={"psnr": 3})
    assert found.shown["psnr"].tolist() == ["20.004", "20.001"] and found.marks["a", "psnr"] == "best"
    with pytest.raises(UnknownNameError, match="ssim"):
        build(rows, decimals={"ssim": 3})
    with pytest.raises(UsageError, match="0 to 12"):
        build(rows, decimals={"psnr": 99})


def test_versions_of_the_code_are_told():
    rows = pandas.concat([frame({"a": [20.0]}), frame({"b": [30.0]}, code_version="0.2.0")])
    found = build(rows)
    assert found.code_versions == ("0.1.0", "0.2.0") and "several versions of the code" in found.notes[0]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(27.305, 2, "27.30"), (0.99996, 4, "1.0000"), (-0.001, 2, "0.00"), (-1.26, 1, "-1.3"), (-math.inf, 2, "-∞")],
)
def test_show(value, decimals, text):
    assert show(value, decimals) == text


def test_worst_cases_follow_the_direction():
    rows = pandas.concat([frame({"a": [20, 10, math.inf, "Broken."]}), frame({"a": [3, 9, 4, 5]}, "niqe")])
    assert worst_cases(rows, "psnr", "a", 2)["image"].tolist() == ["01", "00"]
    assert worst_cases(rows, "niqe", "a", 2)["value"].tolist() == [9, 5]
    assert worst_cases(rows, "psnr", "a", 2)["input_sha256"].tolist() == ["in-01", "in-00"]
    assert len(worst_cases(rows, "psnr", "a", 99)) == 3
    assert len(worst_cases(rows, "psnr", "a", protocol="dehaze-rgb")) == 3
    with pytest.raises(UsageError, match="the protocols they have"):
        worst_cases(rows, "psnr", "a", protocol="sr-y4")
    with pytest.raises(UnknownNameError):
        worst_cases(rows, "psnr", "b")


def test_compare_image_by_image():
    rows = frame({"a": [20, 25, 30, 22, 21, 28, None], "b": [19, 25, 26, 21, 23, 25, 40]}, "psnr")
    found = compare(rows, "a", "b", "psnr")
    assert (found.wins, found.ties, found.losses) == (4, 1, 1)
    assert found.difference == pytest.approx(7 / 6) and found.interval[0] < found.difference < found.interval[1]
    assert found.images["image"].tolist()[0] == "04" and found.images["image"].tolist()[-1] == "02"
    assert found.p == pytest.approx(scipy_stats.wilcoxon([1, 0, 4, 1, -2, 3]).pvalue)
    assert "better than b on 4 of 6 images (1 equal, 1 worse)" in found.sentence


def test_compare_turns_the_advantage_for_lower_is_better():
    found = compare(frame({"a": [3.0] * 6, "b": [4.0] * 6}, "niqe"), "a", "b", "niqe")
    assert found.wins == 6 and (found.images["advantage"] > 0).all() and found.difference == -1


def test_compare_without_common_images_and_with_itself():
    rows = frame({"a": [20, None], "b": [None, 30]})
    assert compare(rows, "a", "b", "psnr").sentence == "a and b have no image in common."
    assert compare(rows, "a", "a", "psnr").ties == 1


def test_a_metric_that_fails_everywhere_is_an_empty_column_and_does_not_stop_the_ranking():
    small = frame({"a": ["NIQE needs 96 pixels."] * 6, "b": ["NIQE needs 96 pixels."] * 6}, "niqe")
    found = build(pandas.concat([frame({"a": [20.0] * 6, "b": [30.0] * 6}), small]), metrics=["psnr", "niqe"])
    assert found.methods == ("b", "a") and found.table["rank"].tolist() == [1, 2]
    assert found.shown["niqe"].tolist() == ["–", "–"] and len(found.failures) == 12
    assert "NIQE: no value for any method." in found.notes
    for text in (to_csv(found), to_html(found), to_latex(found), to_markdown(found), to_report(found)):
        assert text


def test_what_built_in_methods_cost_is_known_where_they_did_the_work(monkeypatch):
    known = {"net": Efficiency(1234, 5.5, 9.0, 9.0, "elsewhere", weights_sha256="aa")}
    monkeypatch.setattr("eval.efficiency.built_in", lambda: known)
    restored = build(frame({"net": [30.0], "input": [20.0]}, device="cpu", weights_sha256="aa"))
    assert (restored.raw("net", "parameters"), restored.raw("net", "gmacs")) == (1234, 5.5)
    assert restored.costs == ("parameters", "gmacs")  # times and memory are another machine's
    for traces in ({"device": "cpu", "weights_sha256": "bb"}, {"device": "", "weights_sha256": "aa"}, {}):
        assert build(frame({"net": [30.0]}, **traces)).costs == ()  # other weights; uploaded results of that name


def test_the_costs_that_come_along_are_those_of_the_methods_that_come_along():
    from eval.efficiency import built_in
    from restorers.registry import card, names

    for name in set(built_in()) & set(names()):
        assert built_in()[name].parameters == card(name).parameters
        assert built_in()[name].weights_sha256 == (card(name).weights_sha256 or "")
