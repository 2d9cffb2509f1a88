"""From samples, reads, a reference and parameters to the inputs that a workflow wants, by the definition's mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.runs import Parameters
from labrelay.workflows.definition import COMMAND, NEXTFLOW, Definition, InputSource, InputSpec, SamplesheetSpec


class SampleInputs(Frozen):
    """One sample as a workflow sees it; all are paths or URIs.

    Attributes:
        r1, r2: One a lane, in the same order.
        paths: Of its images, spectra or measurements.
        wells, fields, channels, planes, times: Where each image belongs, as text, empty where that is not known.
        folders: Of its images, spectra or measurements, one an instrument run.
        table: Of the images in these folders.
    """

    name: str
    id: str
    r1: tuple[str, ...] = ()
    r2: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    wells: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    table: str | None = None

    @property
    def folder(self) -> str | None:
        """The one folder, None where there are several."""
        return self.folders[0] if len(self.folders) == 1 else None


class ReferenceInputs(Frozen):
    """A reference as a workflow sees it: paths or URIs."""

    fasta: str
    fai: str
    annotation: str | None = None


def compose_inputs(
    definition: Definition,
    samples: Sequence[SampleInputs],
    reference: ReferenceInputs | None,
    parameters: Mapping[str, Any],
) -> Parameters:
    """Return the engine's inputs, with qualified names.

    A definition of scope `cohort` gets a list over samples where one of scope `sample` gets a value. A sample sheet is
    `{"samplesheet": [row, …]}` under its parameter, for the engine to write; a cell that has nothing is None.

    Args:
        definition: Its mapping says where each input comes from.
        samples: One for scope `sample`, at least one for `cohort`.
        reference: Needed if an input wants it.
        parameters: The user's, by unqualified or qualified name.

    Raises:
        RefusedInput: With everything that is missing or not known.
    """
    problems: list[Problem] = []
    if not samples or (definition.scope == "sample" and len(samples) != 1):
        count = "exactly one sample" if definition.scope == "sample" else "at least one sample"
        message = f"{definition.name} runs on {count}; it was given {len(samples)}."
        problems.append(Problem(code="SAMPLES_WRONG_COUNT", message=message))
    asked = {name.removeprefix(definition.prefix): value for name, value in parameters.items()}
    values: Parameters = {}
    for name, spec in definition.inputs.items():
        if spec.source is InputSource.PARAMETER:
            if name not in asked and spec.default is not None:
                values[name] = spec.default
            continue
        if name in asked:
            message = f"{name} comes from {spec.source.value} and cannot be set as a parameter; leave it out."
            problems.append(Problem(code="PARAMETER_NOT_FREE", message=message))
        value = _mapped(spec, samples, reference, definition.scope == "cohort")
        value = _as_typed(definition, name, spec, value, problems)
        if value is not None:
            values[name] = value
        elif not spec.may_be_missing:
            problems.append(_missing(name, spec.source))
    values |= _sheet(definition.samplesheet, samples, reference, problems)
    problems += [_set_by_us(name) for name in _not_free(definition) if name in asked]
    if problems:
        raise RefusedInput(f"The inputs of {definition.name}", problems)
    return {definition.qualified(name): value for name, value in (values | asked).items()}


def _mapped(
    spec: InputSpec, samples: Sequence[SampleInputs], reference: ReferenceInputs | None, cohort: bool
) -> Any | None:
    if spec.source is InputSource.CONSTANT:
        return spec.value
    if spec.source.value.startswith("reference."):
        return getattr(reference, spec.source.value.removeprefix("reference."), None)
    field = spec.source.value.partition(".")[2]
    found = [getattr(sample, field) for sample in samples]
    plain = [list(value) if isinstance(value, tuple) else value for value in found]
    if not plain or not all(plain):
        return None
    return plain if cohort else plain[0]


def _as_typed(definition: Definition, name: str, spec: InputSpec, value: Any, problems: list[Problem]) -> Any:
    """Return a value as a definition that says types itself wants it; a command has no lists of lists."""
    if definition.language not in (NEXTFLOW, COMMAND) or not isinstance(value, list):
        return value
    if (spec.type or "").rstrip("?") == "File":
        return _one_file(name, spec, value, problems)
    nested = definition.language == COMMAND and isinstance(value[0], list)
    return [item for each in value for item in each] if nested else value


def _not_free(definition: Definition) -> list[str]:
    """Return the parameters of Nextflow that are ours to set."""
    sheet, outdir = definition.samplesheet, definition.nextflow.outdir if definition.language == NEXTFLOW else None
    return [name for name in (sheet.parameter if sheet else None, outdir) if name is not None]


def _set_by_us(name: str) -> Problem:
    message = f"{name} is made by Labrelay and cannot be set as a parameter; leave it out."
    return Problem(code="PARAMETER_NOT_FREE", message=message)


def _one_file(name: str, spec: InputSpec, value: list[Any], problems: list[Problem]) -> Any:
    if len(value) > 1 or isinstance(value[0], list):
        message = f"{name} comes from {spec.source.value} and takes one file, but there are more; let it take a list."
        problems.append(Problem(code="INPUT_WRONG_TYPE", message=message))
    return value[0]


def _sheet(
    sheet: SamplesheetSpec | None,
    samples: Sequence[SampleInputs],
    reference: ReferenceInputs | None,
    problems: list[Problem],
) -> Parameters:
    """Return the sheet's parameter with one row a lane; a sample without reads has one row as well."""
    if sheet is None:
        return {}
    problems += _sheet_problems(sheet, samples, reference)
    rows = [
        {name: _cell(source, sample, lane, reference) for name, source in sheet.columns.items()}
        for sample in samples
        for lane in range(max(1, len(sample.r1), len(sample.r2)))
    ]
    return {sheet.parameter: {"samplesheet": rows}}


