"""What a definition is found to be when it is looked at: its engine, its main file, its parameters, or what is wrong.

The archive comes from outside and is taken as hostile: it is unpacked by the rules of `workflows.bundle`, and a WDL
definition reads no file but its own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.names import printable, safe_relative
from labrelay.model.problem import Problem
from labrelay.workflows.bundle import unpack_bundle
from labrelay.workflows.document import load_document
from labrelay.workflows.schema import input_schema

SUFFIXES = {".wdl": "WDL", ".nf": "NEXTFLOW", ".cwl": "CWL"}
WDL_ENGINES = ("WDL", "WDL_LENIENT")
USUAL_MAIN = ("main.wdl", "main.nf", "main.cwl")
COLUMN = re.compile(r"Column (\d+): (.*)", re.DOTALL)
MESSAGE_CHARS = 2_000
MAX_DESCRIPTION = 256
NEXTFLOW_SCHEMA = "nextflow_schema.json"

Template = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Checked:
    """A definition that can be run, or at least kept.

    Attributes:
        engine: `WDL`, `WDL_LENIENT`, `NEXTFLOW` or `CWL`.
        main: The main file, relative to the archive.
        template: The parameters as `parameterTemplate` says them.
        schema: JSON Schema of the inputs, of WDL only.
        workflow: The name of the WDL workflow, which may stand before a parameter's name.
        cpus: What the largest task asks for, where it says a number.
    """

    engine: str
    main: str
    template: Template = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    workflow: str = ""
    cpus: int = 1


def check_definition(archive: Path, folder: Path, engine: str | None, main: str | None) -> Checked:
    """Unpack a definition into `folder`, unless that was done before, and look at it.

    Args:
        archive: The zip.
        folder: Its files are there afterwards.
        engine, main: As the caller said, or None to find out.

    Raises:
        RefusedInput: It cannot be run; `status_message` makes the service's words of it.
        StorageFailed: The disk did not give or take it.
    """
    if not folder.is_dir():
        unpack_bundle(archive, folder)
    chosen = _main_file(folder, engine, main)
    found = engine or SUFFIXES.get(Path(chosen).suffix)
    if found is None:
        raise _refused(f"The engine of {chosen} is not clear from its name; name the engine.", chosen)
    if found not in WDL_ENGINES:
        return Checked(found, chosen, _nextflow_template(folder) if found == "NEXTFLOW" else {})
    document = load_document(folder, chosen)
    schema = input_schema(document)
    name, cpus = str(document.workflow.name), max((1, *_cpus(document, set())))
    return Checked(found, chosen, infer_template(schema), schema, name, cpus)


def infer_template(schema: Mapping[str, Any]) -> Template:
    """Return the parameter template of a WDL workflow: its own inputs; nullable and defaulted ones are optional."""
    prefix, required = f"{schema['title']}.", set(schema["required"])
    template: Template = {}
    for qualified, shape in schema["properties"].items():
        name = qualified.removeprefix(prefix)
        if "." not in name:
            description = shape.get("description")
            words = {"description": printable(description, MAX_DESCRIPTION)} if description else {}
            template[name] = {**words, "optional": qualified not in required}
    return template


def status_message(refused: RefusedInput) -> str:
    """Return what a workflow's `statusMessage` says, in the words of miniwdl's checker: `(file Ln 3 Col 7) why`."""
    lines = []
    for problem in refused.problems:
        match = COLUMN.fullmatch(problem.message)
        if match and problem.path and problem.line:
            lines.append(f"({problem.path} Ln {problem.line} Col {match[1]}) {match[2]}")
        else:
            lines.append(f"({problem.path}) {problem.message}" if problem.path else problem.message)
    return printable(" ".join(lines), MESSAGE_CHARS)


def _main_file(folder: Path, engine: str | None, main: str | None) -> str:
    if main is not None:
        relative = safe_relative(main)
        if relative is None or not (folder / relative).is_file():
            raise _refused(f"The main file {main} is not in the definition.", None)
        return str(relative)
    family = "WDL" if engine in WDL_ENGINES else engine
    found = [path.name for path in sorted(folder.iterdir()) if _fits(path, family)]
    usual = [name for name in USUAL_MAIN if name in found]
    if not usual and len(found) != 1:
        there = f"there are {', '.join(found)}" if found else "there is none at its top"
        raise _refused(f"The definition has no main file: {there}; name the main file.", None)
    return (usual or found)[0]


def _fits(path: Path, family: str | None) -> bool:
    language = SUFFIXES.get(path.suffix)
    return path.is_file() and language is not None and family in (None, language)


def _cpus(document: Any, seen: set[str]) -> Iterator[int]:
    """Yield the numbers of processors that the tasks of a document and its imports ask for."""
    if document.pos.abspath in seen:
        return
    seen.add(document.pos.abspath)
    for task in document.tasks:
        literal = getattr(task.runtime.get("cpu"), "literal", None)
        if literal is not None and isinstance(literal.value, int | float):
            yield math.ceil(literal.value)
    for imported in document.imports:
        yield from _cpus(imported.doc, seen)


def _nextflow_template(folder: Path) -> Template:
    """Return the parameters that `nextflow_schema.json` names; without it nothing is known of them."""
    try:
        schema = json.loads((folder / NEXTFLOW_SCHEMA).read_bytes())
        groups = [*(schema.get("$defs") or schema.get("definitions") or {}).values(), schema]
        template: Template = {}
        for group in groups:
            required = group.get("required", ())
            for name, shape in group.get("properties", {}).items():
                words = printable(str(shape.get("description", "")), MAX_DESCRIPTION)
                template[name] = {**({"description": words} if words else {}), "optional": name not in required}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
    return template


def _refused(message: str, path: str | None) -> RefusedInput:
    return RefusedInput("The definition", [Problem(code="DEFINITION_REFUSED", message=message, path=path)])
