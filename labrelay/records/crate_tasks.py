"""The part of the crate that tells about tasks: who orchestrated, which tool ran in which container, on what, how long.

What ran is told apart from what was asked: a `containerImage` stands on an action only when an image really ran it;
the image that the definition declares, and a sandbox or host process in its place, are named beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.runs import TaskReport
from labrelay.model.states import RunState
from labrelay.records.crate_graph import RUN_TERMS, CrateGraph, Ref, local_id
from labrelay.records.documents import utc_text
from labrelay.records.result import Result, ResultFile

# Engines add the scatter's index (miniwdl `align-3`, Nextflow `ALIGN (s1)`); a tool is described once for all shards.
SHARD = re.compile(r"(?:-\d+| \(.*\))\Z")
IMAGE = re.compile(r"[/:]")
SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
COMPLETED = {"@id": "http://schema.org/CompletedActionStatus"}
FAILED = {"@id": "http://schema.org/FailedActionStatus"}
SECONDS, BYTES = "SEC", "AD"  # UN/CEFACT common codes


def completed(state: RunState) -> dict[str, Any]:
    """Return the action status for a state, as properties."""
    return {"actionStatus": COMPLETED if state is RunState.COMPLETE else FAILED}


def software(graph: CrateGraph, name: str, version: str | None) -> Ref:
    """Describe a program by name and version."""
    parts = [name, *([version] if version else [])]
    return graph.add(
        local_id("software", *parts), "SoftwareApplication", name=name, version=version, softwareVersion=version
    )


def call_name(task: str) -> str:
    """Return a task's name without the engine's prefix and shard, so that all shards name one tool."""
    return SHARD.sub("", task.removeprefix("call-")) or task


def add_tasks(graph: CrateGraph, result: Result, workflow: Ref, run: Ref, agent: Ref) -> list[Ref]:
    """Describe every task of the run; return the actions, for the root's `mentions`. Nothing without tasks."""
    engine_name, _, engine_version = result.report.engine.partition(" ")
    engine = software(graph, engine_name, engine_version or None)
    tools = {name: software(graph, name, version) for name, version in sorted(result.report.tools.items())}
    if not result.report.tasks:
        return [engine, *tools.values()]
    files = _known_files(result)
    actions, controls = [], []
    for task in sorted(result.report.tasks, key=_by_start):
        tool = _add_tool(graph, task, tools, workflow)
        step = _add_step(graph, task, tool, workflow)
        action = _add_action(graph, task, tool, agent, files)
        controls.append(
            graph.add(
                local_id("control", task.name),
                "ControlAction",
                name=f"Orchestrate {task.name}",
                instrument=step,
                object=action,
            )
        )
        actions.append(action)
    organized = graph.add(
        local_id("organize", result.run_id),
        "OrganizeAction",
        name=f"{result.report.engine} runs {result.run_id}",
        agent=agent,
        instrument=engine,
        object=controls,
        result=run,
        startTime=_time(result.report.started),
        endTime=_time(result.report.ended),
    )
    return [*actions, organized, *tools.values()]


def _by_start(task: TaskReport) -> tuple[str, str]:
    return (task.started.isoformat() if task.started else "", task.name)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)


def _known_files(result: Result) -> dict[str, ResultFile]:
    """Map the paths that the engine knew to the stored files, so that a task's output is the crate's file."""
    stored = {(f.name, f.index): f for f in result.outputs}
    known = {f.path: stored[f.output, f.index] for f in result.report.files if (f.output, f.index) in stored}
    references = [result.reference.file] if result.reference else []
    for file in (*result.inputs, *references, *result.outputs):
        known.setdefault(str(file.path), file)
    return known


def _add_tool(graph: CrateGraph, task: TaskReport, tools: dict[str, Ref], workflow: Ref) -> Ref:
    name = call_name(task.name)
    needs = [ref for tool, ref in tools.items() if task.command and _mentions(task.command, tool)]
    ref = graph.add(
        local_id("tool", name),
        "SoftwareApplication",
        name=name,
        softwareRequirements=needs,
        description=f"Task {name} of the workflow",
        version=_workflow_version(graph, workflow),
    )
    graph.link(workflow, "hasPart", ref)
    return ref


def _workflow_version(graph: CrateGraph, workflow: Ref) -> str | None:
    version: str | None = graph.entity(workflow).get("version")
    return version


def _mentions(command: str, tool: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(tool)}(?![\w-])", command) is not None