def _cell(source: str, sample: SampleInputs, lane: int, reference: ReferenceInputs | None) -> str | None:
    if source.startswith("="):
        return source[1:]
    thing, _, field = source.partition(".")
    value = getattr(reference if thing == "reference" else sample, field, None)
    if isinstance(value, tuple):
        return value[lane] if lane < len(value) else None
    return value


def _sheet_problems(
    sheet: SamplesheetSpec, samples: Sequence[SampleInputs], reference: ReferenceInputs | None
) -> list[Problem]:
    """Return what a sheet cannot do without: first mates, and the reference. Second mates may be missing."""
    wanted = dict.fromkeys(sheet.columns.values())
    problems = []
    if InputSource.READS_R1 in wanted and not all(sample.r1 for sample in samples):
        problems.append(_missing(sheet.parameter, InputSource.READS_R1))
    # Which of the lanes is without a second mate is not known here, and a wrong pair would be worse than none.
    mixed = [sample.name for sample in samples if sample.r2 and len(sample.r1) != len(sample.r2)]
    if mixed and InputSource.READS_R2 in wanted:
        message = f"{', '.join(mixed)}: some lanes have second mates and some have none; submit them apart."
        problems.append(Problem(code="INPUT_MISSING", message=message))
    referred = [InputSource(source) for source in wanted if source.startswith("reference.")]
    lacking = [each for each in referred if getattr(reference, each.value.partition(".")[2], None) is None]
    return problems + [_missing(sheet.parameter, source) for source in lacking]


def _missing(name: str, source: InputSource) -> Problem:
    hints = {
        InputSource.READS_R1: "the sample has no reads",
        InputSource.READS_R2: "the sample has no second mates; this workflow needs paired reads",
        InputSource.IMAGES_PATHS: "the sample has no images",
        InputSource.IMAGES_FOLDER: "the sample has no images, or those of several instrument runs: take images.folders",
        InputSource.IMAGES_FOLDERS: "the sample has no images",
        InputSource.IMAGES_TABLE: "the sample has no images",
        InputSource.FILES_PATHS: "the sample has no spectra, images or measurements",
        InputSource.REFERENCE_ANNOTATION: "the reference has no annotation; import it from GenBank",
    }
    why = hints.get(source, "the run has no reference; name one in the rule or the command")
    return Problem(code="INPUT_MISSING", message=f"{name} comes from {source.value}, but {why}.")
