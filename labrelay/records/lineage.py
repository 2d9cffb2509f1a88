"""Where did this come from, and what was made of it? The graph above or below anything that has an id.

The edges lie in the tables of the things themselves. An id tells its kind, so each step of the walk asks only those
tables that can hold its next edges, by their indexes: the cost follows the answer, not the size of the store. (One
recursive statement over several tables would be another one for each database: Postgres takes a single recursive
term, and SQLite builds the union of all edges before it begins.)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, literal, select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.instrument import run_name
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.model.reads import READ_TYPES
from labrelay.records.arrivals import PLATE
from labrelay.records.schema import (
    CrateRow,
    DatasetFileRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    ReadSetRow,
    RunIORow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)

Direction = Literal["up", "down"]
_Found = tuple[str, str, str]  # source, target, role
CHUNK = 500
MAX_NODES = 20_000
_ID = re.compile(r"([a-z]{3})_[0-9a-f]{0,16}\Z")


class Node(Frozen):
    """A thing in the graph.

    Attributes:
        id: With its kind in front.
        kind: In words, such as `workflow run`.
        name: What people call it; a file's key.
        state: Its state, status or verdict, where it has one.
        note: What else matters, such as why a result is stale.
    """

    id: str
    kind: str
    name: str
    state: str | None = None
    note: str | None = None


class Edge(Frozen):
    """`source` went into, holds or made `target`; `role` says as what."""

    source: str
    target: str
    role: str


class Graph(Frozen):
    """Everything above or below `root`, itself included; `complete` is False when it was cut at `MAX_NODES`."""

    root: str
    direction: Direction
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    complete: bool = True

    def of_kind(self, kind: str) -> tuple[Node, ...]:
        """Return the nodes of this kind (`sample`, `file`, `workflow run` …)."""
        return tuple(node for node in self.nodes if node.kind == kind)


class _Step(NamedTuple):
    """One kind of edge: from the ids in `source` to those in `target`, with further tables joined in `query`."""

    source_kind: str
    target_kind: str
    source: ColumnElement[str]
    target: ColumnElement[str]
    query: Select[Any]


def _step(source_kind: str, target_kind: str, source: Any, target: Any, role: Any, *only: ColumnElement[bool]) -> _Step:
    return _Step(source_kind, target_kind, source, target, select(source, target, role).where(*only))


def _read_set_to_run() -> _Step:
    """A read set went into the runs that took its files for its sample."""
    same_lane = DatasetFileRow.lane.is_not_distinct_from(ReadSetRow.lane)
    of_sample = and_(
        WorkflowRunSampleRow.run_id == RunIORow.run_id, WorkflowRunSampleRow.sample_id == ReadSetRow.sample_id
    )
    query = (
        select(ReadSetRow.id, RunIORow.run_id, literal("reads"))
        .join(DatasetFileRow, and_(DatasetFileRow.dataset_id == ReadSetRow.dataset_id, same_lane))
        .join(RunIORow, and_(RunIORow.file_id == DatasetFileRow.file_id, RunIORow.direction == "in"))
        .join(WorkflowRunSampleRow, of_sample)
        .where(ReadSetRow.file_type.in_(READ_TYPES))
        .distinct()
    )
    return _Step("rds", "run", ReadSetRow.id, RunIORow.run_id, query)  # type: ignore[arg-type]


_STEPS = (
    _step("exp", "smp", SampleRow.experiment_id, SampleRow.id, literal("announced")),
    _step("smp", "dat", DatasetRow.sample_id, DatasetRow.id, literal("of it")),
    _step("ins", "dat", DatasetRow.instrument_run_id, DatasetRow.id, literal("measured")),
    _step("dat", "fil", DatasetFileRow.dataset_id, DatasetFileRow.file_id, literal("holds")),
    # Images and their like stay where they lie: the files themselves lead on to the runs.
    _step(
        "dat", "rds", ReadSetRow.dataset_id, ReadSetRow.id, literal("imported"), ReadSetRow.file_type.in_(READ_TYPES)
    ),
    _step("smp", "run", WorkflowRunSampleRow.sample_id, WorkflowRunSampleRow.run_id, literal("sample")),
    _step("fil", "run", RunIORow.file_id, RunIORow.run_id, RunIORow.name, RunIORow.direction == "in"),
    _read_set_to_run(),
    _step("ref", "run", WorkflowRunRow.reference_id, WorkflowRunRow.id, literal("reference")),
    _step("run", "fil", RunIORow.run_id, RunIORow.file_id, RunIORow.name, RunIORow.direction == "out"),
    _step("run", "fil", CrateRow.run_id, CrateRow.file_id, literal("crate")),
)

_WORKFLOW = WorkflowVersionRow.name + " " + WorkflowVersionRow.version
_RUNS = select(WorkflowRunRow.id, _WORKFLOW, WorkflowRunRow.state, WorkflowRunRow.verdict, WorkflowRunRow.stale).join(
    WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest
)
# For each kind: its word, its id column, and the query of (id, name, state, …) that describes it.
_KINDS: dict[str, tuple[str, Any, Any]] = {
    "exp": ("experiment", ExperimentRow.id, select(ExperimentRow.id, ExperimentRow.name, literal(None))),
    "smp": ("sample", SampleRow.id, select(SampleRow.id, SampleRow.name, literal(None))),
    "ins": (
        "instrument run",
        InstrumentRunRow.id,
        select(InstrumentRunRow.id, InstrumentRunRow.run_id, InstrumentRunRow.state, InstrumentRunRow.platform, PLATE),
    ),
    "dat": ("dataset", DatasetRow.id, select(DatasetRow.id, DatasetRow.label, DatasetRow.state)),
    "rds": ("read set", ReadSetRow.id, select(ReadSetRow.id, ReadSetRow.file_type, ReadSetRow.status)),
    "fil": ("file", FileRow.id, select(FileRow.id, FileRow.key, literal(None), FileRow.role)),
    "run": ("workflow run", WorkflowRunRow.id, _RUNS),
    "ref": (
        "reference",
        WorkflowRunRow.reference_id,
        select(WorkflowRunRow.reference_id, WorkflowRunRow.reference_id, literal(None)).distinct(),
    ),
}
_NAMES: tuple[tuple[Any, Any], ...] = (
    (SampleRow.id, SampleRow.name),
    (ExperimentRow.id, ExperimentRow.name),
    (InstrumentRunRow.id, InstrumentRunRow.run_id),
    (FileRow.id, FileRow.key),
)


def lineage(session: Session, id: str, direction: Direction = "up") -> Graph:
    """Return the graph above (`up`: what it came from) or below (`down`: what was made of it) an entity.

    Args:
        session: One consistent state of the store is read.
        id: An id, the beginning of one that only one entity has, or a sample's, experiment's, instrument run's or
            file's name that only one has.
        direction: `up` or `down`.

    Raises:
        NotFound: There is no such thing.
        UsageError: It could mean several things.
    """
    root = resolve(session, id)
    seen, edges, complete = _walk(session, {root}, direction)
    return _graph(session, root, direction, seen, edges, complete)


def around(session: Session, id: str) -> Graph:
    """Return what was made of an entity and what all of that came from, as one graph; its direction is `down`.

    So an experiment shows the instrument runs behind its results, which do not lie above it.

    Raises:
        NotFound: There is no such thing.
        UsageError: It could mean several things.
    """
    root = resolve(session, id)
    below, edges, whole = _walk(session, {root}, "down")
    seen, others, complete = _walk(session, below, "up")
    return _graph(session, root, "down", seen, edges | others, whole and complete)


def _walk(session: Session, start: set[str], direction: Direction) -> tuple[set[str], dict[_Found, None], bool]:
    """Return all that is reached from some ids, the edges on the way, and whether it ended by itself."""
    seen, frontier, edges = set(start), set(start), dict[_Found, None]()
    while frontier and len(seen) < MAX_NODES:
        found = list(_next(session, frontier, direction))
        edges.update(dict.fromkeys(found))
        ends = {source if direction == "up" else target for source, target, _role in found}
        frontier = ends - seen
        seen |= frontier
    return seen, edges, not frontier


def _graph(
    session: Session, root: str, direction: Direction, ids: set[str], edges: Iterable[_Found], complete: bool
) -> Graph:
    return Graph(
        root=root,
        direction=direction,
        nodes=tuple(_describe(session, ids)),
        edges=tuple(Edge(source=s, target=t, role=r) for s, t, r in edges),
        complete=complete,
    )


def resolve(session: Session, text: str) -> str:
    """Return the one id that `text` is, begins, or names.

    Raises:
        NotFound: There is none.
        UsageError: There are several.
    """
    match = _ID.match(text)
    if match is not None and match[1] in _KINDS:
        column = _KINDS[match[1]][1]
        # a range, not LIKE: it goes by the index; `g` sorts after all hexadecimal digits
        query = select(column).where(column >= text, column < text + "g").distinct().limit(6)
        found: Sequence[str] = session.scalars(query).all()
    else:
        found = [i for column, name in _NAMES for i in session.scalars(select(column).where(name == text).limit(6))]
    if not found:
        raise NotFound(f"nothing here has the id or name {printable(text)}: find it with `labrelay search TEXT`")
    if len(found) > 1 and text not in found:
        more = " …" if len(found) > 5 else ""
        if match is not None:
            raise UsageError(f"{printable(text)} could be any of {', '.join(found[:5])}{more}: give more of the id")
        told = ", ".join(f"{_KINDS[each[:3]][0]} {each}" for each in found[:5])
        raise UsageError(f"{printable(text)} is the name of {told}{more}: give the id of the one that is meant")
    return text if text in found else found[0]


def _next(session: Session, frontier: set[str], direction: Direction) -> Iterator[tuple[str, str, str]]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for each in sorted(frontier):
        by_kind[each[:3]].append(each)
    for step in _STEPS:
        kind, column = (step.source_kind, step.source) if direction == "down" else (step.target_kind, step.target)
        for ids in _chunks(by_kind.get(kind, [])):
            for source, target, role in session.execute(step.query.where(column.in_(ids))):
                if source is not None and target is not None:
                    yield source, target, role


def _describe(session: Session, ids: Iterable[str]) -> Iterator[Node]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for each in sorted(ids):
        by_kind[each[:3]].append(each)
    for kind, (word, column, query) in _KINDS.items():
        for chunk in _chunks(by_kind.get(kind, [])):
            for row in session.execute(query.where(column.in_(chunk))):
                yield _node(kind, word, tuple(row))


def _node(kind: str, word: str, row: tuple[str | None, ...]) -> Node:
    state, note = row[2], row[3] if len(row) > 3 else None
    if kind == "run":
        verdict, stale = row[3], row[4]
        state = state if verdict in (None, "none") else f"{state}, {verdict}"
        note = f"stale: {stale}" if stale else None
    name = run_name(row[1] or "", row[4]) if kind == "ins" else row[1] or ""
    return Node(id=row[0] or "", kind=word, name=name, state=state, note=note)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
