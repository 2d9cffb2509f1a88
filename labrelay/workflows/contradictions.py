"""What a definition says that cannot be true together, or not of the folder that it lies in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labrelay.model.names import is_safe_name, safe_relative
from labrelay.model.problem import Problem
from labrelay.workflows.specs import FILE_NAME, NEXTFLOW, PARAMETER_NAME, READY2RUN, InputSource, NextflowSpec

if TYPE_CHECKING:
    from labrelay.workflows.definition import Definition

WDL_NAME = r"[A-Za-z]\w*(\.[A-Za-z]\w*)*"


def contradictions(definition: Definition) -> Iterator[Problem]:
    """Yield every contradiction of a definition whose tables are well formed each by itself."""
    if not _safe(definition.main):
        yield _problem("DEFINITION_WITHOUT_MAIN", f"main: {definition.main} is not a safe path inside the folder.")
    elif not (definition.folder / definition.main).is_file():
        yield _problem("DEFINITION_WITHOUT_MAIN", f"main: there is no file {definition.main} in the folder.")
    yield from _language(definition)
    yield from _types(definition)
    yield from _nextflow(definition) if definition.language == NEXTFLOW else _not_nextflow(definition)
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
    elif (definition.language == NEXTFLOW) != definition.main.endswith(".nf"):
        message = (
            f"language: {definition.language} does not fit {definition.main}; leave it out, the main file says it."
        )
        yield _problem("DEFINITION_INVALID", message)


def _types(definition: Definition) -> Iterator[Problem]:
    for name, spec in definition.inputs.items():
        if definition.language == "WDL" and spec.type is not None:
            yield _problem("DEFINITION_INVALID", f"inputs.{name}.type: the WDL says its type.")
        elif definition.language == READY2RUN and spec.type is None:
            why = "a Ready2Run workflow needs the type of every input"
            yield _problem("DEFINITION_INVALID", f"inputs.{name}.type: {why}.")


def _nextflow(definition: Definition) -> Iterator[Problem]:
    for file in definition.nextflow.config:
        if not _safe(file):
            yield _problem("DEFINITION_INVALID", f"nextflow.config: {file} is not a safe path inside the folder.")
        elif not (definition.folder / file).is_file():
            yield _problem("NEXTFLOW_WITHOUT_CONFIG", f"nextflow.config: there is no file {file} in the folder.")
    for name, output in definition.outputs.items():
        if output.path is None:
            message = f'outputs.{name}.path: say which published files these are, such as path = "calls/*.vcf.gz".'
            yield _problem("OUTPUT_WITHOUT_PATH", message)
        elif safe_relative(output.path) is None:
            message = f"outputs.{name}.path: {output.path} is no pattern inside the publish folder."
            yield _problem("DEFINITION_INVALID", message)
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
    for name, output in definition.outputs.items():
        if output.path is not None:
            yield _problem("DEFINITION_INVALID", f"outputs.{name}.path: only Nextflow needs it; leave it out.")


def _safe(path: str) -> bool:
    found = safe_relative(path)
    return found is not None and all(is_safe_name(part) for part in found.parts)


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message, path=FILE_NAME)