def _add_step(graph: CrateGraph, task: TaskReport, tool: Ref, workflow: Ref) -> Ref:
    name = call_name(task.name)
    position = len(graph.entity(workflow).get("step", []))
    ref = graph.add(local_id("step", name), "HowToStep", name=name, position=str(position), workExample=tool)
    graph.link(workflow, "step", ref)
    return ref


def _add_action(graph: CrateGraph, task: TaskReport, tool: Ref, agent: Ref, files: dict[str, ResultFile]) -> Ref:
    done = task.state is RunState.COMPLETE
    return graph.add(
        local_id("task", task.name),
        "CreateAction",
        name=task.name,
        description=_sentence(task),
        instrument=tool,
        agent=agent,
        startTime=_time(task.started),
        endTime=_time(task.ended),
        object=_add_values(graph, task, "input", task.inputs, tool, files),
        result=_add_values(graph, task, "output", task.outputs, tool, files),
        containerImage=_add_image(graph, task.ran_in) if _is_image(task.ran_in) else None,
        resourceUsage=_add_usage(graph, task),
        additionalProperty=_add_facts(graph, task),
        error=None if done else task.stderr_tail,
        **completed(task.state),
    )


def _sentence(task: TaskReport) -> str:
    where = f" in {task.ran_in}" if task.ran_in else ""
    taken = "; the engine took the result of an earlier run" if task.cached else ""
    return f"Task {task.name} ran{where} and ended {task.state.value}{taken}"


def _is_image(ran_in: str | None) -> bool:
    return bool(ran_in and IMAGE.search(ran_in))


def _add_image(graph: CrateGraph, ran_in: str | None) -> Ref:
    image = (ran_in or "").split()[-1].removeprefix("docker://")
    found = SHA256.search(image)
    name, _, tag = image.split("@", 1)[0].rpartition(":")
    if not name or "/" in tag:
        name, tag = image.split("@", 1)[0], ""
    first, slash, rest = name.partition("/")
    hosted = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return graph.add(
        local_id("image", image),
        "ContainerImage",
        name=rest if hosted else name,
        registry=first if hosted else "docker.io",
        tag=tag or None,
        sha256=found.group(1) if found else None,
        additionalType={"@id": RUN_TERMS + ("SIFImage" if image.endswith(".sif") else "DockerImage")},
    )


def _add_usage(graph: CrateGraph, task: TaskReport) -> list[Ref]:
    measured = (("cpu_seconds", task.cpu_seconds, SECONDS), ("peak_memory_bytes", task.peak_memory_bytes, BYTES))
    return [
        graph.value(local_id("usage", task.name, name), name, value, propertyID=name, unitCode=unit)
        for name, value, unit in measured
        if value is not None
    ]


def _add_facts(graph: CrateGraph, task: TaskReport) -> list[Ref]:
    facts = {
        "command": task.command,
        "declared container image": task.declared_image,
        "ran in": task.ran_in,
        "exit code": task.exit_code,
        "cached": task.cached,
        "cpus scheduled": task.cpus,
        "memory scheduled (bytes)": task.memory_bytes,
    }
    return [
        graph.value(local_id("fact", task.name, name), name, value)
        for name, value in facts.items()
        if value is not None
    ]


def _add_values(
    graph: CrateGraph, task: TaskReport, direction: str, values: dict[str, Any], tool: Ref, files: dict[str, ResultFile]
) -> list[Ref]:
    refs: list[Ref] = []
    for name, value in sorted(values.items()):
        for leaf, position in _leaves(value):
            ref, kind = _add_leaf(graph, task, direction, f"{name}{position}", leaf, files)
            parameter = graph.add(
                local_id("tool", call_name(task.name), direction, name),
                "FormalParameter",
                name=name,
                additionalType=kind,
            )
            graph.link(tool, direction, parameter)
            graph.link(ref, "exampleOfWork", parameter)
            refs += [ref] if ref not in refs else []
    return refs


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
    graph: CrateGraph, task: TaskReport, direction: str, name: str, leaf: Any, files: dict[str, ResultFile]
) -> tuple[Ref, str]:
    """Describe one value: a stored file as itself, a passing file as a work that was not kept, the rest as a value."""
    text = leaf if isinstance(leaf, str) else ""
    if text in files:
        return graph.add_stored(files[text]), "File"
    if text.startswith("/") or "://" in text:
        # The digest of the path ties one task's output to the next one's input without telling the machine's paths.
        ref = graph.add(
            local_id("intermediate", digest(text)[:16]),
            "CreativeWork",
            name=text.rsplit("/", 1)[-1],
            description="A file that passed between tasks and was not kept",
        )
        return ref, "File"
    return graph.value(local_id("value", task.name, direction, name), name, leaf), "Text"
