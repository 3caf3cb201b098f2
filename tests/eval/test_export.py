import base64
import csv
import html
import io
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from errors import UnknownNameError, UsageError
from eval.column import show
from eval.efficiency import Efficiency
from eval.export import to_csv, to_eval_results, to_html, to_latex, to_markdown, to_model_index, to_report, write_all
from eval.exports import latex, markdown
from eval.exports.printed import cost_columns
from eval.leaderboard import build
from eval.rowfiles import read_rows
from eval.rows import from_frame, sort_key
from tests.eval.boards import HASH, frame, realistic

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b_c & 100% $x$ #1 {y} \\input{/etc/passwd} ~^",
    "中文 Ünïcödé ∞ ``q'' --x ß α 🚀 ő",
    "line\nbreak\tand\x00null \u202eright to left",
    "%0a\\end{tabular}\\write18{id}",
)


@pytest.fixture(scope="module")
def board():
    costs = {
        "net-a": Efficiency(2_610_000, 52.2, 0.42, 310.5, "Some CPU, 2 threads"),
        "net-b": Efficiency(0, None, 0.011, None, "Some CPU, 2 threads"),
    }
    return build(realistic(), costs=costs)


@pytest.fixture(scope="module")
def hostile():
    rows = realistic(12)
    names = dict(zip(sorted(rows["method"].unique()), HOSTILE, strict=False))
    rows["method"] = rows["method"].map(names)
    extra = [frame({name: [10.0] * 12}).assign(image=rows["image"].unique()) for name in HOSTILE[len(names) :]]
    rows = pandas.concat([rows, *extra])
    rows["image"] += "</td><script>alert(2)</script>"
    rows["error"] = rows["error"].where(rows["error"].isna(), "</textarea><svg onload=alert(3)>")
    return build(rows)


def test_csv_is_raw_and_reads_back_exactly(board):
    table = pandas.read_csv(io.StringIO(to_csv(board)), float_precision="round_trip")
    assert table["method"].tolist() == list(board.methods)
    for column in ("psnr", "ssim", "niqe", "psnr_low", "psnr_high", "niqe_median", "average_rank"):
        assert table[column].tolist() == board.table[column].tolist(), column
    assert set(table["protocol_hash"]) == {HASH} and set(table["protocol"]) == {"dehaze-rgb"}
    assert table.columns[:6].tolist() == ["rank", "method", "psnr", "ssim", "niqe", "average_rank"]


def test_csv_writes_infinity_and_missing():
    rows = pandas.concat([frame({"copy": [math.inf] * 2, "b": [30.0] * 2}), frame({"b": [3.0] * 2}, "niqe")])
    records = {r["method"]: r for r in csv.DictReader(io.StringIO(to_csv(build(rows))))}
    assert records["copy"]["psnr"] == "inf" and records["copy"]["niqe"] == "" and records["b"]["psnr"] == "30"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_csv_names_do_not_run_in_a_spreadsheet(name):
    records = list(csv.DictReader(io.StringIO(to_csv(build(frame({name: [1.0]}))))))
    assert records[0]["method"] == "'" + name


def test_markdown_marks_best_and_second_and_carries_the_protocol(board):
    text = to_markdown(board)
    best = next(name for name in board.methods if board.marks.get((name, "niqe")) == "best")
    line = next(line for line in text.splitlines() if f"| {best} " in line)
    assert f"**{show_of(board, best, 'niqe')}**" in line
    second = next(name for name in board.methods if board.marks.get((name, "niqe")) == "second")
    assert f"<u>{show_of(board, second, 'niqe')}</u>" in text
    assert f"Protocol dehaze-rgb ({HASH})" in text and "PSNR ↑" in text and "NIQE ↓" in text
    assert "The file is cut off." in text and "[" not in to_markdown(board, intervals=False).splitlines()[4]


def show_of(board, method, metric):
    return board.shown.set_index("method").loc[method, metric]


