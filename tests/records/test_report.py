from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import factory
import hostile
import pytest

from labrelay.model.qc import QCMetric, Verdict
from labrelay.model.states import RunState
from labrelay.records.report.charts import figures_of, timeline_figure
from labrelay.records.report.page import write_index, write_report
from labrelay.records.report.sentences import verdict_reasons
from labrelay.records.report_data import DepthBin, Gene, ReportData, Variant, bin_depths, load_report_data

SVG = "{http://www.w3.org/2000/svg}"


def written(root: Path, sample: str = "SRR7517490", **changes: Any) -> tuple[hostile.Page, str]:
    result = factory.make_result(root, sample=sample, **changes)
    html = write_report(result, factory.result_folder(root, sample))[0].path.read_text(encoding="utf-8")
    return hostile.Page(html), html


def written_index(root: Path, sample: str, **changes: Any) -> tuple[hostile.Page, str]:
    result = factory.make_result(root, sample=sample, **changes)
    path = root / "results" / "index.html"
    made = write_index(result.experiment, [(result, factory.result_folder(root, sample) / "report.html")], path)
    html = made.path.read_text(encoding="utf-8")
    return hostile.Page(html), html


def test_the_report_shows_sample_verdict_numbers_and_limits(tmp_path: Path) -> None:
    page, _ = written(tmp_path)
    text = page.texts["main"][0]
    assert page.texts["h1"] == ["SRR7517490"]
    for words in ("Warning", "Breadth at 10× is 96.4 % (fail below 90 %, warn below 98 %).", "98.73 %", "371.2×"):
        assert words in text


@pytest.mark.parametrize(("name", "noun"), [("read_pairs", "pair of reads"), ("cells", "cell")])
def test_a_report_of_nothing_says_so_before_all_else(tmp_path: Path, name: str, noun: str) -> None:
    result = factory.make_result(tmp_path)
    nothing = QCMetric(name=name, value=0, unit="count", scope="sample")
    told = verdict_reasons(result.model_copy(update={"metrics": (nothing, *result.metrics)}))
    assert told[0] == f"There is not one {noun} in it, so that the other numbers say nothing."
    some = nothing.model_copy(update={"value": 1})
    assert verdict_reasons(result.model_copy(update={"metrics": (some, *result.metrics)})) == told[1:]


