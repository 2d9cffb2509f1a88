"""The picture of a lineage: lanes from left to right, long ones grouped and counted, what needs a person on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import hostile
import pytest
import seed
from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.experiment import Experiment
from labrelay.records.database import Database
from labrelay.records.lineage import Edge, Graph, Node, around, lineage
from labrelay.records.lineage_lanes import MOST, lanes_of
from labrelay.records.report.lineage_page import lineage_html, lineage_svg, rows_of
from labrelay.records.report.lineage_picture import name_of, summary, told_of, tone
from labrelay.records.schema import WorkflowRunRow

SVG = "{http://www.w3.org/2000/svg}"
LATE = "viral_variants 1.1.0 is asked for, it was made with viral_variants 1.0.0"


@pytest.fixture(scope="module")
def store(new_url: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Database:
    db = seed.open_database(new_url(tmp_path_factory.mktemp("store")))
    seed.seed(db, 40, outputs=4)
    with db.write() as session:
        rows = session.scalars(select(WorkflowRunRow).order_by(WorkflowRunRow.result_path)).all()
        rows[3].verdict = rows[5].verdict = "fail"
        rows[9].stale = LATE
    return db


@pytest.fixture
def session(store: Database) -> Iterator[Session]:
    with store.read() as opened:
        yield opened


def run_of(session: Session, sample: str) -> str:
    return session.scalars(select(WorkflowRunRow.id).where(WorkflowRunRow.result_path.contains(sample))).one()


def texts(svg: bytes, kind: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [each.text or "" for each in root.iter(f"{SVG}text") if each.get("class") == kind]


def test_the_lanes_go_from_the_experiment_to_the_outputs(session: Session) -> None:
    lanes = lanes_of(around(session, run_of(session, "SMP00001")))
    assert lanes.titles == (
        "Experiment",
        "Samples and instrument runs",
        "Datasets",
        "Files, read sets, references",
        "Workflow runs",
        "Outputs and crates",
    )
    lane_of = {box.key: box.lane for box in lanes.boxes}
    assert all(lane_of[link.source] < lane_of[link.target] for link in lanes.links)
    assert all(box.alone for box in lanes.boxes)


def test_a_link_that_a_longer_way_says_too_is_not_drawn(session: Session) -> None:
    graph = around(session, run_of(session, "SMP00001"))
    (sample,) = graph.of_kind("sample")
    assert any(edge.source == sample.id and edge.target.startswith("run_") for edge in graph.edges)
    drawn = {(link.source[:3], link.target[:3]) for link in lanes_of(graph).links}
    assert ("smp", "run") not in drawn
    assert ("smp", "dat") in drawn


def test_long_lanes_are_grouped_and_counted_and_nothing_is_lost(session: Session) -> None:
    graph = around(session, "outbreak-000")
    lanes = lanes_of(graph)
    assert max(sum(box.lane == lane for box in lanes.boxes) for lane in range(len(lanes.titles))) <= MOST
    assert sorted(node.id for box in lanes.boxes for node in box.nodes) == sorted(node.id for node in graph.nodes)
    named = {name_of(box) for box in lanes.boxes}
    assert {"40 samples", "40 datasets", "80 files", "37 × viral_variants 1.0.0"} <= named


def test_a_failed_and_a_stale_result_stay_on_their_own_in_words(session: Session) -> None:
    lanes = lanes_of(around(session, "outbreak-000"))
    told = {told_of(box) for box in lanes.boxes if box.nodes[0].kind == "workflow run"}
    failed = {"SMP00003 · COMPLETE, fail", "SMP00005 · COMPLETE, fail"}
    assert told == {*failed, "SMP00009 · stale · COMPLETE, pass", "COMPLETE, pass"}


def test_what_is_above_what_was_made_is_seen_too(session: Session) -> None:
    assert len(around(session, "outbreak-000").of_kind("instrument run")) == 1
    assert len(lineage(session, "outbreak-000", "down").of_kind("instrument run")) == 0


def test_the_page_has_a_table_of_everything_with_what_it_came_from(session: Session) -> None:
    graph = around(session, run_of(session, "SMP00009"))
    rows = {row.id: row for row in rows_of(graph)}
    assert set(rows) == {node.id for node in graph.nodes}
    run = rows[graph.root]
    assert (run.state, run.note) == ("COMPLETE, pass", f"stale: {LATE}")
    assert "sample SMP00009" in run.origin
    page = lineage_html(graph).decode()
    assert all(node.id in page for node in graph.nodes)
    assert "1 result is stale" in page


def test_page_and_picture_need_nothing_from_elsewhere_and_are_the_same_each_time(session: Session) -> None:
    graph = around(session, "outbreak-000")
    page = lineage_html(graph).decode()
    assert page == lineage_html(around(session, "outbreak-000")).decode()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in unescape(page)
    assert texts(lineage_svg(graph), "lane")[0] == "Experiment"


def test_a_run_on_the_outputs_of_another_has_lanes_of_its_own_and_a_circle_ends() -> None:
    runs = [Node(id=f"run_{n:016x}", kind="workflow run", name=f"w {n}") for n in range(2)]
    files = [Node(id=f"fil_{n:016x}", kind="file", name=f"x/{n}.tsv") for n in range(3)]
    chain = [(files[0], runs[0]), (runs[0], files[1]), (files[1], runs[1]), (runs[1], files[2])]
    edges = [Edge(source=a.id, target=b.id, role="r") for a, b in chain]
    graph = Graph(root=runs[0].id, direction="down", nodes=(*runs, *files), edges=tuple(edges))
    lanes = lanes_of(graph)
    assert [box.key for box in lanes.boxes] == [files[0].id, runs[0].id, files[1].id, runs[1].id, files[2].id]
    back = Edge(source=files[2].id, target=runs[0].id, role="r")
    round_ = graph.model_copy(update={"edges": (*edges, back)})
    assert len(lanes_of(round_).boxes) == 5
    ElementTree.fromstring(lineage_svg(round_))


def test_one_thing_alone_is_drawn() -> None:
    graph = Graph(root="fil_1", direction="up", nodes=(Node(id="fil_1", kind="file", name="a/b.txt"),), edges=())
    assert texts(lineage_svg(graph), "box name") == []
    assert texts(lineage_svg(graph), "name") == ["b.txt"]
    assert summary(graph) == "1 file"
    assert summary(graph.model_copy(update={"complete": False})) == "1 file; there is more, which was left out"


@pytest.mark.parametrize(
    ("state", "meant"),
    [
        ("COMPLETE, pass", "good"),
        ("COMPLETE, warn", "warn"),
        ("COMPLETE", "good"),
        ("SYSTEM_ERROR", "bad"),
        ("RUNNING", "live"),
        ("a word nobody knows", ""),
        (None, ""),
    ],
)
def test_a_state_has_a_tone(state: str | None, meant: str) -> None:
    assert tone(state) == meant


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.seen |= {name for name, _ in attrs if name.startswith("on") or name in ("src", "href")}


@pytest.mark.parametrize("name", hostile.NAMES)
def test_hostile_names_stay_text(name: str) -> None:
    nodes = (
        Node(id=Experiment(name="x").id, kind="experiment", name=name),
        Node(id="smp_1", kind="sample", name=name, state=name, note=name),
        Node(id="run_1", kind="workflow run", name=name, state=name, note=f"stale: {name}"),
    )
    edges = (
        Edge(source=nodes[0].id, target="smp_1", role=name),
        Edge(source="smp_1", target="run_1", role=name),
    )
    graph = Graph(root="run_1", direction="up", nodes=nodes, edges=edges)
    tags = _Tags()
    tags.feed(lineage_html(graph).decode())
    assert not tags.seen & {"script", "img", "src", "onerror", "iframe", "href"}
    assert ElementTree.fromstring(lineage_svg(graph)).tag == f"{SVG}svg"


def test_a_picture_is_written_whole_into_a_folder_that_is_made(tmp_path: Path) -> None:
    from labrelay.records.report.lineage_page import write

    made = write(tmp_path / "new" / "x.svg", b"<svg/>")
    assert made.read_bytes() == b"<svg/>"
    assert [path.name for path in made.parent.iterdir()] == ["x.svg"]
