"""A lineage graph as a file that a person opens: a page with picture and table as HTML, or the picture alone as SVG."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from labrelay.records.lineage import Graph
from labrelay.records.lineage_lanes import KINDS
from labrelay.records.report.lineage_picture import LINEAGE_CSS, lineage_figure, short_name, tone
from labrelay.records.report.render import render
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic

MOST_ORIGINS = 3
PAGE_CSS = """
main { max-width: 1800px; } .lineage { margin: 16px 0; padding: 8px 4px; }
.lineage svg.chart { width: auto; max-width: none; min-width: 0; margin: 0 auto; }
td.good { color: var(--good); } td.bad { color: var(--bad); } td.live { color: var(--accent); }
"""


@dataclass(frozen=True)
class Row:
    """A thing in the table: what it is, its state in words, why it is stale, and what it came from."""

    kind: str
    name: str
    state: str
    tone: str
    note: str
    origin: str
    id: str


def lineage_html(graph: Graph) -> bytes:
    """Return one self-contained HTML page; the same graph gives the same bytes."""
    root = next(node for node in graph.nodes if node.id == graph.root)
    return render(
        "lineage.html.j2",
        LINEAGE_CSS + PAGE_CSS,
        title=f"Lineage of {root.kind} {root.name}",
        root=root,
        figure=lineage_figure(graph),
        rows=rows_of(graph),
    )


def lineage_svg(graph: Graph) -> bytes:
    """Return the picture as an SVG file of its own."""
    return lineage_figure(graph).standalone


def write(path: Path, content: bytes) -> Path:
    """Write a page or picture, whole or not at all, and return its path.

    Raises:
        StorageFailed: The disk did not take it.
    """
    with storage_errors(f"write {path.name}", path.absolute().parent):
        make_dirs(path.absolute().parent)
        write_atomic(path.absolute(), content, durable=False)
    return path


def rows_of(graph: Graph) -> list[Row]:
    """Return the table: by kind and name, each thing with the first few things that it came from."""
    nodes = {node.id: node for node in graph.nodes}
    origins: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for edge in graph.edges:
        source = nodes[edge.source]
        origins[edge.target].add((KINDS.index(source.kind), f"{source.kind} {short_name(source)}"))
    rows = []
    for node in sorted(graph.nodes, key=lambda n: (KINDS.index(n.kind), n.name, n.id)):
        came = [told for _kind, told in sorted(origins[node.id])]
        more = f" and {len(came) - MOST_ORIGINS:,} more" if len(came) > MOST_ORIGINS else ""
        told = ", ".join(came[:MOST_ORIGINS]) + more
        rows.append(Row(node.kind, node.name, node.state or "", tone(node.state), node.note or "", told, node.id))
    return rows
