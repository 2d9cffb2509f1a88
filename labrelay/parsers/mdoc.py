"""SerialEM's `.mdoc` text: global fields, titles, and a section for each image, frame set or piece of a montage.

Sections are `[ZValue = 3]`, `[FrameSet = 0]` and `[MontSection = 0]`; `[T = …]` is a title. Keys that nobody here knows
are kept, because every version of SerialEM adds some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from labrelay.model.problem import Problem
from labrelay.parsers.text import decode, lines, warning

MAX_SECTIONS = 100_000
_TOLD = 5
_SECTION = re.compile(r"\[\s*(ZValue|FrameSet|MontSection)\s*=\s*(-?\d{1,9})\s*\]\Z", re.IGNORECASE)
_TITLE = re.compile(r"\[?\s*T\s*=\s*(.*?)\]?\Z")
_KINDS = {"zvalue": "ZValue", "frameset": "FrameSet", "montsection": "MontSection"}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_CLOCK = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4}|\d{2})\s+(\d{1,2}):(\d{2}):(\d{2})\b")
_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})[ T]+(\d{2}:\d{2}:\d{2})\b")
_STAMP = re.compile(r"\s+\d{1,2}-[A-Za-z]{3}-\d{2,4}\s+\d{1,2}:\d{2}:\d{2}\s*\Z")


@dataclass(frozen=True)
class Section:
    """One section: its kind as SerialEM spells it, its number, the line of its head (from 1), and its fields."""

    kind: str
    number: int
    line: int
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mdoc:
    """A whole file: fields before the first section, titles, and sections in the order of the file."""

    path: str
    fields: dict[str, str]
    titles: tuple[str, ...]
    sections: tuple[Section, ...]

    def get(self, name: str) -> str | None:
        """Return a field of the file, else of the first section that has it."""
        return next(self.values(name), None)

    def values(self, name: str) -> Iterator[str]:
        """Give a field's values: of the file, then of each section that has it."""
        scopes = (self.fields, *(section.fields for section in self.sections))
        return (scope[name] for scope in scopes if scope.get(name))

    def of_kind(self, kind: str) -> tuple[Section, ...]:
        """Return the sections of one kind."""
        return tuple(section for section in self.sections if section.kind == kind)


def parse_mdoc(data: bytes, path: str) -> tuple[Mdoc, tuple[Problem, ...]]:
    """Return what the file says; a line that is neither a field nor a section is told and left out."""
    text, problems = decode(data, path)
    found = list(problems)
    head: dict[str, str] = {}
    titles: list[str] = []
    sections: list[Section] = []
    odd: list[int] = []
    for number, raw in enumerate(lines(text), 1):
        line = raw.strip()
        section = _SECTION.match(line)
        if section is not None:
            if len(sections) >= MAX_SECTIONS:
                told = f"it has more than {MAX_SECTIONS} sections; those from here on are left out"
                found.append(warning("TOO_MANY_SECTIONS", told, path, number))
                break
            sections.append(Section(_KINDS[section[1].lower()], int(section[2]), number))
        elif not _field(line, sections[-1].fields if sections else head, titles):
            odd.append(number)
    found += _odd_lines(odd, path)
    if not sections:
        found.append(warning("NO_SECTIONS", "it has no section of an image; is it cut, or still being written?", path))
    return Mdoc(path, head, tuple(titles), tuple(sections)), tuple(found)


def _field(line: str, scope: dict[str, str], titles: list[str]) -> bool:
    """Take one line into `scope` or `titles`; return whether it was one of either, or empty."""
    if not line:
        return True
    title = _TITLE.match(line)
    if title is not None:
        titles.append(_STAMP.sub("", title[1].strip()).strip())
        return True
    key, sign, value = line.partition("=")
    if not sign or line.startswith("[") or not key.strip():
        return False
    scope[key.strip()] = value.strip()
    return True


def _odd_lines(odd: list[int], path: str) -> Iterator[Problem]:
    for number in odd[:_TOLD]:
        yield warning("BAD_LINE", "the line is neither `key = value` nor a section; it is left out", path, number)
    if len(odd) > _TOLD:
        yield warning("BAD_LINE", f"{len(odd) - _TOLD} more such lines are left out", path, odd[_TOLD])


def mdoc_time(text: str | None) -> datetime | None:
    """Return SerialEM's `08-Oct-21  07:39:08` (two or four digits of the year) or its ISO form; it has no zone."""
    clock = _CLOCK.search(text) if text else None
    iso = _ISO.search(text) if text else None
    try:
        if clock is not None:
            year = int(clock[3]) + (2000 if len(clock[3]) == 2 else 0)
            # Months are looked up here, because strptime takes them from the language of the machine.
            month = _MONTHS.index(clock[2].lower()) + 1
            return datetime(year, month, int(clock[1]), int(clock[4]), int(clock[5]), int(clock[6]))
        return datetime.fromisoformat("T".join(iso.groups())) if iso is not None else None
    except ValueError:
        return None


def number_of(text: str | None) -> float | None:
    """Return the first number of a field's value, or None."""
    first = text.split()[0] if text and text.split() else ""
    try:
        value = float(first)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None


def windows_name(path: str) -> str:
    """Return the last part of a path that was written on Windows or elsewhere."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def windows_folder(path: str) -> str:
    """Return all but the last part of a path that was written on Windows or elsewhere, as it was written."""
    return path.rstrip("\\/")[: -len(windows_name(path)) or None].rstrip("\\/")