def test_markdown_table_keeps_its_shape_whatever_the_names(hostile):
    lines = [line for line in to_markdown(hostile).splitlines() if line.startswith("|")]
    table = lines[: 2 + len(hostile.methods)]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert columns == {1 + 2 + 3 + 2}  # bars around rank and method, three metrics, average rank and failures
    assert "<script" not in to_markdown(hostile) and "<img" not in to_markdown(hostile)


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_names_cannot_do_anything(name):
    text = latex.escape(name)
    assert text.isascii() and "\n" not in text
    commands = set(re.findall(r"\\([a-zA-Z]+)", text.replace(r"\textbackslash{}", "")))
    marks = {"textless", "textgreater", "textbar", "textasciitilde", "textasciicircum"}
    assert commands <= marks | {"char", "infty", "ss", "alpha", "H"}
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}") and not set("%&#_~^") & set(bare)


def test_latex_parses_as_a_booktabs_table(board):
    text = to_latex(board)
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    heads = text.split(r"\toprule")[1].split(r"\midrule")[0]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in [heads, *body]} == {3 + 1 + len(cost_columns(board))}
    assert len(body) == 2 * len(board.methods)
    caption = text.split(r"\caption{")[1].split(r"\label")[0]
    assert latex.escape(board.protocol) in caption
    assert (
        r"PSNR $\uparrow$" in text and r"NIQE $\downarrow$" in text and r"\textbf{" in text and r"\underline{" in text
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX engine here")
@pytest.mark.parametrize("which", ["board", "hostile"])
def test_latex_compiles(which, request, tmp_path):
    (tmp_path / "table.tex").write_text(to_latex(request.getfixturevalue(which)), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"
    )
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("this TeX has no booktabs")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 5000


class Page(HTMLParser):
    """Tags, texts and addresses of a page, and whether tags close in order."""

    VOID = frozenset({"meta", "line", "circle", "polygon", "polyline", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.addresses, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [value for key, value in attrs if key in ("src", "href", "action", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_is_well_formed_and_loads_nothing(board):
    text = to_html(board)
    page = Page(text)
    assert page.open == []
    assert [a for a in page.addresses if not a.startswith("data:")] == []
    assert not re.search(r"@import|url\(|//cdn|https?://(?!www\.w3\.org/2000/svg)", text)


def test_html_policy_allows_only_its_own_script(board):
    import hashlib

    text = to_html(board)
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(a["content"] for tag, a in Page(text).tags if tag == "meta" and "http-equiv" in a)
    assert f"script-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none'")


def test_html_shows_what_must_be_seen(board):
    text = to_html(board)
    words = html.unescape(" ".join(Page(text).texts))
    for expected in (
        HASH,
        "code 0.1.0",
        board.protocol.partition("): ")[2],
        "The file is cut off.",
        "0003",
        "infinite for net-a",
        "2.61 M",
    ):
        assert expected in words, expected
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg"') == 3 + 2  # one a metric, parameters and seconds
    assert '<span class="group">a</span>' in text and 'class="interval"' in text


def test_html_sorts_by_raw_numbers(board):
    cells = re.findall(r'<td data-value="([^"]*)"><span class="value', to_html(board))
    assert {float(c) for c in cells} == {float(v) for m in board.metrics for v in board.table[m]}


def test_html_survives_hostile_names(hostile):
    text = to_html(hostile)
    page = Page(text)
    assert page.open == []
    assert [tag for tag, _ in page.tags if tag in ("script", "img", "textarea")] == ["script"]
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]


def test_html_download_is_the_csv(board):
    address = next(a for a in Page(to_html(board)).addresses if a.startswith("data:text/csv"))
    assert base64.b64decode(address.partition("base64,")[2]).decode() == to_csv(board)


def test_report_is_strict_json_with_everything(board):
    report = json.loads(to_report(board), parse_constant=lambda name: pytest.fail(name))
    assert report["protocol"]["hash"] == HASH and report["protocol"]["fields"]["ssim"]["size"] == 11
    assert [m["method"] for m in report["methods"]] == list(board.methods)
    assert report["methods"][0]["psnr"] == board.table["psnr"].iloc[0]
    assert report["methods"][0]["shown"]["psnr"] == board.shown["psnr"].iloc[0]
    assert len(report["pairs"]) == 3 * 6 and len(report["failures"]) == 2
    assert {"rows", "ranking", "numpy", "scipy", "python"} <= set(report["versions"])
    infinite = json.loads(to_report(build(frame({"copy": [math.inf] * 2, "b": [1.0] * 2}))))
    assert infinite["methods"][0]["psnr"] == "inf" and infinite["methods"][0]["psnr_low"] is None


def test_model_index_reads_back_through_the_hub_library(board):
    text = to_model_index(board, "net-a", dataset="org/sots", split="test", source_url="https://example.org/board")
    card = ModelCard(f"---\n{text}---\n# net-a\n")
    results = {r.metric_type: r for r in card.data.eval_results}
    assert set(results) == {"psnr", "ssim", "niqe"}
    assert results["psnr"].metric_value == board.raw("net-a", "psnr")
    assert results["psnr"].metric_args["protocol_hash"] == HASH and results["psnr"].dataset_split == "test"
    assert results["niqe"].metric_args["variant"] == "niqe-live@1a2b3c4d"
    name, again = model_index_to_eval_results(yaml.safe_load(text)["model-index"])
    assert name == "net-a" and len(again) == 3
    with pytest.raises(UnknownNameError):
        to_model_index(board, "net-z", dataset="org/sots")


def test_eval_results_have_the_hub_shape(board):
    entries = yaml.safe_load(
        to_eval_results(board, "net-a", dataset="org/sots", source_url="https://example.org/board")
    )
    assert [e["dataset"] for e in entries] == [{"id": "org/sots", "task_id": m} for m in ("psnr", "ssim", "niqe")]
    assert (
        entries[0]["value"] == board.raw("net-a", "psnr") and entries[0]["source"]["url"] == "https://example.org/board"
    )
    assert (
        HASH in entries[0]["notes"]
        and "mean of 37 images (infinite on 1 more)" in entries[0]["notes"]
        and "date" not in entries[0]
    )


def test_hub_forms_leave_out_what_is_not_a_number():
    board = build(frame({"copy": [math.inf] * 2, "b": [1.0] * 2, "some": [math.inf, 3.0]}))
    for form in (to_eval_results, to_model_index):
        with pytest.raises(UsageError, match="copy has no finite mean"):
            form(board, "copy", dataset="d")
    arguments = yaml.safe_load(to_model_index(board, "some", dataset="d"))["model-index"][0]["results"][0]["metrics"][0]
    assert arguments["value"] == 3.0
    assert (arguments["args"]["images"], arguments["args"]["infinite"]) == (1, 1)


@pytest.mark.parametrize("name", ["[12] AOD", "*net", "a[b]*"])
def test_names_cannot_become_arguments_of_a_line_end(name):
    text = to_latex(build(frame({name: [1.0, 2.0], "b": [3.0, 4.0]})))
    for line in text.splitlines():
        assert not line.startswith(("[", "*"))
    assert name.replace("[", "{[}").replace("*", "{*}") in text


def test_write_all_is_whole_and_the_same_bytes_from_shuffled_rows(tmp_path):
    rows = realistic(12)
    for folder, part in (("one", rows), ("two", rows.sample(frac=1, random_state=1))):
        paths = write_all(build(part), part, tmp_path / folder)
        assert [p.name for p in paths] == [
            "leaderboard.csv",
            "leaderboard.md",
            "leaderboard.tex",
            "leaderboard.html",
            "report.json",
            "rows.parquet",
        ]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
    assert len(list(read_rows(tmp_path / "one" / "rows.parquet"))) == len(rows)


NAME = "SOTS <outdoor> 50%_室"


@pytest.fixture(scope="module")
def named():
    return build(realistic(12).assign(dataset=NAME))


def test_every_form_says_which_set_and_which_protocol(named):
    title = f"Leaderboard of {NAME} (dehaze-rgb)"
    records = list(csv.DictReader(io.StringIO(to_csv(named))))
    assert {record["dataset"] for record in records} == {NAME}
    assert to_markdown(named).splitlines()[0] == f"**{markdown.escape(title)}**"
    assert latex.escape(f"Set {NAME}. Protocol dehaze-rgb ({HASH})") in to_latex(named).split(r"\caption{")[1]
    page = to_html(named)
    assert f"<title>{html.escape(title)}</title>" in page and f"set <b>{html.escape(NAME)}</b>" in page
    assert NAME in html.unescape(" ".join(Page(to_html(named, heading="Ours")).texts))
    assert json.loads(to_report(named))["datasets"] == [NAME]
    index = yaml.safe_load(to_model_index(named, "net-a", dataset="org/sots"))["model-index"][0]["results"]
    assert {result["dataset"]["name"] for result in index} == {NAME}
    entries = yaml.safe_load(to_eval_results(named, "net-a", dataset="org/sots"))
    assert all(entry["notes"].startswith(f"set {NAME}, protocol dehaze-rgb") for entry in entries)


def test_rows_in_a_file_keep_the_name_of_their_set(named, tmp_path):
    write_all(named, realistic(12).assign(dataset=NAME), tmp_path, formats=["parquet"])
    assert {row.dataset for row in read_rows(tmp_path / "rows.parquet")} == {NAME}


@pytest.mark.parametrize(
    ("dataset", "label"),
    [
        ("", "tab:leaderboard-dehaze-rgb"),
        ("SOTS outdoor", "tab:SOTS-outdoor-dehaze-rgb"),
        ("hazy (2)", "tab:hazy-2-dehaze-rgb"),
        ("Ünï_1}", "tab:Uni-1-dehaze-rgb"),
        ("室内", "tab:u5ba4u5185-dehaze-rgb"),
        ("***", "tab:leaderboard-dehaze-rgb"),
    ],
)
def test_tables_of_two_sets_have_two_labels(dataset, label):
    assert rf"\label{{{label}}}" in to_latex(build(frame({"a": [1.0, 2.0]}, dataset=dataset)))


def test_pooled_sets_are_named_and_many_are_counted():
    rows = pandas.concat([frame({"a": [1.0]}, dataset=name) for name in ("", "B", "C", "D", "E")])
    assert "Sets unnamed, B, C and 2 more. Protocol" in to_latex(build(rows))
    assert to_markdown(build(rows[rows["dataset"] > "C"])).startswith("**Leaderboard of D, E (dehaze-rgb)**")


def test_failures_are_images_everywhere():
    """Two metrics that fail on one image are one failed image, in the column and in the sentences."""
    scores = {"a": [20.0, "It is flat."], "b": [21.0, 22.0]}
    board = build(pandas.concat([frame(scores), frame(scores, "ssim")]))
    assert len(board.failures) == 2 and board.raw("a", "failures") == 1
    for text in (to_markdown(board), to_html(board), to_latex(board)):
        assert "Failed images: a 1." in text
    assert "| Failed images |" in to_markdown(board) and ">Failed images</button>" in to_html(board)
    assert "(1 image)" in to_html(board)


def test_missing_scores_are_grouped_by_reason():
    """As on the command line: what differs in names, methods and metrics only is one line."""
    scores = {name: [20.0, "01.png is 9x9.", "02.png is 8x8."] for name in ("a", "b")}
    board = build(pandas.concat([frame(scores), frame(scores, "ssim"), frame({"c": [1.0, 2.0, "It is flat."]})]))
    text, page = to_markdown(board), to_html(board)
    listing = [re.split(r" *\| *", line)[1:-1] for line in text.rpartition("\n\n")[2].splitlines()]
    assert listing[0] == ["Images", "Methods", "Scores", "Why there are none"] and len(listing) == 4
    assert listing[2] == ["01 and 02", "a and b", "PSNR and SSIM", "for example: 01.png is 9x9."]
    assert listing[3] == ["02", "c", "PSNR", "It is flat."]
    body = page.partition("What could not be scored")[2].partition("</section>")[0]
    assert body.count("<tr>") == 3 and "<td>PSNR and SSIM</td><td>for example: 01.png is 9x9.</td>" in body
    assert len(json.loads(to_report(board))["failures"]) == 9  # every one of them


def test_one_image_is_not_one_images():
    psnr, niqe = frame({"a": [20.0]}, dataset="S"), frame({"a": [3.0, 4.0, 5.0]}, "niqe", dataset="S")
    assert "means over images (1 image)." in to_markdown(build(psnr))
    assert "(PSNR: 1 image, NIQE: 3 images)" in to_latex(build(pandas.concat([psnr, niqe])))
    assert "mean of 1 image'" in repr(yaml.safe_load(to_eval_results(build(psnr), "a", dataset="org/s")))


def test_the_rows_of_a_file_are_those_that_were_ranked(tmp_path):
    """Not those of another protocol, set, method or metric; errors of whole pictures stay."""
    ranked = pandas.concat([frame({"a": [20.0, 21.0], "b": [30.0, 31.0]}, dataset="S1"),
                            frame({"a": ["Broken."]}, "", dataset="S1").assign(image="02")])  # fmt: skip
    others = [frame({"a": [1.0]}, dataset="S2"), frame({"a": [1.0]}, protocol="x", protocol_hash="feed", dataset="S1"),
              frame({"c": [1.0]}, dataset="S1"), frame({"a": [1.0]}, "niqe", dataset="S1")]  # fmt: skip
    rows = pandas.concat([ranked, *others])
    board = build(rows, protocol="dehaze-rgb", dataset="S1", methods=["a", "b"], metrics=["psnr"])
    write_all(board, rows, tmp_path, formats=["parquet"])
    assert list(read_rows(tmp_path / "rows.parquet")) == sorted(from_frame(ranked), key=sort_key)


def test_rows_of_methods_that_were_renamed_are_ranked_rows(tmp_path):
    rows = pandas.concat([frame({"net": [20.0]}, weights_sha256=c * 64) for c in "ab"] + [frame({"b": [1.0]})])
    write_all(build(rows, methods=["net@aaaaaaaa"]), rows, tmp_path, formats=["parquet"])
    assert [(r.method, r.weights_sha256[:1]) for r in read_rows(tmp_path / "rows.parquet")] == [("net", "a")]


@pytest.mark.parametrize("form", [to_markdown, to_latex, to_html])
def test_intervals_and_average_rank_can_be_left_out(form, board):
    full, bare = form(board), form(board, intervals=False, average_rank=False)
    low = show(board.raw("net-b", "psnr_low"), 2)
    for words in (low, "Average rank", "BCa bootstrap"):
        assert words in full and words not in bare
    assert "Avg" not in bare and "cannot be told apart" in bare


def test_latex_takes_caption_and_label_and_keeps_the_protocol_in_the_note(board):
    text = to_latex(board, caption="PSNR & SSIM, ours", label="tab:ours", intervals=False, average_rank=False)
    assert r"\caption{PSNR \& SSIM, ours}" in text and r"\label{tab:ours}" in text
    note = text.split(r"\parbox")[1]
    assert latex.escape(board.protocol) in note and "Best in bold" in note
    heads = text.split(r"\toprule")[1].split(r"\midrule")[0]
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert {len(re.findall(r"(?<!\\)&", line)) for line in [heads, *body]} == {3 + len(cost_columns(board))}
    assert len(body) == len(board.methods)
    with pytest.raises(UsageError, match="letters, digits"):
        to_latex(board, label="tab:x}")


def test_write_all_refuses_unknown_formats_before_it_writes(tmp_path):
    rows = frame({"a": [1.0]})
    with pytest.raises(UnknownNameError, match="html"):
        write_all(build(rows), rows, tmp_path / "out", formats=["csv", "htm"])
    assert not (tmp_path / "out").exists()


def test_markdown_escape_leaves_plain_names_alone():
    assert markdown.escape("dark-channel 2.0 (ours)") == "dark-channel 2.0 (ours)"
    assert markdown.escape("a_b*c|d<e>") == r"a\_b\*c\|d&lt;e&gt;"
