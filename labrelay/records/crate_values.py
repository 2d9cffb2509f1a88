"""What went into a crate's tasks and came out of them, and which of it connects which steps.

A file that is in the crate, or named by it, is that file; one that was not kept is a work without bytes, told apart
from others by a digest of its path, which says nothing of the machine.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.runs import TaskReport
from labrelay.records.crate_graph import CrateGraph, Ref, local_id
from labrelay.records.documents import call_name
from labrelay.records.result import Result, ResultFile


def known_files(result: Result) -> dict[str, ResultFile]:
    """Map the paths that the engine knew to the stored files, so that a task's output is the crate's file."""
    stored = {(f.name, f.index): f for f in result.outputs}
    known = {f.path: stored[f.output, f.index] for f in result.report.files if (f.output, f.index) in stored}
    references = [result.reference.file] if result.reference else []
    for file in result.inputs:
        if (asked := file.asked_as) is not None:
            known.setdefault(asked, file)
            known.setdefault(os.path.realpath(asked) if asked.startswith("/") else asked, file)
    for file in (*result.inputs, *references, *result.outputs):
        known.setdefault(str(file.path), file)
        known.setdefault(str(file.path.resolve()), file)  # a read set is a link; an engine may have followed it
    return known


def add_values(
    graph: CrateGraph, task: TaskReport, direction: str, tool: Ref, files: Mapping[str, ResultFile]
) -> list[Ref]:
    """Describe what went into (`input`) or came out of (`output`) a task, with the tool's formal parameters."""
    refs: dict[str, Ref] = {}
    values = task.inputs if direction == "input" else task.outputs
    for name, value in sorted(values.items()):
        for leaf, position in _leaves(value):
            ref, kind = _add_leaf(graph, task, direction, f"{name}{position}", leaf, files)
            parameter = graph.parameter(local_id("tool", call_name(task.name), direction, name), name, kind)
            graph.link(tool, direction, parameter)
            graph.link(ref, "exampleOfWork", parameter)
            refs.setdefault(ref["@id"], ref)
    return list(refs.values())


def add_connections(graph: CrateGraph, workflow: Ref) -> None:
    """Say which output became which input, by the files that were both: what happened, not what was meant.

    Values are left out: two parameters may be 10 without one being the other.
    """
    for entity in list(graph.examples()):
        ends: dict[bool, list[Ref]] = defaultdict(list)
        for parameter in entity["exampleOfWork"]:
            ends[_is_source(parameter["@id"])].append(parameter)
        made = [ref for ref in ends[True] if ref["@id"].startswith("#tool/")]
        for source in made or ends[True]:
            for target in ends[False]:
                _connect(graph, workflow, source, target)


def _connect(graph: CrateGraph, workflow: Ref, source: Ref, target: Ref) -> None:
    giver, taker = (ref["@id"].split("/")[1] if ref["@id"].startswith("#tool/") else None for ref in (source, target))
    if giver == taker:  # a task that hands its input on, or the workflow itself
        return
    connection = graph.add(
        local_id("connection", source["@id"][1:], target["@id"][1:]),
        "ParameterConnection",
        sourceParameter=source,
        targetParameter=target,
    )
    graph.link({"@id": f"#step/{taker}"} if taker is not None else workflow, "connection", connection)


def _is_source(parameter: str) -> bool:
    kind, *rest = parameter.split("/")
    return kind == "#input" or (kind == "#tool" and rest[1] == "output")


def _leaves(value: Any, position: str = "") -> Iterator[tuple[Any, str]]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(value[key], f"{position}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{position}[{index}]")
    elif value is not None:
        yield value, position


def _add_leaf(
    graph: CrateGraph, task: TaskReport, direction: str, name: str, leaf: Any, files: Mapping[str, ResultFile]
) -> tuple[Ref, str]:
    """Describe one value: a stored file as itself, a passing file as a work that was not kept, the rest as a value."""
    text = leaf if isinstance(leaf, str) else ""
    if text in files:
        return graph.add_stored(files[text]), "File"
    if text.startswith("/") or "://" in text:
        ref = graph.add(
            local_id("intermediate", digest(text)[:16]),
            "CreativeWork",
            name=text.rstrip("/").rsplit("/", 1)[-1],
            description="A file that a task read or wrote and that was not kept",
        )
        return ref, "File"
    return graph.value(local_id("value", task.name, direction, name), name, leaf), kind_of(leaf)


def kind_of(value: object) -> str:
    """Return the type of a formal parameter that takes this value."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Integer"
    return "Float" if isinstance(value, float) else "Text"
