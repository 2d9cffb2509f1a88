"""The part of the crate that tells about tasks: who orchestrated, which tool ran in which container, on what, how long.

What ran is told apart from what was asked: a `containerImage` stands on an action only when an image really ran it;
the image that the definition declares, and a sandbox or host process in its place, are named beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from labrelay.model.runs import TaskReport
from labrelay.model.states import RunState
from labrelay.records.crate_graph import CrateGraph, Ref, local_id, unique
from labrelay.records.crate_tools import Source, add_image, add_step, add_tool, image_of, software
from labrelay.records.crate_values import add_connections, add_values, known_files
from labrelay.records.documents import utc_text
from labrelay.records.result import Result, ResultFile

COMPLETED = {"@id": "http://schema.org/CompletedActionStatus"}
FAILED = {"@id": "http://schema.org/FailedActionStatus"}
SECONDS, BYTES = "SEC", "AD"  # UN/CEFACT common codes


def completed(state: RunState) -> dict[str, Any]:
    """Return the action status for a state, as properties."""
    return {"actionStatus": COMPLETED if state is RunState.COMPLETE else FAILED}


def add_tasks(graph: CrateGraph, result: Result, source: Source, workflow: Ref, run: Ref, agent: Ref) -> list[Ref]:
    """Describe every task of the run; return the actions, for the root's `mentions`. Nothing without tasks."""
    engine_name, _, engine_version = result.report.engine.partition(" ")
    engine = software(graph, engine_name, engine_version or None)
    tools = {name: software(graph, name, version) for name, version in sorted(result.report.tools.items())}
    if not result.report.tasks:
        return [engine, *tools.values()]
    files = known_files(result)
    actions, controls, images = [], [], []
    for task in sorted(result.report.tasks, key=_by_start):
        tool = add_tool(graph, task, tools, source, workflow)
        step = add_step(graph, task, tool, source, workflow)
        image = image_of(task)
        images += [add_image(graph, image)] if image else []
        action = _add_action(graph, task, tool, agent, files, images[-1] if image else None)
        controls.append(_add_control(graph, task, step, action))
        actions.append(action)
    add_connections(graph, workflow)
    if images:
        graph.entity(run)["containerImage"] = unique(images)
    organized = _add_engine(graph, result, engine, agent, controls, run)
    graph.entity(organized).update(_configured(graph, source))
    return [*actions, organized, *tools.values()]


def _by_start(task: TaskReport) -> tuple[str, str]:
    return (task.started.isoformat() if task.started else "", task.name)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)


def _add_control(graph: CrateGraph, task: TaskReport, step: Ref, action: Ref) -> Ref:
    """Describe that the engine ran the task for the step."""
    return graph.add(
        local_id("control", task.name),
        "ControlAction",
        name=f"Orchestrate {task.name}",
        instrument=step,
        object=action,
    )


def _configured(graph: CrateGraph, source: Source) -> dict[str, list[Ref]]:
    """Name the configuration by schema.org's sub-property of `object`.

    The profile wants it as `object`; its validator (0.13) takes nothing but ControlActions there.
    """
    return {"actionOption": graph.files(source.configurations)} if source.configurations else {}


def _add_engine(graph: CrateGraph, result: Result, engine: Ref, agent: Ref, controls: Sequence[Ref], run: Ref) -> Ref:
    return graph.add(
        local_id("organize", result.run_id),
        "OrganizeAction",
        name=f"{result.report.engine} runs {result.run_id}",
        description=f"Tasks are held by {result.report.sandbox}" if result.report.sandbox else None,
        agent=agent,
        instrument=engine,
        object=list(controls),
        result=run,
        startTime=_time(result.report.started),
        endTime=_time(result.report.ended),
    )


def _add_action(
    graph: CrateGraph, task: TaskReport, tool: Ref, agent: Ref, files: dict[str, ResultFile], image: Ref | None
) -> Ref:
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
        object=add_values(graph, task, "input", tool, files),
        result=add_values(graph, task, "output", tool, files),
        containerImage=image,
        resourceUsage=_add_usage(graph, task),
        additionalProperty=_add_facts(graph, task),
        error=None if done else task.stderr_tail,
        **completed(task.state),
    )


def _sentence(task: TaskReport) -> str:
    where = f" in {task.ran_in}" if task.ran_in else ""
    taken = "; the engine took the result of an earlier run" if task.cached else ""
    return f"Task {task.name} ran{where} and ended {task.state.value}{taken}"


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
        "machine": task.instance_type,
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
