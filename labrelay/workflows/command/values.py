"""From the inputs of a run to what stands in its arguments: files under names of ours, missing ones as None."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.workflows.command.arguments import render
from labrelay.workflows.command.limits import too_long
from labrelay.workflows.definition import Definition, InputSpec
from labrelay.workflows.shapes import is_of
from labrelay.workflows.specs import FILE_NAME

MIB = 1 << 20


def staged(definition: Definition, inputs: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], dict[Path, Path]]:
    """Return the inputs with every file's path replaced by the one that the command sees, and (that path, source).

    Files of one folder stay together, so that an index lies beside what it belongs to.

    Args:
        definition: Says which inputs are files.
        inputs: Checked values, files as local paths.
        folder: Below which the command sees its inputs.
    """
    places: dict[Path, Path] = {}
    sources: dict[Path, Path] = {}

    def place(text: str) -> str:
        path = Path(text).absolute()
        shown = places.setdefault(path.parent, folder / str(len(places))) / path.name
        sources[shown] = path
        return str(shown)

    values: dict[str, Any] = {}
    for name, spec in definition.inputs.items():
        value = inputs.get(name, spec.default)
        if value is not None and "File" in (spec.type or ""):
            value = [place(item) for item in value] if isinstance(value, list | tuple) else place(value)
        values[name] = value
    return values, sources


def arguments(definition: Definition, values: Mapping[str, Any], cpus: int, bundle: Path) -> list[str]:
    """Return the program and its arguments.

    Args:
        definition: Is a command.
        values: By name, from `staged`.
        cpus: How many processors the command may use here.
        bundle: Where the definition's files are.

    Raises:
        RefusedInput: A value would be taken for an option, or no argument can hold it; with every such value.
    """
    given = {"cpus": cpus, "memory_gib": definition.resources.memory_gib, "bundle": str(bundle)}
    made, problems = render(definition.command, {**values, **given})
    if problems:
        raise RefusedInput(f"The inputs of {definition.name}", problems)
    return made


def check(definition: Definition, inputs: Mapping[str, Any], here: bool = False) -> None:
    """Raise `RefusedInput` with everything that is wrong with the inputs of a command.

    Args:
        definition: Is a command.
        inputs: By name; files as paths or URIs.
        here: Whether every file has to be on this machine.
    """
    problems = [
        Problem(code="INPUT_UNKNOWN", message=f"{name}: {definition.name} has no such input.")
        for name in inputs.keys() - definition.inputs.keys()
    ]
    for name, spec in definition.inputs.items():
        problems += _input_problems(name, spec, inputs.get(name, spec.default), here)
    if not problems:
        values, _ = staged(definition, inputs, Path("/"))
        given = {"cpus": 1, "memory_gib": definition.resources.memory_gib, "bundle": "/"}
        made, problems = render(definition.command, {**values, **given})
        long = None if problems else too_long(made, here)
        if long is not None:
            problems = [Problem(code="COMMAND_TOO_LONG", message=f"command: {long}.", path=FILE_NAME)]
    if problems:
        raise RefusedInput(f"The inputs of {definition.name}", sorted(problems, key=lambda problem: problem.message))


def _input_problems(name: str, spec: InputSpec, value: Any, here: bool) -> Iterator[Problem]:
    kind = (spec.type or "").rstrip("?")
    if value is None:
        if not spec.may_be_missing:
            yield Problem(code="INPUT_MISSING", message=f"{name} is missing; give a {kind}.")
    elif not is_of(kind, value):
        yield Problem(code="INPUT_WRONG_TYPE", message=f"{name} is {value!r}, which is no {kind}; give a {kind}.")
    elif here and "File" in kind:
        for path in value if isinstance(value, list | tuple) else [value]:
            if not Path(path).is_file():
                message = f"{name}: there is no file {path} on this machine; check the path."
                yield Problem(code="INPUT_FILE_MISSING", message=message)


def memory_bytes(definition: Definition) -> int:
    """Return the memory that the command asks for."""
    return int(definition.resources.memory_gib * 1024 * MIB)
