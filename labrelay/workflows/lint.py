"""Everything that is wrong or doubtful with a definition, found before anything runs: errors apart from warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from WDL import Lint

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, Severity
from labrelay.workflows.bundle import name_problems
from labrelay.workflows.command.checks import lint_command
from labrelay.workflows.definition import COMMAND, FILE_NAME, NEXTFLOW, Definition, InputSource, load
from labrelay.workflows.document import at, load_document
from labrelay.workflows.nextflow.lint import lint_pipeline
from labrelay.workflows.schema import FILE, FOLDER, input_schema, type_schema

# What miniwdl finds doubtful and we pass on; the rest is taste.
PASSED_ON = {
    "FileCoercion",
    "IncompleteCall",
    "NameCollision",
    "ImportNewerWDL",
    "UnusedImport",
    "UnusedDeclaration",
    "UnusedCall",
    "MissingVersion",
    "UnboundDeclaration",
    "Deprecated",
    "UnexpectedRuntimeValue",
}
NEEDED_IN_THE_CLOUD = ("cpu", "memory")


def lint(folder: Path) -> list[Problem]:
    """Return all findings about the definition in `folder`; `errors_of` picks those that refuse it."""
    try:
        definition = load(folder)
        if definition.ready2run is not None:
            return name_problems(folder)
        if definition.language == NEXTFLOW:
            return _sorted([*name_problems(folder), *lint_pipeline(definition)])
        if definition.language == COMMAND:
            return _sorted([*name_problems(folder), *lint_command(definition)])
        document = load_document(folder, definition.main)
    except RefusedInput as refused:
        return list(refused.problems)
    root = folder.resolve()
    found = [*name_problems(folder), *_workflow(document, definition, root), *_mapping(document, definition)]
    found += [*_tasks(document, root), *_miniwdl(document, root)]
    return _sorted(found)


def _sorted(found: list[Problem]) -> list[Problem]:
    return sorted(found, key=lambda problem: (problem.severity.value, problem.path or "", problem.line or 0))


def _workflow(document: Any, definition: Definition, root: Path) -> Iterator[Problem]:
    workflow = document.workflow
    if workflow.name != definition.workflow:
        message = f"workflow: it says {definition.workflow}, but the workflow in {definition.main} is {workflow.name}."
        yield Problem(code="DEFINITION_WRONG_WORKFLOW", message=message, path=FILE_NAME)
    if not list(workflow.effective_outputs):
        message = f"the workflow {workflow.name} has no outputs, so that nothing of a run would be kept"
        yield at(workflow.pos, root, "WDL_WITHOUT_OUTPUTS", message)


def _mapping(document: Any, definition: Definition) -> Iterator[Problem]:
    """Compare the names in definition.toml with those in the workflow."""
    prefix = f"{document.workflow.name}."
    shapes = {k.removeprefix(prefix): v for k, v in input_schema(document)["properties"].items()}
    outputs = {binding.name: type_schema(binding.value) for binding in document.workflow.effective_outputs}
    for name, spec in definition.inputs.items():
        if name not in shapes:
            yield _wrong("INPUT_UNKNOWN", f"inputs.{name}: the workflow has no such input", shapes)
        elif (wrong := _wrong_type(spec.source, shapes[name])) is not None:
            yield Problem(code="INPUT_WRONG_TYPE", message=f"inputs.{name}: {wrong}", path=FILE_NAME)
    for name in definition.outputs:
        if name not in outputs:
            yield _wrong("OUTPUT_UNKNOWN", f"outputs.{name}: the workflow has no such output", outputs)
    qc = {name for name, spec in definition.outputs.items() if spec.qc}
    for name in sorted(qc & set(outputs)):
        if FILE not in (outputs[name].get("format"), outputs[name].get("items", {}).get("format")):
            yield _wrong("OUTPUT_UNKNOWN", f"outputs.{name}.qc: it is no output of type File or Array[File]", outputs)
    users = [(f"metrics.{name}", spec.output) for name, spec in definition.metrics.items() if spec.output not in qc]
    users += [(f"tables.{name}", table.output) for name, table in definition.tables.items()]
    users += [(f"figures.{name}", figure.output) for name, figure in definition.figures.items()]
    for user, output in users:
        if outputs.get(output, {}).get("format") != FILE:
            yield _wrong("OUTPUT_UNKNOWN", f"{user}: {output} is no output of type File", outputs)


def _wrong_type(source: InputSource, shape: Mapping[str, Any]) -> str | None:
    """Return why an input cannot take what its source gives, or None."""
    if source in (InputSource.READS_R1, InputSource.READS_R2) and shape.get("type") != "array":
        return "reads are one file a lane, so the workflow has to take an Array[File]."
    if not _takes_folders(source, shape):
        kinds = "is a Directory, of several an Array[Directory], which WDL has in `version development`."
        return f"{source.value} {kinds}"
    return None


def _takes_folders(source: InputSource, shape: Mapping[str, Any]) -> bool:
    """Tell whether an input that gets a folder, or several, is of such a type; any other input is."""
    if source not in (InputSource.IMAGES_FOLDER, InputSource.IMAGES_FOLDERS):
        return True
    shape = shape.get("anyOf", [shape])[0]
    if source is InputSource.IMAGES_FOLDERS:
        shape = shape.get("items") or {}
    return bool(shape.get("format") == FOLDER)


def _tasks(document: Any, root: Path) -> Iterator[Problem]:
    for task in all_tasks(document, set()):
        if not {"container", "docker"} & set(task.runtime):
            message = f"the task {task.name} names no container, so it runs only where its programs are installed"
            yield at(task.pos, root, "TASK_WITHOUT_CONTAINER", message, severity=Severity.WARNING)
        missing = [key for key in NEEDED_IN_THE_CLOUD if key not in task.runtime]
        if missing:
            message = f"the task {task.name} does not say how much {' and '.join(missing)} it needs"
            yield at(task.pos, root, "TASK_WITHOUT_RESOURCES", message, severity=Severity.WARNING)


def all_tasks(document: Any, seen: set[str]) -> Iterator[Any]:
    """Yield the tasks of a document and of its imports, each file's once; `seen` holds the paths that are done."""
    if document.pos.abspath in seen:
        return
    seen.add(document.pos.abspath)
    yield from document.tasks
    for imported in document.imports:
        yield from all_tasks(imported.doc, seen)


def _miniwdl(document: Any, root: Path) -> Iterator[Problem]:
    # The checker of shell scripts is slow and its findings are not about the workflow.
    Lint._shellcheck_available = False
    for position, kind, message, suppressed, *_ in Lint.collect(Lint.lint(document)):
        # `requirements` is newer than what HealthOmics runs, where folders are inputs.
        if kind in PASSED_ON and not suppressed and "instead of runtime section" not in message:
            yield at(position, root, "WDL_DOUBTFUL", message, severity=Severity.WARNING)


def _wrong(code: str, what: str, known: dict[str, Any]) -> Problem:
    return Problem(code=code, message=f"{what}; there are {', '.join(sorted(known)) or 'none'}.", path=FILE_NAME)
