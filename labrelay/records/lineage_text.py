"""A lineage graph as a tree of text: the root first, everything once, what was shown before only named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from labrelay.model.names import printable
from labrelay.records.lineage import Graph, Node

SHOWN = 40  # siblings; more of them are counted


def tree(graph: Graph, shown: int = SHOWN) -> str:
    """Return the graph as an indented tree, one line a node, ending with a line end.

    Args:
        graph: From `lineage`.
        shown: Most children of one node that are written out; the rest are counted in one line.
    """
    nodes = {node.id: node for node in graph.nodes}
    children: dict[str, dict[str, str]] = defaultdict(dict)
    for edge in graph.edges:
        parent, child = (edge.target, edge.source) if graph.direction == "up" else (edge.source, edge.target)
        children[parent].setdefault(child, edge.role)
    lines = list(_branch(graph.root, None, nodes, children, set(), "", shown))
    if not graph.complete:
        lines.append(f"(cut after {len(graph.nodes)} things; ask for a narrower id)")
    return "\n".join(lines) + "\n"


def _branch(
    id: str,
    role: str | None,
    nodes: dict[str, Node],
    children: dict[str, dict[str, str]],
    done: set[str],
    indent: str,
    shown: int,
) -> Iterator[str]:
    """Yield the line of a node and the lines below it; the lines' first part is the caller's to write."""
    below = children.get(id, {})
    again = id in done and bool(below)
    yield _line(nodes.get(id), id, role) + (" (see above)" if again else "")
    if again:
        return
    done.add(id)
    ordered = sorted(below.items(), key=lambda item: _order(nodes.get(item[0]), item[0]))
    rest = len(ordered) - shown
    for number, (child, child_role) in enumerate(ordered[:shown]):
        last = number == len(ordered) - 1
        first, other = ("└─ ", "   ") if last else ("├─ ", "│  ")
        lines = _branch(child, child_role, nodes, children, done, indent, shown)
        yield indent + first + next(lines)
        yield from (indent + other + line for line in lines)
    if rest > 0:
        yield f"{indent}└─ … and {rest} more"


def _order(node: Node | None, id: str) -> tuple[str, str]:
    return ("", id) if node is None else (node.kind, node.name)


def _line(node: Node | None, id: str, role: str | None) -> str:
    if node is None:
        return id
    told = "; ".join(printable(part) for part in (node.state, node.note, role) if part)
    return f"{node.kind} {printable(node.name)}" + (f" ({told})" if told else "") + f"  {node.id}"
