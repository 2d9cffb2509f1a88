"""The provenance crate of a result: a Workflow Run RO-Crate 0.5 whose root is the result's own folder.

Outputs are described where they lie, reads and references by their file ids with SHA-256 and size, the workflow's
definition is copied in. When the engine told about tasks it is a Provenance Run Crate, with each task's tool,
container, times, inputs and outputs. Samples are named by id, name and aliases; free attributes and subjects stay
out, because crates travel.

Follows https://w3id.org/ro/wfrun/provenance/0.5 on RO-Crate 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from labrelay.model.errors import StorageFailed
from labrelay.model.files import FileRole
from labrelay.records.crate_graph import CrateGraph, Ref, local_id, relative_to, unique
from labrelay.records.crate_origin import add_origin, add_root
from labrelay.records.crate_tasks import add_tasks, completed
from labrelay.records.crate_tools import ENVIRONMENTS, read_source
from labrelay.records.crate_values import kind_of
from labrelay.records.documents import METADATA, Document, media_type, sha256_and_size, utc_text
from labrelay.records.result import Result
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic

ONE_COMMAND = (
    "One command of a command-line tool, and no workflow of several steps: it is described as a workflow with one "
    "step, since a Workflow Run Crate is about workflows."
)
LANGUAGES = {
    "WDL": ("Workflow Description Language", "https://openwdl.org/"),
    "NEXTFLOW": ("Nextflow", "https://www.nextflow.io/"),
    "COMMAND": ("Command line of one tool, as an argument list", None),
}
COMPUTATIONAL_WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
# A definition is text; what is larger is data that somebody left beside it, and its digest is in the bundle's.
LARGEST_DEFINITION_FILE = 1 << 20
WDL_VERSION = re.compile(rb"^version[ \t]+([\w.-]+)", re.MULTILINE)


def write_crate(result: Result, folder: Path, documents: Sequence[Document] = (), licence: str | None = None) -> Path:
    """Write the crate of `result` into its folder and return the path of `ro-crate-metadata.json`, written last.

    The same result and documents give the same bytes.

    Args:
        result: What is described.
        folder: The result's folder, which becomes the crate's root; outputs below it are described in place.
        documents: Report, tables and figures that Labrelay made; they lie in `folder`.
        licence: A URL or a sentence; None says that no licence was stated.

    Raises:
        StorageFailed: A definition file or document could not be read, or the disk did not take the crate.
    """
    graph = CrateGraph(folder)
    with storage_errors("write the crate", folder):
        definition = _copy_definition(result, folder)
        _describe(graph, result, definition, documents, licence)
        path = folder / METADATA
        write_atomic(path, graph.render())
    return path


def _copy_definition(result: Result, folder: Path) -> dict[str, str]:
    """Copy the definition's files to `workflow/`; return their paths in the crate by their paths in the bundle."""
    copied: dict[str, str] = {}
    for source in sorted(result.definition.rglob("*")):
        if source.is_symlink() or not source.is_file() or source.stat().st_size > LARGEST_DEFINITION_FILE:
            continue
        inside = source.relative_to(result.definition).as_posix()
        target = folder / "workflow" / inside
        make_dirs(target.parent)
        write_atomic(target, source.read_bytes(), durable=False)
        copied[inside] = f"workflow/{inside}"
    if result.workflow.main not in copied:
        raise StorageFailed(
            f"The crate of {result.run_id} was not written: {result.definition} lacks {result.workflow.main}, the main "
            "file of the workflow; unpack the bundle again, then repeat the command."
        )
    return copied


def _describe(
    graph: CrateGraph,
    result: Result,
    definition: dict[str, str],
    documents: Sequence[Document],
    licence: str | None,
) -> None:
    workflow = _add_workflow(graph, result, definition)
    agent = graph.add(local_id("agent", result.started_by), "Person", name=result.started_by)
    inputs = [*_add_inputs(graph, result, workflow), *_add_parameters(graph, result, workflow)]
    outputs = _add_outputs(graph, result, workflow)
    run = graph.add(
        local_id("run", result.run_id),
        "CreateAction",
        name=f"Workflow run {result.run_id}, attempt {result.attempt}",
        description=f"{result.workflow_title} on {', '.join(sample.name for sample in result.samples)}",
        identifier=result.run_id,
        instrument=workflow,
        agent=agent,
        startTime=utc_text(result.started),
        endTime=utc_text(result.ended),
        object=inputs,
        result=outputs,
        error=result.report.failure,
        additionalProperty=_add_rule(graph, result),
        **completed(result.report.state),
    )
    mentions = [run, *add_origin(graph, result)]
    mentions += add_tasks(graph, result, read_source(graph, definition), workflow, run, agent)
    add_root(graph, result, workflow, mentions, licence)
    for made in documents:
        _add_document(graph, made, run)


