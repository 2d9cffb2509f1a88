"""What a definition says that cannot be true together, or not of the folder that it lies in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labrelay.model.names import is_safe_path
from labrelay.model.problem import Problem
from labrelay.workflows.command.checks import command_contradictions
from labrelay.workflows.output_paths import path_problems
from labrelay.workflows.specs import (
    COMMAND,
    FILE_NAME,
    NEXTFLOW,
    PARAMETER_NAME,
    READY2RUN,
    InputSource,
    NextflowSpec,
    ResourcesSpec,
)

if TYPE_CHECKING:
    from labrelay.workflows.definition import Definition

WDL_NAME = r"[A-Za-z]\w*(\.[A-Za-z]\w*)*"


def contradictions(definition: Definition) -> Iterator[Problem]:
    """Yield every contradiction of a definition whose tables are well formed each by itself."""
    if not is_safe_path(definition.main):
        yield _problem("DEFINITION_WITHOUT_MAIN", f"main: {definition.main} is not a safe path inside the folder.")
    elif not (definition.folder / definition.main).is_file():
        yield _problem("DEFINITION_WITHOUT_MAIN", f"main: there is no file {definition.main} in the folder.")
    yield from _language(definition)
    yield from _types(definition)
    yield from _nextflow(definition) if definition.language == NEXTFLOW else _not_nextflow(definition)
    yield from command_contradictions(definition) if definition.language == COMMAND else _no_command(definition)
    for name in definition.thresholds:
        if name not in definition.metrics:
            yield _problem("THRESHOLD_WITHOUT_METRIC", f"thresholds.{name}: there is no [metrics.{name}] to judge.")
    for kind in ("inputs", "outputs", "metrics"):
        pattern = PARAMETER_NAME if (definition.language, kind) == (NEXTFLOW, "inputs") else WDL_NAME
        for name in getattr(definition, kind):
            if not re.fullmatch(pattern, name):
                yield _problem("DEFINITION_INVALID", f"{kind}.{name}: this is no name that a workflow can have.")


def _language(definition: Definition) -> Iterator[Problem]:
    if (definition.language == READY2RUN) != (definition.ready2run is not None):
        yield _problem("DEFINITION_INVALID", "language: say `ready2run` with the workflow's id in place of this.")
    elif definition.language == COMMAND and not definition.command:
        yield _problem("DEFINITION_INVALID", "command: say the program and its arguments, as a list.")
    elif (definition.language == NEXTFLOW) != definition.main.endswith(".nf"):
        message = (
            f"language: {definition.language} does not fit {definition.main}; leave it out, the main file says it."
        )
        yield _problem("DEFINITION_INVALID", message)


def _types(definition: Definition) -> Iterator[Problem]:
    for name, spec in definition.inputs.items():
        if definition.language == "WDL" and spec.type is not None:
            yield _problem("DEFINITION_INVALID", f"inputs.{name}.type: the WDL says its type.")
        elif definition.language in (READY2RUN, COMMAND) and spec.type is None:
            who = "a command" if definition.language == COMMAND else "a Ready2Run workflow"
            why = f"{who} needs the type of every input"
            yield _problem("DEFINITION_INVALID", f"inputs.{name}.type: {why}.")


def _nextflow(definition: Definition) -> Iterator[Problem]:
    for file in definition.nextflow.config:
        if not is_safe_path(file):
            yield _problem("DEFINITION_INVALID", f"nextflow.config: {file} is not a safe path inside the folder.")
        elif not (definition.folder / file).is_file():
            yield _problem("NEXTFLOW_WITHOUT_CONFIG", f"nextflow.config: there is no file {file} in the folder.")
    yield from path_problems(definition.outputs, "published files", "calls/*.vcf.gz", "publish folder")
    outdir, sheet = definition.nextflow.outdir, definition.samplesheet
    if outdir in definition.inputs:
        message = f"inputs.{outdir}: this parameter is set to the publish folder, so it is no input; leave it out."
        yield _problem("DEFINITION_INVALID", message)
    if sheet is not None and sheet.parameter == outdir:
        yield _problem("DEFINITION_INVALID", f"samplesheet.parameter: {outdir} is set to the publish folder.")
    taken = definition.inputs.get(sheet.parameter) if sheet is not None else None
    if taken is not None and (taken.source is not InputSource.PARAMETER or taken.default is not None):
        message = f"inputs.{sheet.parameter if sheet else ''}: its value is the sample sheet; leave this table out."
        yield _problem("DEFINITION_INVALID", message)


def _not_nextflow(definition: Definition) -> Iterator[Problem]:
    if definition.nextflow != NextflowSpec():
        yield _problem("DEFINITION_INVALID", "nextflow: this table is for a main file that ends with .nf.")
    if definition.samplesheet is not None:
        yield _problem("DEFINITION_INVALID", "samplesheet: this table is for a main file that ends with .nf.")


def _no_command(definition: Definition) -> Iterator[Problem]:
    told = {"command": definition.command, "stdout": definition.stdout, "image": definition.image}
    keys = [key for key, value in told.items() if value]
    ready = definition.language == READY2RUN and definition.resources != ResourcesSpec()
    for key in [*keys, *(["resources"] if ready else [])]:
        message = f"{key}: this is for a definition that is a command; the {definition.language} says such things."
        yield _problem("DEFINITION_INVALID", message)
    for name, output in definition.outputs.items():
        if output.path is not None and definition.language != NEXTFLOW:
            message = f"outputs.{name}.path: only Nextflow and commands need it; leave it out."
            yield _problem("DEFINITION_INVALID", message)
        if output.optional:
            yield _problem("DEFINITION_INVALID", f"outputs.{name}.optional: only commands have it; leave it out.")


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message, path=FILE_NAME)