def test_the_report_says_in_sentences_where_the_result_came_from(tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", written(tmp_path)[0].texts["main"][0])
    for words in (
        "The reads are 2 files (150 B) of sample SRR7517490.",
        "They come from instrument run 190101_M01234_0056_000000000-C4J7H of MiSeq M01234 on flow cell",
        "The reads were compared with reference measles-D8 (ref_0123456789abcdef, 1 sequence, 15,894 bp).",
        "workflow viral_variants, version 1.0.0 (bundle cdcdcdcdcdcd), run by miniwdl 1.16.0, tasks in bubblewrap.",
        "The workflow declares container images for 4 of 4 tasks, run in bubblewrap instead.",
        "m.curie started it on 23 November 2026, 14:05 UTC; it took 31 s.",
    ):
        assert words in text


def test_the_report_lists_every_file_with_its_size_and_hash(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    page, html = written(tmp_path)
    for file in (*result.outputs, *result.inputs):
        assert file.ref.sha256 in html
        assert file.ref.name in page.texts["main"][0]
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links == {f"./{file.path.name}" for file in result.outputs}


def test_the_report_has_five_figures_inline_and_as_files(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    documents = write_report(result, factory.result_folder(tmp_path, "SRR7517490"))
    names = ["report.html", "coverage.svg", "variants.svg", "allele_fractions.svg", "changes.svg", "timeline.svg"]
    assert [d.path.name for d in documents] == names
    assert hostile.Page(documents[0].path.read_text(encoding="utf-8")).names.count("svg") == 5
    for made in documents[1:]:
        assert ElementTree.parse(made.path).getroot().tag == f"{SVG}svg"


def test_a_page_loads_and_runs_nothing_and_its_policy_allows_only_its_own_style(tmp_path: Path) -> None:
    for page, html in (written(tmp_path), written_index(tmp_path, "S1")):
        sheet = page.texts["style"][0]
        policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
        digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
        assert not {"script", "link", "img", "iframe", "object", "embed", "form", "use", "image"} & set(page.names)
        names = {name for _, attributes in page.tags for name in attributes}
        assert not {name for name in names if name.startswith("on")} | ({"style", "src", "action"} & names)
        assert all(a["href"].startswith("./") for _, a in page.tags if "href" in a)
        assert "://" not in html
        assert "url(" not in sheet
        assert "@import" not in sheet


@pytest.mark.parametrize("name", hostile.NAMES)
def test_hostile_names_are_shown_as_they_are_and_add_no_tag(tmp_path: Path, name: str) -> None:
    for write in (written, written_index):
        changes = {"experiment": name, "started_by": name, "workflow_title": name}
        plain, _ = write(tmp_path, "plain", **dict.fromkeys(changes, "plain"))
        page, _ = write(tmp_path, name, **changes)
        assert page.names == plain.names
        assert [sorted(a) for _, a in page.tags] == [sorted(a) for _, a in plain.tags]
        assert name in page.texts["bdi"]
    page, _ = written(tmp_path, name)
    assert page.texts["h1"] == [name]


@pytest.mark.parametrize("name", hostile.NAMES)
def test_hostile_names_in_tables_and_tasks_stay_text_in_every_figure(tmp_path: Path, name: str) -> None:
    result = factory.make_result(tmp_path)
    task = result.report.tasks[0].model_copy(update={"name": name})
    result = result.model_copy(update={"report": result.report.model_copy(update={"tasks": (task,)})})
    data = ReportData(
        coverage=(DepthBin(name, 1, 100, 20, 2),),
        variants=(Variant(name, 5, name, "T", 1, 2, 0.5, name, name),),
        genes=(Gene(name, 1, 90, name),),
    )
    for figure in figures_of(result, data):
        root = ElementTree.fromstring(figure.standalone)
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
            "svg", "title", "desc", "style", "rect", "line", "text", "circle", "polygon", "polyline",
        }  # fmt: skip
        assert not [key for e in root.iter() for key in e.attrib if key.startswith("on") or key in ("href", "style")]


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    for root in ("a", "b"):
        result = factory.make_result(tmp_path / root)
        write_report(result, factory.result_folder(tmp_path / root, "SRR7517490"))
        write_index(result.experiment, [(result, tmp_path / root / "r.html")], tmp_path / root / "index.html")
    one, two = (sorted(p for p in (tmp_path / r).rglob("*") if p.suffix in (".html", ".svg")) for r in "ab")
    assert len(one) == 7
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_a_result_without_tables_metrics_or_tasks_still_has_a_report(tmp_path: Path) -> None:
    page, _ = written(
        tmp_path, outputs=(), metrics=(), thresholds=(), verdicts={}, verdict=Verdict.NONE, tasks=False,
        reference=None, instrument_runs=(), parameters={},
    )  # fmt: skip
    assert "svg" not in page.names
    assert "nothing was judged" in page.texts["main"][0]
    assert "No reference was used." in page.texts["main"][0]


def test_the_index_links_each_report_relatively_and_counts_verdicts(tmp_path: Path) -> None:
    good, bad = (factory.make_result(tmp_path, sample=name) for name in ("a b", "c"))
    bad = bad.model_copy(update={"verdict": Verdict.FAIL})
    entries = [(r, tmp_path / "results" / f"{r.samples[0].name}" / "report.html") for r in (good, bad)]
    made = write_index(good.experiment, entries, tmp_path / "results" / "index.html")
    page = hostile.Page(made.path.read_text(encoding="utf-8"))
    assert [a["href"] for tag, a in page.tags if tag == "a"] == ["./a%20b/report.html", "./c/report.html"]
    assert "1 × Warning" in page.texts["main"][0]
    assert "1 × Fail" in page.texts["main"][0]


def test_an_experiment_without_results_has_a_page_that_says_so(tmp_path: Path) -> None:
    made = write_index(factory.make_result(tmp_path).experiment, [], tmp_path / "index.html")
    assert "No result yet." in made.path.read_text(encoding="utf-8")


def test_the_depth_figure_names_what_lies_below_the_limit(tmp_path: Path) -> None:
    figures = {f.name: f for f in figures_of(*data_of(tmp_path))}
    # The dropout is drawn in whole bins of fourteen positions, so its ends widen to theirs.
    assert figures["coverage"].summary == "3 regions have fewer than 10 reads, 326 bp in all: shaded."
    assert figures["variants"].summary == "40 single-base changes."
    assert figures["allele_fractions"].summary == "Less than 90 % of the reads show 4 of 40 variants."
    assert figures["changes"].summary == "The most frequent change is C>T (40 of 40)."
    assert figures["timeline"].summary == "4 tasks in 29 s."


def data_of(root: Path) -> tuple[Any, ReportData]:
    result = factory.make_result(root)
    return result, load_report_data(result)


def test_bins_keep_the_mean_and_the_lowest_and_never_span_contigs() -> None:
    depths = [DepthBin("a", p, p, p, p) for p in (1, 2, 3)] + [DepthBin("b", 1, 10, 7, 5)]
    assert bin_depths(depths, most=2) == (
        DepthBin("a", 1, 2, 1.5, 1), DepthBin("a", 3, 3, 3, 3), DepthBin("b", 1, 10, 7, 5),
    )  # fmt: skip


def test_the_workflows_own_windows_are_read_with_their_minimum(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    path = tmp_path / "depth_windows.tsv"
    ref = factory.write_file(path, "contig\tstart\tend\tmean_depth\tmin_depth\nc1\t1\t16\t50.5\t3\nc1\tx\t\n")
    windows = result.outputs[1].model_copy(update={"name": "depth", "path": path, "ref": ref})
    data = load_report_data(result.model_copy(update={"outputs": (windows,)}))
    assert data.coverage == (DepthBin("c1", 1, 16, 50.5, 3),)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no header at all",
        "contig\tposition\n",
        "contig\tposition\tref\talt\nc\tnan\tA\tT\nc\t1e99\tA\tT\nc\t-4\tA\tT\n",
        "\x00\x01\t\n\x00",
        'contig\tposition\tref\talt\n"open\t',
    ],
)
def test_a_damaged_table_leaves_its_figure_out_and_the_report_stands(tmp_path: Path, content: str) -> None:
    result = factory.make_result(tmp_path)
    for name in ("coverage", "variants_table", "annotation"):
        output = result.output(name)
        assert output is not None
        output.path.write_text(content, encoding="utf-8")
    documents = write_report(result, factory.result_folder(tmp_path, "SRR7517490"))
    assert [d.path.name for d in documents] == ["report.html", "timeline.svg"]


def test_a_vanished_table_leaves_its_figure_out(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    result.outputs[1].path.unlink()
    assert load_report_data(result).coverage == ()


def test_failed_and_cached_tasks_are_told_apart_in_the_timeline(tmp_path: Path) -> None:
    first, second, third, _ = factory.make_result(tmp_path).report.tasks
    figure = timeline_figure(
        (
            first.model_copy(update={"cached": True, "cpu_seconds": None, "peak_memory_bytes": None}),
            second.model_copy(update={"state": RunState.EXECUTOR_ERROR}),
            third.model_copy(update={"started": None}),
        )
    )
    assert figure is not None
    root = ElementTree.fromstring(figure.standalone)
    kinds = [e.get("class") for e in root.iter(f"{SVG}rect")]
    assert kinds == [None, "cached", "failed"]
    assert "taken from cache" in [e.text for e in root.iter(f"{SVG}text")]


def test_other_changes_than_of_single_bases_are_counted_and_drawn_apart(tmp_path: Path) -> None:
    changes = [("A", "T"), ("A", "AT"), ("AT", "A"), ("AC", "GT"), ("A", "<DEL>")]
    variants = tuple(Variant("c", 10 * n, ref, alt) for n, (ref, alt) in enumerate(changes, start=1))
    result = factory.make_result(tmp_path, tasks=False)
    figures = {f.name: f for f in figures_of(result, ReportData(variants=variants))}
    assert set(figures) == {"variants", "changes"}
    assert figures["variants"].summary == "1 single-base change and 4 others, drawn in the second colour."
    root = ElementTree.fromstring(figures["variants"].standalone)
    assert [e.get("class") for e in root.iter(f"{SVG}circle")] == ["dot", "dot2", "dot2", "dot2", "dot2"]
    tips = {e.text for e in ElementTree.fromstring(figures["changes"].standalone).iter(f"{SVG}title")}
    assert {"A>T: 1", "ins: 1", "del: 1", "other: 2"} <= tips


def test_the_genes_stand_under_the_depth_and_overlapping_ones_in_rows(tmp_path: Path) -> None:
    data = ReportData(
        coverage=(DepthBin("c", 1, 1000, 50, 50),), genes=(Gene("c", 1, 600, "left"), Gene("c", 500, 900, "over"))
    )
    figure = figures_of(factory.make_result(tmp_path, tasks=False), data)[0]
    root = ElementTree.fromstring(figure.standalone)
    rows = [float(e.get("y") or 0) for e in root.iter(f"{SVG}rect") if e.get("class") == "gene"]
    assert len(rows) == 2
    assert rows[0] < rows[1]
    assert {"left", "over", "1,000"} <= {e.text for e in root.iter(f"{SVG}text")}


def test_a_depth_that_never_falls_below_the_limit_says_so(tmp_path: Path) -> None:
    data = ReportData(coverage=(DepthBin("c", 1, 9, 0.5, 0.5),), min_depth=0.0)
    figure = figures_of(factory.make_result(tmp_path, tasks=False), data)[0]
    assert figure.summary == "No position has fewer than 0 reads."
