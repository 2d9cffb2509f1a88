"""From samples, reads, a reference and parameters to the inputs that a workflow wants, by the definition's mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.runs import Parameters
from labrelay.workflows.definition import Definition, InputSource, InputSpec


class SampleInputs(Frozen):
    """One sample as a workflow sees it; `r1` and `r2` are paths or URIs, one a lane, in the same order."""

    name: str
    id: str
    r1: tuple[str, ...] = ()
    r2: tuple[str, ...] = ()


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

    A definition of scope `cohort` gets a list over samples where one of scope `sample` gets a value.

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
        if value is not None:
            values[name] = value
        elif not spec.optional:
            problems.append(_missing(name, spec))
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


def _missing(name: str, spec: InputSpec) -> Problem:
    hints = {
        InputSource.READS_R1: "the sample has no reads",
        InputSource.READS_R2: "the sample has no second mates; this workflow needs paired reads",
        InputSource.REFERENCE_ANNOTATION: "the reference has no annotation; import it from GenBank",
    }
    why = hints.get(spec.source, "the run has no reference; name one in the rule or the command")
    return Problem(code="INPUT_MISSING", message=f"{name} comes from {spec.source.value}, but {why}.")
