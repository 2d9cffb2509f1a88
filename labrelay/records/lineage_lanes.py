"""A lineage graph in lanes from left to right, for a picture: what is too much for one lane is grouped and counted.

Pure: a graph goes in, boxes with lane and place and the links between them come out. What needs a person (a failure, a
doubtful verdict, a stale result) and the thing that was asked about stay on their own as long as they are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from labrelay.records.lineage import Graph, Node

MOST = 14  # boxes in one lane
MOST_NOTABLE = 8
PASSES = 4  # of putting the boxes of a lane beside what they belong to
KINDS = ("experiment", "sample", "instrument run", "dataset", "read set", "reference", "file", "workflow run")
TITLES = {
    "origin": "Experiment",
    "source": "Samples and instrument runs",
    "data": "Datasets",
    "reads": "Files, read sets, references",
    "run": "Workflow runs",
    "made": "Outputs and crates",
}
PLACES = tuple(TITLES)
OF_KIND = {
    "experiment": "origin",
    "sample": "source",
    "instrument run": "source",
    "dataset": "data",
    "file": "reads",
    "read set": "reads",
    "reference": "reads",
    "workflow run": "run",
}
Lane = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """One box: a thing, or several of a kind.

    Attributes:
        role: Of an output, what it is to the run that made it.
        about: Of a workflow run, the names of its samples.
    """

    key: str
    lane: int
    row: int
    nodes: tuple[Node, ...]
    role: str | None = None
    about: tuple[str, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether it is one thing."""
        return len(self.nodes) == 1


@dataclass(frozen=True)
class Link:
    """From the box of one key to that of another, with how many edges it stands for."""

    source: str
    target: str
    count: int


