"""Text exports of BioTek's (Agilent's) Gen5: what was measured, when, by which reader, and the value of each well.

An export is blocks of lines with tabs: fields, `Procedure Details`, `Layout`, `Results`. A block of wells has a line of
column numbers, then lines that begin with a row's letter; more lines without a letter are more values of that row,
and the last cell of a line names what they are. Cells such as `OVRFLW` and `MISSED` are no numbers and stay none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from labrelay.model.imaging import well_name
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.text import decode, lines, warning

MAX_VALUES = 20_000
MAX_PLATES = 200
_SHOWN = 5
_SECTIONS = ("procedure details", "layout", "results", "stdcurve fitting results", "curve fitting results")
_PATHS = ("experiment file path", "protocol file path")
_ROW = re.compile(r"(?:[A-Z]|A[A-F])\Z")
_READ = re.compile(r"\s*Software Version\t", re.MULTILINE)
_KNOWN = re.compile(r"^(?:Reader Type:|Plate Number|Procedure Details|Plate Type)", re.MULTILINE)
_DATE = re.compile(r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})\Z")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AP]M)?\Z", re.IGNORECASE)
_NOTHING = ("", "n/a", "na", "unknown", "none")
_AXES = ("Time", "Wavelength")
_WELL = re.compile(r"([A-Z]|A[A-F])(\d{1,2})\Z")
_POINT = re.compile(r"[\d:.]+\Z")


@dataclass(frozen=True)
class WellValue:
    """One value: what was read (as Gen5 names it), the well, the number or None, and the text as it stands."""

    read: str
    well: str
    value: float | None
    text: str
    line: int


@dataclass
class Series:
    """A table of values over time or wavelength; its values stay in the file."""

    read: str
    axis: str
    wells: tuple[str, ...]
    line: int
    points: int = 0


@dataclass
class Gen5Plate:
    """One plate of an export; what is not there, or is `n/a`, is None."""

    name: str | None = None
    software: str | None = None
    model: str | None = None
    serial: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    plate_type: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)
    procedure: list[str] = field(default_factory=list)
    layout: dict[str, str] = field(default_factory=dict)
    values: list[WellValue] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    columns: int = 0
    rows: int = 0

    @property
    def wells(self) -> set[str]:
        """All wells that have values, in whatever table."""
        return {value.well for value in self.values} | {well for each in self.series for well in each.wells}


def is_gen5(head: bytes) -> bool:
    """Return whether the first bytes of a text file are those of an export of Gen5."""
    text = decode(head, "").text
    return bool(_READ.match(text) and _KNOWN.search(text))


def parse_gen5(data: bytes, path: str) -> tuple[tuple[Gen5Plate, ...], tuple[Problem, ...]]:
    """Return the plates of an export, in order, and what could not be read as a number or a date."""
    text, problems = decode(data, path)
    reading = _Reading(path, list(problems))
    for number, line in enumerate(lines(text), 1):
        reading.take(line, number)
        if reading.full:
            break
    for plate in reading.plates:
        reading.problems += _dates(plate, path)
        reading.problems += _without_number(plate, path)
        reading.problems += [_series(each, path) for each in plate.series]
    if not any(plate.wells for plate in reading.plates):
        reading.problems.append(
            warning("NO_VALUES", "it holds no table of values by well that is understood here", path)
        )
    return tuple(reading.plates), tuple(reading.problems)


class _Reading:
    """Goes through the lines with what was seen last: the section, the columns, the row."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        self.plates = [Gen5Plate()]
        self.section = self.title = ""
        self.columns: list[int] = []
        self.row = 0
        self.series: Series | None = None
        self.full = False
        self.taken = 0

    def take(self, line: str, number: int) -> None:
        cells = line.split("\t")
        head = cells[0].strip().rstrip(":").lower()
        alone = not any(cell.strip() for cell in cells[1:])
        if head in _SECTIONS and alone:
            self._enter(head)
        elif head == "plate number" and self._begun():
            self._next_plate(cells, number)
        elif not line.strip():
            # A layout ends with its table; tables of values may stand without the word `Results`.
            self._enter("tables" if self.section == "layout" and self.row else self.section)
        elif self._columns(cells) or self._axis(cells, number):
            pass
        elif self.series is not None:
            self._point(head)
        elif self.columns:
            self._wells(cells, number)
        elif self.section == "procedure details":
            self._procedure(line)
        elif not self.section:
            self._field(head, cells)
        self.title = cells[0].strip() if alone and line.strip() else self.title

    def _enter(self, section: str) -> None:
        self.section, self.columns, self.row, self.series = section, [], 0, None

    def _columns(self, cells: list[str]) -> bool:
        """Take a line of column numbers, which begins a table of wells; return whether it was one."""
        numbers = [int(cell) for cell in cells[1:] if cell.strip().isdigit() and len(cell.strip()) < 3]
        if cells[0].strip() or not numbers or numbers != list(range(1, len(numbers) + 1)):
            return False
        self._enter(self.section if self.section == "layout" else "tables")
        self.columns = numbers
        return True

    def _axis(self, cells: list[str], number: int) -> bool:
        """Take the head of a table over time or wavelength, whose columns are wells; return whether it was one."""
        found = [match for cell in cells[1:] if (match := _WELL.match(cell.strip()))]
        if cells[0].strip() not in _AXES or not found:
            return False
        self._enter("tables")
        wells = tuple(f"{match[1]}{int(match[2]):02d}" for match in found[:1536])
        self.series = Series(self.title[:100] or "values", cells[0].strip().lower(), wells, number)
        if len(self.plates[-1].series) < MAX_PLATES:
            self.plates[-1].series.append(self.series)
        return True

    def _point(self, head: str) -> None:
        if self.series is not None and _POINT.match(head):
            self.series.points += 1

    def _begun(self) -> bool:
        return self.plates[-1].name is not None

    def _next_plate(self, cells: list[str], number: int) -> None:
        if len(self.plates) >= MAX_PLATES:
            self._stop(f"it holds more than {MAX_PLATES} plates", number)
            return
        last = self.plates[-1]
        self.plates.append(Gen5Plate(software=last.software, personal=dict(last.personal)))
        self._enter("")
        self._field("plate number", cells)

    def _field(self, head: str, cells: list[str]) -> None:
        value = " ".join(cell.strip() for cell in cells[1:] if cell.strip())
        plate = self.plates[-1]
        if head in _PATHS:
            plate.personal |= {head: value[:500]} if value else {}
            return
        if not head or value.lower() in _NOTHING:
            return
        names = {
            "software version": "software",
            "reader type": "model",
            "reader serial number": "serial",
            "plate number": "name",
        }
        if head in names:
            setattr(plate, names[head], value[:200])
        elif head in ("plate id", "barcode"):
            plate.name = value[:200]
        if len(plate.fields) < 40:
            plate.fields[head[:80]] = value[:500]

    def _procedure(self, line: str) -> None:
        plate = self.plates[-1]
        told = " ".join(line.split())
        if told.startswith("Plate Type "):
            plate.plate_type = told.removeprefix("Plate Type ")
        if told and len(plate.procedure) < 40:
            plate.procedure.append(told[:300])

    def _wells(self, cells: list[str], number: int) -> None:
        letter = cells[0].strip()
        if _ROW.match(letter):
            self.row = ord(letter[-1]) - 64 + 26 * (len(letter) - 1)
        elif letter or not self.row:
            self.columns = []
            return
        self._line(cells, number)

    def _line(self, cells: list[str], number: int) -> None:
        plate = self.plates[-1]
        label = cells[len(self.columns) + 1].strip() if len(cells) > len(self.columns) + 1 else ""
        plate.columns = max(plate.columns, len(self.columns))
        plate.rows = max(plate.rows, self.row)
        for column, cell in zip(self.columns, cells[1:], strict=False):
            text = cell.strip()
            well = well_name(self.row, column)
            if self.section == "layout":
                if label.lower() == "well id" and text:
                    plate.layout[well] = text[:100]
            elif text:
                self._value(WellValue(label or self.title[:100] or "value", well, _number(text), text[:40], number))

    def _value(self, value: WellValue) -> None:
        if self.taken < MAX_VALUES:
            self.taken += 1
            self.plates[-1].values.append(value)
        elif not self.full:
            self._stop(f"it holds more than {MAX_VALUES:,} values", value.line)

    def _stop(self, why: str, number: int) -> None:
        self.full = True
        text = f"{why}; those from here on are left out"
        self.problems.append(warning("NOT_ALL_READ", text, self.path, number))