def _add_rule(graph: CrateGraph, result: Result) -> list[Ref]:
    return [graph.value("#fact/rule", "routing rule", result.rule)] if result.rule else []


def _add_workflow(graph: CrateGraph, result: Result, definition: dict[str, str]) -> Ref:
    main = definition[result.workflow.main]
    for inside, relative in definition.items():
        if inside != result.workflow.main:
            graph.add_file(relative, *sha256_and_size(graph.folder / relative), inside)
    digest, size = sha256_and_size(graph.folder / main)
    types = ["File", "SoftwareSourceCode", "ComputationalWorkflow", *(["HowTo"] if result.report.tasks else [])]
    return graph.add_data(
        quote(main),
        types,
        name=result.workflow_title,
        alternateName=result.workflow.name,
        identifier=f"{result.workflow.name} {result.workflow.version} ({result.workflow.digest})",
        version=result.workflow.version,
        description=ONE_COMMAND if result.workflow.language.upper() == "COMMAND" else None,
        programmingLanguage=_add_language(graph, result.workflow.language, (graph.folder / main).read_bytes()),
        encodingFormat=media_type(main),
        conformsTo={"@id": COMPUTATIONAL_WORKFLOW},
        buildInstructions=graph.files(sorted(definition[name] for name in ENVIRONMENTS & definition.keys())),
        sha256=digest,
        contentSize=str(size),
    )


def _add_language(graph: CrateGraph, language: str, source: bytes) -> Ref:
    name, url = LANGUAGES.get(language.upper(), (language, None))
    found = WDL_VERSION.search(source) if language.upper() == "WDL" else None
    version = found.group(1).decode() if found else None
    return graph.add(
        local_id("language", language.lower(), *([version] if version else [])),
        "ComputerLanguage",
        name=name,
        alternateName=language,
        version=version,
        url=url and {"@id": url},
        identifier=url and {"@id": url},
    )


def _add_inputs(graph: CrateGraph, result: Result, workflow: Ref) -> list[Ref]:
    files = [*result.inputs, *([result.reference.file] if result.reference else [])]
    refs = []
    for item in sorted(files, key=lambda f: (f.name, f.index)):
        file = graph.add_stored(item)
        _connect(graph, workflow, "input", item.name, file, "File")
        if item.role is FileRole.REFERENCE and result.reference is not None:
            graph.entity(file).setdefault("description", f"Reference {result.reference.name} ({result.reference.id})")
        refs.append(file)
    return unique(refs)


def _add_outputs(graph: CrateGraph, result: Result, workflow: Ref) -> list[Ref]:
    refs = []
    for item in sorted(result.outputs, key=lambda f: (f.name, f.index)):
        file = graph.add_stored(item)
        _connect(graph, workflow, "output", item.name, file, "File")
        refs.append(file)
    for name, value in sorted(result.report.values.items()):
        if value is not None:
            ref = graph.value(local_id("output-value", name), name, value)
            _connect(graph, workflow, "output", name, ref, kind_of(value))
            refs.append(ref)
    return unique(refs)


def _add_parameters(graph: CrateGraph, result: Result, workflow: Ref) -> list[Ref]:
    refs = []
    for name, value in sorted(result.parameters.items()):
        if value is not None:
            ref = graph.value(local_id("parameter", name), name, value)
            _connect(graph, workflow, "input", name, ref, kind_of(value))
            refs.append(ref)
    return refs


def _connect(graph: CrateGraph, workflow: Ref, direction: str, name: str, example: Ref, kind: str) -> None:
    """Declare the workflow's formal parameter `name` and tie what was used or made to it, both ways."""
    parameter = graph.parameter(local_id(direction, name), name, kind)
    graph.link(parameter, "workExample", example)
    graph.link(example, "exampleOfWork", parameter)
    graph.link(workflow, direction, parameter)


def _add_document(graph: CrateGraph, made: Document, run: Ref) -> None:
    relative = relative_to(made.path, graph.folder)
    if relative is None:
        raise StorageFailed(
            f"The crate was not written: {made.path} lies outside the result's folder {graph.folder}; "
            "write it there first."
        )
    digest, size = sha256_and_size(made.path)
    graph.add_file(relative, digest, size, made.title, encodingFormat=made.media_type, about=run)
