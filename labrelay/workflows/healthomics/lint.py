"""What HealthOmics asks of a workflow beyond what WDL does, found before anything is published or paid for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, Severity
from labrelay.workflows.bundle import bundle_files
from labrelay.workflows.definition import COMMAND, FILE_NAME, NEXTFLOW, Definition, load
from labrelay.workflows.document import at, load_document
from labrelay.workflows.healthomics.pricing import smallest_instance
from labrelay.workflows.lint import all_tasks, lint
from labrelay.workflows.shapes import files_in

URI = re.compile(r"(s3|omics)://[^/\s]+/\S", re.IGNORECASE)
FETCHES = re.compile(
    r"\b(?:curl|wget|git\s+clone|aws\s+s3|gsutil|pip3?\s+install|conda\s+install|mamba\s+install"
    r"|apt(?:-get)?\s+install|docker\s+(?:pull|run))\b"
)
CONTAINER = re.compile(rb"\bcontainer\b")
MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[KMGT]i?)?B?)", re.IGNORECASE)
UNITS = {"": 1, "B": 1} | {
    f"{letter}{i}": base**power for power, letter in enumerate("KMGT", start=1) for i, base in (("", 1000), ("i", 1024))
}
WDL_VERSIONS = ("1.0", "1.1", "development")
NEEDED = ("cpu", "memory")
SAID_HERE = {"TASK_WITHOUT_CONTAINER", "TASK_WITHOUT_RESOURCES"}  # findings that are said here with what follows


def lint_for_healthomics(folder: Path) -> list[Problem]:
    """Return all findings about the definition in `folder`: those of `labrelay.workflows.lint` and HealthOmics' own."""
    found = [problem for problem in lint(folder) if problem.code not in SAID_HERE]
    try:
        definition = load(folder)
        if definition.ready2run is not None:
            return found
        if definition.language == NEXTFLOW:
            return [*found, *lint_pipeline(definition)]
        if definition.language == COMMAND:
            return [*found, no_command()]
        document = load_document(folder, definition.main)
    except RefusedInput:
        return found
    found += lint_document(document, folder.resolve())
    return sorted(found, key=lambda problem: (problem.severity.value, problem.path or "", problem.line or 0))


def lint_document(document: Any, root: Path) -> Iterator[Problem]:
    """Yield the findings about a loaded document: version, and image, cpu, memory and command of each task.

    Imports from outside the bundle are refused when it is loaded.
    """
    version = document.wdl_version
    if version not in WDL_VERSIONS:
        message = f"HealthOmics runs WDL {', '.join(WDL_VERSIONS)}, and this is {version}"
        yield at(document.pos, root, "HEALTHOMICS_WDL_VERSION", message)
    for task in all_tasks(document, set()):
        yield from _task(task, root)


def lint_pipeline(definition: Definition) -> Iterator[Problem]:
    """Yield what HealthOmics asks of a Nextflow pipeline beyond what `labrelay.workflows.lint` finds."""
    spec = definition.nextflow
    if spec.profile or spec.config:
        what = "profiles" if spec.profile else "configuration files beside nextflow.config"
        message = f"[nextflow]: HealthOmics takes no {what}; write what they say into nextflow.config."
        yield Problem(code="HEALTHOMICS_NO_PROFILE", message=message, path=FILE_NAME)
    if spec.outdir is None:
        message = (
            "[nextflow] outdir: name the parameter below which the processes publish; HealthOmics keeps only what "
            "comes to lie below /mnt/workflow/pubdir."
        )
        yield Problem(code="HEALTHOMICS_NO_OUTDIR", message=message, path=FILE_NAME, severity=Severity.WARNING)
    texts = (path for name, path in bundle_files(definition.folder) if name.suffix in (".nf", ".config"))
    if not any(CONTAINER.search(path.read_bytes()) for path in texts):
        message = "No process names a container; HealthOmics runs nothing without one."
        yield Problem(code="HEALTHOMICS_NO_IMAGE", message=message, path=definition.main)


def no_command() -> Problem:
    """Return the one thing that HealthOmics says to a definition that is a command."""
    message = "HealthOmics runs WDL and Nextflow, and this is a command; run it on a home with the profile local."
    return Problem(code="HEALTHOMICS_NO_COMMAND", message=message, path=FILE_NAME)


def _task(task: Any, root: Path) -> Iterator[Problem]:
    if not {"container", "docker"} & set(task.runtime):
        message = f"the task {task.name} names no container; HealthOmics runs nothing without one"
        yield at(task.pos, root, "HEALTHOMICS_NO_IMAGE", message)
    cpus, memory = _literal(task.runtime.get("cpu")), _literal(task.runtime.get("memory"))
    if smallest_instance(_cpus(cpus), _gib(memory)) is None:
        message = (
            f"the task {task.name} asks for {_cpus(cpus):g} cpus and {_gib(memory):g} GiB of memory, and HealthOmics "
            "has no instance with both"
        )
        yield at(task.pos, root, "HEALTHOMICS_TOO_LARGE", message)
    missing = [key for key in NEEDED if key not in task.runtime]
    if missing:
        message = (
            f"the task {task.name} does not say its {' and '.join(missing)}; HealthOmics gives 1 vCPU and 1 GiB "
            "when nothing is said, and ends what takes more"
        )
        yield at(task.pos, root, "HEALTHOMICS_NO_RESOURCES", message, severity=Severity.WARNING)
    text = "".join(part if isinstance(part, str) else " " for part in task.command.parts)
    fetch = next((found[0] for line in text.splitlines() if (found := FETCHES.search(_code(line)))), None)
    if fetch:
        message = (
            f"the task {task.name} calls `{' '.join(fetch.split())}`; tasks reach S3 and ECR of their own Region only, "
            "so make files inputs and programs part of the image"
        )
        yield at(task.pos, root, "HEALTHOMICS_NETWORK", message, severity=Severity.WARNING)


def _literal(expression: Any) -> Any:
    """Return the value that stands in the text, None where it is computed or nothing is said."""
    literal = getattr(expression, "literal", None)
    return None if literal is None else literal.value


def _cpus(said: Any) -> float:
    try:
        return float(said)
    except (TypeError, ValueError):
        return 1.0


def _gib(said: Any) -> float:
    """Return the GiB of a `memory` such as `16 GiB` or a number of bytes; 1 where it says none."""
    size = MEMORY.fullmatch(str(said).strip())
    if size is None:
        return 1.0
    return float(size[1]) * float(UNITS[size[2][:1].upper() + ("i" if "i" in size[2].lower() else "")]) / 1024**3


def _code(line: str) -> str:
    return "" if line.lstrip().startswith("#") else line


def input_problems(schema: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Problem]:
    """Return which files among a run's inputs HealthOmics cannot read: all that are not `s3://` or `omics://`.

    Args:
        schema: Of the inputs, from `labrelay.workflows.schema`.
        inputs: Qualified names and values.
    """
    shapes = schema.get("properties", {})
    return [
        Problem(
            code="HEALTHOMICS_INPUT_NOT_A_URI",
            message=f"{where} is {value}, and HealthOmics reads s3:// and omics:// only: copy it to S3 first.",
        )
        for name, given in inputs.items()
        for where, _shape, value in files_in(name, shapes.get(name, {}), given)
        if not URI.match(value)
    ]