def _number(text: str) -> float | None:
    """Return a cell's number, with the comma of many countries, or None; `OVRFLW` is none, and so is `nan`."""
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def _dates(plate: Gen5Plate, path: str) -> list[Problem]:
    """Set the plate's start; day and month stand in the order of the computer's country, which no line says."""
    date, clock = plate.fields.get("date", ""), plate.fields.get("time", "")
    if not date:
        return []
    plate.started_text = f"{date} {clock}".strip()
    parts, hours = _DATE.match(date), _CLOCK.match(clock)
    if parts is None:
        return [warning("UNKNOWN_DATE", f"its date {date[:40]} is in no form that is known here", path)]
    one, two, three = int(parts[1]), int(parts[3]), int(parts[4])
    if len(parts[1]) == 4:
        year, month, day = one, two, three
    elif parts[2] == "." or one > 12:
        year, month, day = three, two, one
    else:
        year, month, day = three, one, two
    try:
        plate.started = datetime(year + (2000 if year < 100 else 0), month, day, *_time(hours))
    except ValueError:
        return [warning("UNKNOWN_DATE", f"its date {date[:40]} does not exist", path)]
    if parts[2] == "/" and len(parts[1]) < 4 and one <= 12 and two <= 12 and one != two:
        text = (
            f"its date {date} was read as month/day/year, and could be day/month/year; see the computer of the reader"
        )
        return [warning("AMBIGUOUS_DATE", text, path)]
    return []


def _time(found: re.Match[str] | None) -> tuple[int, int, int]:
    if found is None:
        return (0, 0, 0)
    hour = int(found[1])
    if found[4]:
        hour = hour % 12 + (12 if found[4].upper() == "PM" else 0)
    return hour, int(found[2]), int(found[3] or 0)


def _series(series: Series, path: str) -> Problem:
    what = f"{counted(series.points, 'point')} over {series.axis} of {counted(len(series.wells), 'well')}"
    text = f"the table {printable(series.read, 80)} ({what}) is kept in the file, and its values are not taken over"
    return warning("NOT_READ", text, path, series.line)


def _without_number(plate: Gen5Plate, path: str) -> list[Problem]:
    """Return one warning for each word that stands where a number should."""
    words: dict[str, list[WellValue]] = {}
    for value in plate.values:
        if value.value is None:
            words.setdefault(value.text, []).append(value)
    found = []
    for word, where in list(words.items())[:10]:
        wells = ", ".join(each.well for each in where[:_SHOWN]) + (" …" if len(where) > _SHOWN else "")
        text = f"{len(where)} wells have {word} and no number: {wells}; they have no value here"
        found.append(warning("NO_NUMBER", text, path, where[0].line))
    return found
