"""What a definition that is a command says wrong: found when it is loaded, or doubtful and found by `lint`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from labrelay.model.names import is_safe_path, safe_relative
from labrelay.model.problem import Problem, Severity
from labrelay.workflows.command.arguments import GIVEN, Slot, pieces
from labrelay.workflows.output_paths import path_problems
from labrelay.workflows.patterns import fits
from labrelay.workflows.shapes import is_of
from labrelay.workflows.specs import FILE_NAME, InputSource, InputSpec

if TYPE_CHECKING:
    from labrelay.workflows.definition import Definition

NAME = re.compile(r"[A-Za-z]\w*")
READS = (InputSource.READS_R1, InputSource.READS_R2)


def command_contradictions(definition: Definition) -> Iterator[Problem]:
    """Yield what cannot be true of a command: arguments, inputs, outputs and the file of its standard output."""
    if definition.main != FILE_NAME:
        yield _problem("DEFINITION_INVALID", "main: a command has no main file; leave it out.")
    yield from _program(definition)
    for argument, alone in _arguments(definition):
        yield from _argument(definition, argument, alone)
    for name, spec in definition.inputs.items():
        yield from _input(name, spec, definition.scope == "cohort")
    if not definition.outputs:
        message = "outputs: there is none, so that nothing of a run would be kept; say [outputs.NAME] with its `path`."
        yield _problem("COMMAND_WITHOUT_OUTPUTS", message)
    yield from path_problems(definition.outputs, "files of the work folder", "*.vcf.gz", "work folder")
    yield from _users(definition)
    if definition.stdout is not None and not is_safe_path(definition.stdout):
        message = f"stdout: {definition.stdout} is not a safe path inside the work folder."
        yield _problem("DEFINITION_INVALID", message)


def _program(definition: Definition) -> Iterator[Problem]:
    first = definition.command[0] if definition.command else "-"
    if not isinstance(first, str) or not first or first.startswith("-"):
        if definition.command:
            yield _problem("DEFINITION_INVALID", "command: its first argument is the program, a text by itself.")
    elif "{" in first.removeprefix("{bundle}/"):
        message = f"command: {first} names no program; only {{bundle}}/… may stand in its name."
        yield _problem("DEFINITION_INVALID", message)


def _arguments(definition: Definition) -> Iterator[tuple[str, bool]]:
    """Yield (argument, whether it stands by itself and not in a list of its own)."""
    for item in definition.command:
        yield from [(item, True)] if isinstance(item, str) else ((argument, False) for argument in item)


def _argument(definition: Definition, argument: str, alone: bool) -> Iterator[Problem]:
    try:
        parts = pieces(argument)
    except ValueError as error:
        yield _problem("DEFINITION_INVALID", f"command: {error}.")
        return
    if "\0" in argument:
        yield _problem("DEFINITION_INVALID", f"command: {argument!r} holds a character that no program can be given.")
    known = [*definition.inputs, *GIVEN]
    for slot in (part for part in parts if isinstance(part, Slot)):
        spec = definition.inputs.get(slot.name)
        if slot.name not in known:
            message = f"command: there is no [inputs.{slot.name}] for {{{slot.name}}}; there are {', '.join(known)}."
            yield _problem("COMMAND_UNKNOWN_NAME", message)
        elif slot.condition and (alone or spec is None):
            message = f"command: {argument} is a condition; put it into a list with the arguments that depend on it."
            yield _problem("DEFINITION_INVALID", message)
        elif len(parts) > 1 and spec is not None and (spec.type or "").startswith("Array"):
            message = f"command: {argument} holds a list; let {{{slot.name}}} be an argument of its own."
            yield _problem("DEFINITION_INVALID", message)


def _input(name: str, spec: InputSpec, cohort: bool) -> Iterator[Problem]:
    if name in GIVEN or not NAME.fullmatch(name):
        message = f"inputs.{name}: a command has its own {name}; choose another name."
        plain = f"inputs.{name}: say a name of letters, digits and _."
        yield _problem("DEFINITION_INVALID", message if name in GIVEN else plain)
    if spec.type is None:
        return
    kind, many = spec.type.rstrip("?"), cohort and not spec.source.value.startswith("reference.")
    fitting = {
        "reads": ("Array[File]",) if cohort else ("File", "Array[File]"),
        "reference": ("File",),
        "sample": ("Array[String]",) if many else ("String",),
    }.get(spec.source.value.partition(".")[0])
    if fitting is not None and kind not in fitting:
        message = f"inputs.{name}: {spec.source.value} is {' or '.join(fitting)} here, not {kind}."
        yield _problem("INPUT_WRONG_TYPE", message)
    for key, value in (("value", spec.value), ("default", spec.default)):
        if value is not None and not is_of(kind, value):
            yield _problem("INPUT_WRONG_TYPE", f"inputs.{name}.{key}: {value!r} is no {kind}.")


def _users(definition: Definition) -> Iterator[Problem]:
    """Yield the metrics, tables and figures whose output there is not."""
    users = [(f"metrics.{name}", metric.output) for name, metric in definition.metrics.items()]
    users += [(f"tables.{name}", table.output) for name, table in definition.tables.items()]
    users += [(f"figures.{name}", figure.output) for name, figure in definition.figures.items()]
    for user, output in users:
        if output not in definition.outputs:
            yield _problem("OUTPUT_UNKNOWN", f"{user}: there is no [outputs.{output}].")


def lint_command(definition: Definition) -> Iterator[Problem]:
    """Yield what is doubtful: unused inputs, an option that stays without its value, lost output, no image."""
    arguments = list(_arguments(definition))
    named = {part.name for argument, _ in arguments for part in pieces(argument) if isinstance(part, Slot)}
    for name in (name for name in definition.inputs if name not in named):
        yield _problem("INPUT_UNUSED", f"inputs.{name}: the command does not use it.", Severity.WARNING)
    for (option, _), (argument, alone) in pairwise(arguments):
        missing = [name for name, spec in definition.inputs.items() if spec.may_be_missing or _may_be_empty(spec)]
        if alone and option.startswith("-") and option != "--" and argument in [f"{{{name}}}" for name in missing]:
            message = (
                f'command: without a value for {argument}, {option} stays alone; write ["{option}", "{argument}"].'
            )
            yield _problem("COMMAND_OPTION_ALONE", message, Severity.WARNING)
    paths = [output.path or "" for output in definition.outputs.values()]
    where = safe_relative(definition.stdout) if definition.stdout is not None else None
    if where is not None and not any(fits(where, path) for path in paths):
        message = f"stdout: {definition.stdout} is the file of no output, so that it is not kept."
        yield _problem("COMMAND_STDOUT_LOST", message, Severity.WARNING)
    if definition.image is None:
        message = "The command names no image, so it runs only where its program is installed."
        yield _problem("TASK_WITHOUT_CONTAINER", message, Severity.WARNING)


def _may_be_empty(spec: InputSpec) -> bool:
    return (spec.type or "").startswith("Array") and spec.source not in READS


def _problem(code: str, message: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(code=code, message=message, path=FILE_NAME, severity=severity)