@dataclass(frozen=True)
class Lanes:
    """The picture: titles of the lanes from the left, boxes lane by lane from the top, links, and the root's box."""

    titles: tuple[str, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    root: str


def lanes_of(graph: Graph, most: int = MOST) -> Lanes:
    """Return the lanes of a graph.

    Args:
        graph: From `lineage`.
        most: Boxes in one lane before it is grouped.
    """
    edges = [(edge.source, edge.target) for edge in graph.edges]
    roles = {edge.target: edge.role for edge in graph.edges if edge.source.startswith("run_")}
    place = _places(graph, edges, roles)
    about = _about(graph)
    ordered = sorted(graph.nodes, key=lambda n: (KINDS.index(n.kind), n.name, about.get(n.id, ()), n.id))
    groups = [
        group
        for lane in sorted(set(place.values()))
        for group in _grouped([n for n in ordered if place[n.id] == lane], graph.root, roles, most)
    ]
    owner = {node.id: key for key, nodes in groups for node in nodes}
    lane_of = {key: place[nodes[0].id] for key, nodes in groups}
    links = _links(edges, owner, lane_of)
    numbers = {lane: number for number, lane in enumerate(sorted(set(place.values())))}
    rows = _rows(groups, {key: numbers[lane] for key, lane in lane_of.items()}, links)
    boxes = [
        Box(
            key,
            numbers[lane_of[key]],
            rows[key],
            tuple(nodes),
            roles.get(key),
            about.get(key, ()) if len(nodes) == 1 else (),
        )
        for key, nodes in groups
    ]
    return Lanes(
        titles=tuple(TITLES[PLACES[part]] for _depth, part in numbers),
        boxes=tuple(sorted(boxes, key=lambda box: (box.lane, box.row))),
        links=tuple(links),
        root=owner[graph.root],
    )


def _about(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the names of the samples of each workflow run."""
    samples = {node.id: node.name for node in graph.of_kind("sample")}
    found: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        if edge.source in samples and edge.target.startswith("run_"):
            found[edge.target].append(samples[edge.source])
    return {run: tuple(sorted(names)) for run, names in found.items()}


def notable(node: Node) -> bool:
    """Return whether a person should see this one for itself: failed, doubtful or out of date."""
    state = (node.state or "").lower()
    words = ("error", "fail", "warn", "refused", "cancel", "unassigned")
    return any(word in state for word in words) or (node.kind == "workflow run" and node.note is not None)


def _places(graph: Graph, edges: Sequence[tuple[str, str]], roles: Mapping[str, str]) -> dict[str, Lane]:
    """Return the lane of each thing: how many workflow runs lie before it, and its kind's place."""
    depth = _depths(graph, edges)
    place: dict[str, Lane] = {}
    for node in graph.nodes:
        part = "made" if node.id in roles else OF_KIND.get(node.kind, "reads")
        place[node.id] = (depth.get(node.id, 0), PLACES.index(part))
    return place


def _depths(graph: Graph, edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return for runs, and for what they made, how many runs lie before them; a circle ends where it closes."""
    makers: dict[str, list[str]] = defaultdict(list)
    takes: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        (makers if source.startswith("run_") else takes)[target].append(source)
    before = {
        node.id: {m for file in takes[node.id] for m in makers.get(file, ()) if m != node.id}
        for node in graph.nodes
        if node.kind == "workflow run"
    }
    depth = dict.fromkeys(before, 0)
    for _ in range(len(before)):
        after = {run: max((depth[m] + 1 for m in runs if m in depth), default=0) for run, runs in before.items()}
        if after == depth or max(after.values()) > len(before):
            break
        depth = after
    made = {file: max(depth.get(run, 0) for run in runs) for file, runs in makers.items()}
    return {**depth, **made}


def _grouped(nodes: Sequence[Node], root: str, roles: Mapping[str, str], most: int) -> Iterable[tuple[str, list[Node]]]:
    """Yield the boxes of a lane, as finely as there is room for."""
    if len(nodes) <= most:
        return [(node.id, [node]) for node in nodes]
    special = [node for node in nodes if node.id == root or notable(node)]
    if len(special) > MOST_NOTABLE:
        special = [node for node in nodes if node.id == root]
    apart = {node.id for node in special}
    rest = [node for node in nodes if node.id not in apart]
    found: dict[tuple[str, ...], list[Node]] = {}
    for key_of in (_fine, _coarse):
        found = _by(rest, lambda node, key_of=key_of: key_of(node, roles))  # type: ignore[misc]
        if len(found) + len(special) <= most:
            break
    single = [(node.id, [node]) for node in special]
    groups = [(members[0].id, members) for members in found.values()]  # a box is named by its first thing
    return sorted([*single, *groups], key=lambda each: _first(each[1], roles))


def _first(nodes: Sequence[Node], roles: Mapping[str, str]) -> tuple[int, bool, str, str]:
    """Return what boxes are ordered by before their links have a say: kind, what stands alone, role, name."""
    node = nodes[0]
    return KINDS.index(node.kind), len(nodes) > 1, roles.get(node.id, ""), node.name


def _fine(node: Node, roles: Mapping[str, str]) -> tuple[str, ...]:
    name = node.name if node.kind == "workflow run" else roles.get(node.id, "")
    return (node.kind, name, *_coarse(node, roles)[1:])


def _coarse(node: Node, roles: Mapping[str, str]) -> tuple[str, ...]:
    made = "crate" if roles.get(node.id) == "crate" else ""
    return (node.kind, node.state or "", "stale" if notable(node) and node.note else "", made)


def _by(nodes: Iterable[Node], key_of: Callable[[Node], tuple[str, ...]]) -> dict[tuple[str, ...], list[Node]]:
    found: dict[tuple[str, ...], list[Node]] = defaultdict(list)
    for node in nodes:
        found[key_of(node)].append(node)
    return dict(found)


def _links(edges: Sequence[tuple[str, str]], owner: Mapping[str, str], lane_of: Mapping[str, Lane]) -> list[Link]:
    """Return the links between boxes, without those that say what a longer way through other boxes says as well."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for source, target in edges:
        if owner[source] != owner[target]:
            counts[owner[source], owner[target]] += 1
    below: dict[str, set[str]] = defaultdict(set)
    for source, target in counts:
        if lane_of[source] < lane_of[target]:  # what goes back makes no longer way
            below[source].add(target)
    reach: dict[str, set[str]] = {}
    for key in sorted(lane_of, key=lambda each: lane_of[each], reverse=True):
        reach[key] = below[key].union(*(reach[each] for each in below[key]))
    return [
        Link(source, target, count)
        for (source, target), count in counts.items()
        if not any(target in reach[other] for other in below[source] if other != target)
    ]


def _rows(
    groups: Sequence[tuple[str, list[Node]]], lane_of: Mapping[str, int], links: Sequence[Link]
) -> dict[str, int]:
    """Return each box's place in its lane: kinds stay together, and boxes lie beside what they are linked with."""
    kinds = {key: KINDS.index(nodes[0].kind) for key, nodes in groups}
    lanes: dict[int, list[str]] = defaultdict(list)
    for key, _nodes in groups:
        lanes[lane_of[key]].append(key)
    near: dict[str, list[str]] = defaultdict(list)
    for link in links:
        near[link.source].append(link.target)
        near[link.target].append(link.source)
    place = {key: (row + 0.5) / len(keys) for keys in lanes.values() for row, key in enumerate(keys)}
    for turn in range(PASSES):
        for lane in sorted(lanes, reverse=bool(turn % 2)):
            wish = {key: _mean([place[other] for other in near[key]], place[key]) for key in lanes[lane]}
            lanes[lane].sort(key=lambda key: (kinds[key], wish[key]))
            place |= {key: (row + 0.5) / len(lanes[lane]) for row, key in enumerate(lanes[lane])}
    return {key: row for keys in lanes.values() for row, key in enumerate(keys)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
