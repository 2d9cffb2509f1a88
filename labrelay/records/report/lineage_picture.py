"""The picture of a lineage graph: boxes in lanes from left to right; states are words first and colours second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from labrelay.model.words import counted
from labrelay.records.lineage import Graph, Node
from labrelay.records.lineage_lanes import Box, Lanes, Link, lanes_of
from labrelay.records.report.svg import CHART_CSS, Figure, join, num, shown

BOX_WIDTH, BOX_HEIGHT, GAP, LANE_GAP = 212.0, 42.0, 12.0, 64.0
TOP, MARGIN = 44.0, 16.0
NAME_LETTERS, STATE_LETTERS = 23, 36
NAMED = 20  # things of a group in its hover text
LINEAGE_CSS = """
.chart .lane { font-weight: 600; fill: var(--ink); font-size: 12.5px; }
.chart .edge { fill: none; stroke: var(--soft); stroke-opacity: .45; }
.chart .box rect.card { fill: var(--panel); stroke: var(--line); stroke-width: 1.2; }
.chart .box rect.behind { fill: var(--shade, #eef2f5); stroke: var(--line); stroke-width: 1.2; }
.chart .box .name { fill: var(--ink); font-weight: 600; font-size: 12px; }
.chart .box .told { font-size: 10.5px; }
.chart .box .bar { fill: var(--soft); }
.chart .good .bar { fill: var(--good); } .chart .good .told { fill: var(--good); }
.chart .warn .bar { fill: var(--warn); } .chart .warn .told { fill: var(--warn); }
.chart .bad .bar { fill: var(--bad); } .chart .bad .told { fill: var(--bad); }
.chart .live .bar { fill: var(--accent); } .chart .live .told { fill: var(--accent); }
.chart .stale rect.card { stroke: var(--warn); stroke-width: 1.6; stroke-dasharray: 5 3; }
.chart .root rect.card { stroke: var(--accent); stroke-width: 2.4; }
.chart .box:hover rect.card { stroke: var(--accent); }
"""
GOOD = frozenset({"pass", "stored", "assigned", "active", "complete"})
WARN = frozenset({"warn", "unassigned", "no_reads", "undetermined", "superseded", "seen", "canceled", "archived"})
BAD = frozenset({"fail", "executor_error", "system_error", "refused", "upload_failed", "failed"})
LIVE = frozenset({"queued", "initializing", "running", "canceling", "wanted", "importing", "activating"})


def lineage_figure(graph: Graph) -> Figure:
    """Return the picture of a graph."""
    lanes = lanes_of(graph)
    places = _places(lanes)
    height = max(y for _x, y in places.values()) + BOX_HEIGHT + MARGIN
    width = len(lanes.titles) * (BOX_WIDTH + LANE_GAP) - LANE_GAP + 2 * MARGIN
    parts = [
        *(_title(number, title) for number, title in enumerate(lanes.titles)),
        *(_edge(link, places) for link in lanes.links),
        *(_box(box, *places[box.key], box.key == lanes.root) for box in lanes.boxes),
    ]
    root = next(node for node in graph.nodes if node.id == graph.root)
    return Figure(
        name="lineage",
        title=f"Lineage of {root.kind} {root.name}",
        summary=summary(graph),
        body=join(parts),
        height=height,
        width=width,
        css=CHART_CSS + LINEAGE_CSS,
    )


def summary(graph: Graph) -> str:
    """Return what the graph holds in one sentence: `1 experiment, 3 samples and 4 workflow runs; 1 result is stale`."""
    kinds = dict.fromkeys(node.kind for node in graph.nodes)
    told = [counted(len(graph.of_kind(kind)), kind) for kind in kinds]
    stale = sum(is_stale(node) for node in graph.nodes)
    late = f"; {counted(stale, 'result is', 'results are')} stale" if stale else ""
    cut = "" if graph.complete else "; there is more, which was left out"
    return (", ".join(told[:-1]) + " and " if len(told) > 1 else "") + told[-1] + late + cut


def is_stale(node: Node) -> bool:
    """Return whether a node is a result that is out of date."""
    return node.kind == "workflow run" and (node.note or "").startswith("stale")


def tone(state: str | None) -> str:
    """Return the tone of a state: `good`, `warn`, `bad`, `live` or none; of `COMPLETE, warn` the last word counts."""
    last = (state or "").rsplit(", ", 1)[-1].lower()
    tones = {"good": GOOD, "warn": WARN, "bad": BAD, "live": LIVE}
    return next((name for name, words in tones.items() if last in words), "")


def _places(lanes: Lanes) -> dict[str, tuple[float, float]]:
    """Return the top left corner of each box; lanes stand in the middle of the tallest."""
    rows: dict[int, int] = {}
    for box in lanes.boxes:
        rows[box.lane] = max(rows.get(box.lane, 0), box.row + 1)
    tallest = max(rows.values())
    pitch = BOX_HEIGHT + GAP
    return {
        box.key: (
            MARGIN + box.lane * (BOX_WIDTH + LANE_GAP),
            TOP + (box.row + (tallest - rows[box.lane]) / 2) * pitch,
        )
        for box in lanes.boxes
    }


def _title(lane: int, title: str) -> Markup:
    x = MARGIN + lane * (BOX_WIDTH + LANE_GAP)
    return Markup('<text x="{}" y="24" class="lane">{}</text>').format(num(x), title)


def _edge(link: Link, places: Mapping[str, tuple[float, float]]) -> Markup:
    """Draw a link from the right side of its source to the left side of its target, also when that lies before it."""
    (x1, y1), (x2, y2) = places[link.source], places[link.target]
    x1, y1, y2 = x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2, y2 + BOX_HEIGHT / 2
    bend = max(LANE_GAP, abs(x2 - x1)) / 2
    width = min(1.2 + link.count**0.5 / 3, 5)
    path = f"M{num(x1)} {num(y1)} C{num(x1 + bend)} {num(y1)} {num(x2 - bend)} {num(y2)} {num(x2)} {num(y2)}"
    return Markup('<path class="edge" d="{}" stroke-width="{}"><title>{}</title></path>').format(
        path, num(width), counted(link.count, "edge")
    )


def _box(box: Box, x: float, y: float, is_root: bool) -> Markup:
    stale = any(is_stale(node) for node in box.nodes)
    classes = [
        "box",
        "warn" if stale else tone(box.nodes[0].state),
        "stale" if stale else "",
        "root" if is_root else "",
    ]
    behind = Markup("") if box.alone else _rect(x + 4, y + 4, BOX_WIDTH, BOX_HEIGHT, "behind", 7)
    return Markup(
        '<g class="{}"><title>{}</title>{}{}{}'
        '<text x="{}" y="{}" class="name">{}</text><text x="{}" y="{}" class="told">{}</text></g>'
    ).format(
        " ".join(each for each in classes if each), hover(box), behind,
        _rect(x, y, BOX_WIDTH, BOX_HEIGHT, "card", 7), _rect(x, y + 6, 4, BOX_HEIGHT - 12, "bar", 2),
        num(x + 14), num(y + 18), shown(name_of(box), NAME_LETTERS),
        num(x + 14), num(y + 33), shown(told_of(box), STATE_LETTERS),
    )  # fmt: skip


def _rect(x: float, y: float, width: float, height: float, kind: str, radius: float) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="{}" class="{}"/>').format(
        num(x), num(y), num(width), num(height), num(radius), kind
    )


def name_of(box: Box) -> str:
    """Return what stands in bold: the thing's name (of a file its last part), or how many there are of what."""
    node = box.nodes[0]
    if box.alone:
        return cut(short_name(node), NAME_LETTERS)
    same = {each.name for each in box.nodes}
    noun = f"{node.kind}s" if node.kind != "file" or box.role != "crate" else "crates"
    return f"{len(box.nodes):,} × {next(iter(same))}" if len(same) == 1 else f"{len(box.nodes):,} {noun}"


def short_name(node: Node) -> str:
    """Return a name for a small place: of a file without its folders."""
    return node.name.rsplit("/", 1)[-1] if node.kind == "file" else node.name


def cut(text: str, limit: int) -> str:
    """Return text cut before its end, since names of files and runs differ there."""
    if len(text) <= limit:
        return text
    tail = limit * 2 // 3
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def told_of(box: Box) -> str:
    """Return what stands below the name: what it is or is about, and its state; `stale` comes before the state."""
    node = box.nodes[0]
    stale = sum(is_stale(each) for each in box.nodes)
    late = "" if not stale else "stale" if box.alone else f"{stale} stale"
    return " · ".join(part for part in (_what(box), late, node.state) if part) or node.kind


def _what(box: Box) -> str:
    """Return what a box is, as far as its lane does not say it already."""
    node = box.nodes[0]
    if node.kind == "workflow run":
        return box.about[0] if len(box.about) == 1 else counted(len(box.about), "sample") if box.about else ""
    if node.kind == "file":
        roles = {each.note for each in box.nodes}
        return box.role or (node.note or "" if len(roles) == 1 else "files of several roles")
    return "" if node.kind in ("dataset", "experiment") else node.kind


def hover(box: Box) -> Markup:
    """Return the text that is seen when a pointer rests on a box: everything of one thing, names of many."""
    node = box.nodes[0]
    if box.alone:
        about = f"of {', '.join(box.about[:NAMED])}" if box.about else None
        lines: Sequence[str | None] = (f"{node.kind} {node.name}", node.id, about, node.state, node.note, box.role)
    else:
        named = [short_name(each) for each in box.nodes[:NAMED]]
        more = len(box.nodes) - NAMED
        lines = (f"{len(box.nodes):,} of: {node.kind}", node.state, *named, f"and {more:,} more" if more > 0 else None)
    return Markup("\n").join(shown(line) for line in lines if line)
