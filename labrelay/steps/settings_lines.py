"""Lines of `labrelay.toml`: settings are added at its top level, and a person's own lines stay as they are."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

from labrelay.model.errors import UsageError
from labrelay.steps.settings import FILE
from labrelay.stores.durable import write_atomic


def write_settings(home: Path, values: Mapping[str, str], replaced: Collection[str] = ()) -> None:
    """Add settings to `labrelay.toml`; the same ones again change nothing.

    Args:
        home: A home folder.
        values: By name.
        replaced: Names whose value in the file is known to be out of date, so that it may be written over.

    Raises:
        UsageError: A setting is there with another value, or on a line that is not written as we write it.
    """
    file = home / FILE
    text = file.read_text(encoding="utf-8")
    there = tomllib.loads(text)
    other = {name for name, value in values.items() if name in there and there[name] != value}
    if kept := sorted(other.difference(replaced)):
        said = ", ".join(f"{name} = {json.dumps(there[name])}" for name in kept)
        raise UsageError(f"{file} says {said} already: take the lines out to use other ones, or name a new home")
    changed = text
    for name in sorted(other):
        changed = _with_value(file, changed, name, str(there[name]), values[name])
    changed = _with_lines(changed, {name: value for name, value in values.items() if name not in there})
    if changed != text:
        write_atomic(file, changed.encode())


def _with_value(file: Path, text: str, name: str, old: str, new: str) -> str:
    """Return the text with another value on the line of a setting; what else is on that line stays."""
    head = text[: _first_table(text)]
    line = re.compile(rf"""^([ \t]*{re.escape(name)}[ \t]*=[ \t]*)(["']){re.escape(old)}\2""", re.MULTILINE)
    changed = line.sub(lambda found: found.group(1) + json.dumps(new), head, count=1) + text[len(head) :]
    if tomllib.loads(changed) != {**tomllib.loads(text), name: new}:
        raise UsageError(f'{file} names a {name} that is gone: write {name} = "{new}" there and repeat the command')
    return changed


def _with_lines(text: str, values: Mapping[str, str]) -> str:
    """Return the text with settings before its first table, because lines behind it would belong to that table."""
    if not values:
        return text
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    head, tables = text[: _first_table(text)].rstrip("\n"), text[_first_table(text) :]
    return (f"{head}\n\n" if head else "") + lines + (f"\n{tables}" if tables else "")


def _first_table(text: str) -> int:
    """Return where the line of the first table begins, the text's length when there is none.

    A line that begins with a bracket may also stand inside an array or a text of several lines; what is before it is
    then no TOML by itself.
    """
    for found in re.finditer(r"^[ \t]*\[", text, re.MULTILINE):
        try:
            tomllib.loads(text[: found.start()])
        except tomllib.TOMLDecodeError:
            continue
        return found.start()
    return len(text)
