import itertools
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from eval.efficiency import Efficiency
from eval.leaderboard import build
from eval.plots import WIDTH, distribution_svg, frontier, pareto_svg, style, ticks
from eval.plots.pareto import _overlap, _place_labels
from tests.eval.boards import frame, realistic

SVG = "{http://www.w3.org/2000/svg}"


def cost(seconds):
    return Efficiency(1000, None, seconds, None, "cpu")


def named(root, kind):
    return [element for element in root.iter() if element.get("class") == kind]


def test_distribution_has_a_row_a_method_and_a_dot_an_image():
    board = build(realistic(30))
    root = ElementTree.fromstring(distribution_svg(board, "psnr"))
    assert len(named(root, "mean")) == len(named(root, "area")) == 4
    assert len(named(root, "dot")) == 4 * 28 - 1  # two failures, one infinite
    words = [t.text for t in root.iter(f"{SVG}text")]
    assert "∞ ×1" in words and words.index("net-a") < words.index("input")


def test_many_images_draw_no_dots():
    board = build(frame({"a": [20 + i % 7 for i in range(300)]}))
    root = ElementTree.fromstring(distribution_svg(board, "psnr"))
    assert not named(root, "dot") and named(root, "area")


def test_few_images_draw_no_density():
    root = ElementTree.fromstring(distribution_svg(build(frame({"a": [20.0 + i for i in range(8)]})), "psnr"))
    assert len(named(root, "dot")) == 8 and not named(root, "area")


def test_lower_is_better_puts_the_lowest_first():
    board = build(frame({"a": [5.0, 6.0], "b": [3.0, 4.0]}, "niqe"))
    words = [t.text for t in ElementTree.fromstring(distribution_svg(board, "niqe")).iter(f"{SVG}text")]
    assert words.index("b") < words.index("a")


@pytest.mark.parametrize("scores", [[20.0], [20.0] * 9, [math.inf] * 3, [0.0, 1e-9], [1e6, -1e6]])
def test_degenerate_scores_still_draw_inside_the_picture(scores):
    root = ElementTree.fromstring(distribution_svg(build(frame({"a": scores})), "psnr"))
    for element in root.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(key, 0)) <= WIDTH


@pytest.mark.parametrize("metric", ["psnr", "niqe"])
def test_pareto_puts_the_better_method_higher_and_the_cheaper_one_left(metric):
    scores = {"good": [30.0] * 3, "fast": [20.0] * 3, "bad": [10.0] * 3}
    if metric == "niqe":
        scores = {name: [40 - v for v in values] for name, values in scores.items()}
    board = build(frame(scores, metric), costs={"good": cost(2.0), "fast": cost(1.0), "bad": cost(3.0)})
    root = ElementTree.fromstring(pareto_svg(board, metric, "seconds_per_mpix"))
    spots = {c[0].text.partition(":")[0]: (float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")}
    assert spots["good"][1] < spots["fast"][1] < spots["bad"][1]
    assert spots["fast"][0] < spots["good"][0] < spots["bad"][0]
    assert {c[0].text.partition(":")[0] for c in named(root, "on")} == {"good", "fast"}
    assert len(named(root, "front")) == 1


def test_pareto_is_logarithmic_over_wide_ranges_and_names_what_has_no_cost():
    board = build(frame({"a": [1.0], "b": [2.0], "c": [3.0]}), costs={"a": cost(0.01), "b": cost(10.0)})
    text = pareto_svg(board, "psnr", "seconds_per_mpix")
    assert "logarithmic" in text and "without a known cost: c" in text


def test_frontier_keeps_the_first_of_equals():
    assert frontier([(1, 1), (1, 1), (2, 0), (3, 0)]) == [0, 2]
    assert frontier([]) == []


def test_ticks_cover_the_range_with_round_numbers():
    for low, high in ((0, 1), (18.3, 31.2), (0.9931, 0.9987), (-3, 1200)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 12 and low <= found[0] and found[-1] <= high + 1e-9


def test_names_are_escaped():
    board = build(frame({"<script>x</script>": [1.0, 2.0], "b&c": [1.0, 2.0]}), costs={"b&c": cost(1.0)})
    for text in (distribution_svg(board, "psnr"), pareto_svg(board, "psnr", "seconds_per_mpix")):
        ElementTree.fromstring(text)
        assert "<script" not in text


def test_themes():
    assert "prefers-color-scheme" in style("auto") and "prefers-color-scheme" not in style("class")
    assert ".dark .plot" in style("class") and style("light") != style("dark")
    assert "<style>" not in distribution_svg(build(frame({"a": [1.0]})), "psnr", theme=None)


def test_names_of_points_that_coincide_stay_apart():
    names = [f"method_{i}" for i in range(7)]
    spots = [(250.0 + i, 150.0 + i) for i in range(7)]
    parts = _place_labels(names, spots, [], (56, 26, 544, 330))
    boxes = []
    for part in parts:
        found = re.search(r'<text x="([\d.]+)" y="([\d.]+)"', part)
        if found:
            x, y = (float(value) for value in found.groups())
            boxes.append((x, y - 11, x + 6.7 * len("method_0"), y + 3))
    assert len(boxes) == 7
    assert not any(_overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    assert any(part.startswith("<line") for part in parts), "the names farther away have no line"
