"""From a definition's command to the argument list of one run; no shell ever reads it.

An argument holds `{name}` where a value goes, and `{{` and `}}` for braces. One that is only `{name}` becomes as many
arguments as a list has items. One whose value is missing is left out. A list of arguments within the command is one
unit: `["--bed", "{bed}"]` is left out as a whole when the value is missing or an empty list. `{?name}` writes nothing;
it stands in a unit as its condition, which fails as well when the value is false: `["--paired", "{?paired}"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labrelay.model.problem import Problem
from labrelay.workflows.specs import FILE_NAME

GIVEN = ("cpus", "memory_gib", "bundle")  # what stands for itself, so that no input can have the name
PIECE = re.compile(r"\{\{|\}\}|\{(\??)([A-Za-z]\w*)\}|[{}]")
SHOWN = 60
Command = Sequence[str | Sequence[str]]


@dataclass(frozen=True)
class Slot:
    """A place for a value; a `condition` is looked at and writes nothing."""

    name: str
    condition: bool = False


def pieces(argument: str) -> list[str | Slot]:
    """Return an argument as its texts and slots, in order.

    Raises:
        ValueError: A brace stands alone, or a condition is not alone.
    """
    found: list[str | Slot] = []
    end = 0
    for match in PIECE.finditer(argument):
        found.append(argument[end : match.start()])
        end = match.end()
        if match[2]:
            found.append(Slot(match[2], condition=bool(match[1])))
        elif match[0] in ("{{", "}}"):
            found.append(match[0][0])
        else:
            raise ValueError(f"a brace stands alone in {argument!r}; write {match[0] * 2} for the character itself")
    kept = [piece for piece in (*found, argument[end:]) if piece != ""]
    if len(kept) > 1 and any(isinstance(piece, Slot) and piece.condition for piece in kept):
        raise ValueError(f"a condition shares {argument!r} with other text; let it be an argument of its own")
    return kept


def slots(argument: str) -> list[Slot]:
    """Return the slots of an argument that is well formed."""
    return [piece for piece in pieces(argument) if isinstance(piece, Slot)]


def render(command: Command, values: Mapping[str, Any]) -> tuple[list[str], list[Problem]]:
    """Return the argument list, and what is wrong with the values.

    Args:
        command: Its arguments are well formed, and lists of values stand where `{name}` is a whole argument.
        values: By name; files as absolute paths. None, or no entry, is a missing value.

    Returns:
        The arguments, and one problem for each value that would be taken for an option or that no argument can hold.
        A number may be negative. After an argument `--` of the command's own, nothing is taken for an option.
    """
    made: list[str] = []
    problems: list[Problem] = []
    ended = False
    for item in command:
        unit = [item] if isinstance(item, str) else list(item)
        if _left_out(unit, values):
            continue
        for argument in unit:
            ended = ended or argument == "--"
            for text in _texts(pieces(argument), values):
                problems += _problems(argument, text, values, ended)
                made.append(text)
    return made, problems


def _left_out(unit: Sequence[str], values: Mapping[str, Any]) -> bool:
    found = [slot for argument in unit for slot in slots(argument)]
    return any(_missing(values.get(slot.name), slot) for slot in found)


def _missing(value: Any, slot: Slot) -> bool:
    return value is None or value in ([], ()) or (slot.condition and value is False)


def _texts(parts: Sequence[str | Slot], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what one argument becomes: nothing for a condition, one a value for a list, else one."""
    first = parts[0] if len(parts) == 1 else None
    if isinstance(first, Slot) and first.condition:
        return
    if isinstance(first, Slot) and isinstance(values[first.name], list | tuple):
        yield from (as_text(value) for value in values[first.name])
    else:
        yield "".join(part if isinstance(part, str) else as_text(values[part.name]) for part in parts)


def as_text(value: Any) -> str:
    """Return a value as an argument says it: true and false for a Boolean, a whole number without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _problems(argument: str, text: str, values: Mapping[str, Any], ended: bool) -> Iterator[Problem]:
    shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    try:
        unfit = "\0" in text or not text.encode()
    except UnicodeEncodeError:
        unfit = True
    if unfit and text:
        message = f"command: {argument} would become {shown!r}, which no program can be given; change the value."
        yield Problem(code="ARGUMENT_UNFIT", message=message, path=FILE_NAME)
    if text.startswith("-") and not ended and not argument.startswith("-") and not _is_number(argument, values):
        message = (
            f"command: {argument} would become {shown!r}, which programs take for an option; change the value, or let "
            f'the definition say "--" before it or --option={argument}.'
        )
        yield Problem(code="ARGUMENT_LIKE_OPTION", message=message, path=FILE_NAME)


def _is_number(argument: str, values: Mapping[str, Any]) -> bool:
    """Tell whether an argument is one number, or a list of them: a negative one is no option's name."""
    parts = pieces(argument)
    value = values.get(parts[0].name) if len(parts) == 1 and isinstance(parts[0], Slot) else None
    items = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(item, int | float) for item in items)
