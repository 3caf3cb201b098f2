import math

import pandas
import pytest

from errors import ProtocolError, UsageError
from eval.rows import to_frame
from eval.selection import select
from tests.eval.boards import HASH, frame, row


def test_protocols_are_never_mixed_and_one_can_be_chosen():
    mixed = pandas.concat(
        [frame({"a": [20, 21]}), frame({"b": [30, 31]}, protocol="lowlight-gtmean", protocol_hash="feedfeedfeed")]
    )
    with pytest.raises(ProtocolError, match=rf"dehaze-rgb \({HASH}\), lowlight-gtmean \(feedfeedfeed\)"):
        select(mixed)
    assert list(select(mixed, protocol="feedfeedfeed").values["psnr"]) == ["b"]
    assert list(select(mixed, protocol="feed").values["psnr"]) == ["b"]
    assert list(select(mixed, protocol="lowlight-gtmean").values["psnr"]) == ["b"]
    with pytest.raises(UsageError, match=rf"'sr-y4' to rank; the protocols they have are dehaze-rgb \({HASH}\) and"):
        select(mixed, protocol="sr-y4")


def test_one_hash_under_two_names_is_one_protocol():
    renamed = pandas.concat([frame({"a": [20.0]}), frame({"b": [30.0]}, protocol="ours")])
    assert list(select(renamed).values["psnr"]) == ["a", "b"]


def test_rows_without_a_hash_are_kept_apart_by_name():
    rows = pandas.concat([frame({"a": [1.0]}, protocol_hash=""), frame({"a": [1.0]}, protocol="x", protocol_hash="")])
    with pytest.raises(ProtocolError):
        select(rows)


def test_niqe_variants_are_never_mixed():
    live = frame({"a": [3.0, 4.0]}, "niqe", variant="niqe-live@1a2b3c4d")
    ours = frame({"b": [3.0, 4.0]}, "niqe", variant="niqe-embedded@99998888")
    with pytest.raises(ProtocolError, match="niqe-embedded@99998888, niqe-live@1a2b3c4d"):
        select(pandas.concat([live, ours]))


def test_order_of_rows_does_not_matter():
    rows = frame({"b": [1, 2, None, 4], "a": [5, 6, 7, 8]})
    mixed = select(rows.sample(frac=1, random_state=0)).values["psnr"]
    pandas.testing.assert_frame_equal(mixed, select(rows).values["psnr"])
    assert math.isnan(mixed.loc["02", "b"])


def test_rows_that_were_merged_twice_count_once_but_contradictions_are_refused():
    rows = frame({"a": [20.0, 21.0]})
    assert select(pandas.concat([rows, rows])).values["psnr"]["a"].tolist() == [20.0, 21.0]
    other = rows.assign(value=rows["value"] + 0.5, output_sha256="other")
    with pytest.raises(ProtocolError, match=r"a has different psnr scores for the image '00' \(20, 20.5\)"):
        select(pandas.concat([rows, other]))


def test_weights_tell_methods_of_one_name_apart():
    rows = pandas.concat(
        [frame({"net": [20.0]}, weights_sha256="a" * 64), frame({"net": [25.0]}, weights_sha256="b" * 64)]
    )
    found = select(rows)
    assert list(found.values["psnr"]) == ["net@aaaaaaaa", "net@bbbbbbbb"]
    assert "2 different weight files" in found.notes[0]


def test_references_tell_images_of_one_name_apart():
    first, second = frame({"a": [20.0], "b": [21.0]}), frame({"a": [30.0], "b": [31.0]}, reference_sha256="c" * 64)
    found = select(pandas.concat([first, second]))
    assert list(found.values["psnr"].index) == ["00#cccccccc", "00#ref-00"]
    assert "different references" in found.notes[0]


def test_methods_scored_on_different_references_share_no_image():
    rows = pandas.concat([frame({"a": [20.0]}), frame({"b": [30.0]}, reference_sha256="d" * 64)])
    assert select(rows).values["psnr"].dropna().empty


def test_sets_are_pooled_with_a_note_or_chosen():
    rows = pandas.concat([frame({"a": [1.0, 2.0]}, dataset="SOTS"), frame({"a": [3.0]}, dataset="NH-HAZE")])
    found = select(rows)
    assert list(found.values["psnr"].index) == ["NH-HAZE/00", "SOTS/00", "SOTS/01"]
    assert "NH-HAZE (1 image), SOTS (2 images)" in found.notes[0]
    assert len(select(rows, dataset="SOTS").values["psnr"]) == 2
    with pytest.raises(UsageError, match="set 'LOL' to rank; the sets they have are 'NH-HAZE' and 'SOTS'"):
        select(rows, dataset="LOL")


def test_failures_are_kept_until_a_later_success():
    rows = to_frame(
        [
            row("1", "a", "", "The file is cut off."),
            row("2", "a", "psnr", "The sizes differ."),
            row("3", "a", "psnr", "The sizes differ."),
            row("3", "a", "psnr", 20.0),
        ]
    )
    found = [(f.image, f.metric, f.error) for f in select(rows).failures]
    assert found == [("1", "", "The file is cut off."), ("2", "psnr", "The sizes differ.")]


def test_a_whole_pictures_failure_stands_for_the_metrics_it_has_no_value_for():
    rows = to_frame(
        [
            row("1", "a", "psnr", 20.0),
            row("1", "a", "niqe", 4.0),
            row("2", "a", "", "The file is cut off."),
            row("2", "a", "psnr", 21.0),
            row("3", "b", "", "The file is cut off."),
            row("3", "b", "psnr", 22.0),
        ]
    )
    found = [(f.image, f.method, f.metric, f.error) for f in select(rows).failures]
    assert found == [("2", "a", "niqe", "The file is cut off.")]


def test_speed_is_the_median_per_picture_not_per_row_and_per_input_pixel():
    """The restored picture is larger: what a scaling method is given counts, as in measured costs."""
    rows = to_frame(
        row(name, "a", metric, 1.0, seconds=seconds, height=4000, width=2000, input_pixels=500_000, peak_mib=peak)
        for name, seconds, peak in (("1", 1.0, 10.0), ("2", 2.0, 30.0), ("3", 9.0, 20.0))
        for metric in ("psnr", "ssim")
    )
    found = select(rows)
    assert found.seconds_per_mpix == {"a": 4.0} and found.used_mib == {"a": 30.0}
    assert select(rows.assign(input_pixels=None)).seconds_per_mpix == {}


def test_plain_tables_are_rows_and_nonsense_is_not():
    minimal = pandas.DataFrame({"image": ["1"], "method": ["a"], "metric": ["psnr"], "value": [float("nan")]})
    assert select(minimal).failures[0].error == "the value is not a number"
    with pytest.raises(UsageError, match="'metric' is missing"):
        select(minimal.drop(columns="metric"))
    with pytest.raises(UsageError, match="no score rows"):
        select(minimal.iloc[:0])
