"""Text as instruments and spreadsheets write it: marks, two-byte encodings, NUL padding and three kinds of line end.

What was changed to make it readable is said as a warning; nothing here refuses a file.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

from labrelay.model.problem import Problem, Severity
from labrelay.model.words import counted

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_LINE_END = re.compile(r"\r\n|\r|\n")
_DIGITS = re.compile(r"\s*(\d{1,18})\s*\Z", re.ASCII)
_DELIMITERS = ",;\t"
# Illumina writes one of four: 140211, 20220912, `6/19/2018 11:54:50 AM` and ISO 8601 with a zone.
_CLOCKS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S")


class Decoded(NamedTuple):
    """Text and what had to be assumed or removed to get it."""

    text: str
    problems: tuple[Problem, ...]


def warning(code: str, message: str, path: str | None = None, line: int | None = None) -> Problem:
    """Return a problem that is taken and told."""
    return Problem(code=code, message=message, severity=Severity.WARNING, path=path, line=line)


def error(code: str, message: str, path: str | None = None, line: int | None = None) -> Problem:
    """Return a problem that refuses the folder."""
    return Problem(code=code, message=message, severity=Severity.ERROR, path=path, line=line)


def decode(data: bytes, path: str) -> Decoded:
    """Return `data` as text without NUL characters.

    UTF-8 (with or without a mark) first, then UTF-16 by its mark or by NULs at every second byte, then Windows-1252,
    which takes anything and is therefore a guess (`ENCODING_GUESSED`).
    """
    text, problems = _decoded(data, path)
    if "\0" in text:
        count = text.count("\0")
        problems.append(
            warning(
                "NUL_BYTES",
                f"{counted(count, 'NUL character was', 'NUL characters were')} left out (padding of the instrument)",
                path,
            )
        )
        text = text.replace("\0", "")
    return Decoded(text, tuple(problems))


def _decoded(data: bytes, path: str) -> tuple[str, list[Problem]]:
    for encoding in (*(name for mark, name in _MARKS if data.startswith(mark)), _two_byte(data), "utf-8"):
        if encoding is None:
            continue
        try:
            return data.decode(encoding), []
        except UnicodeDecodeError:
            continue
    text = "it is not UTF-8; it was read as Windows-1252, so look at its accented letters"
    # The five bytes that Windows-1252 leaves open become U+FFFD, so that decoding cannot fail.
    return data.decode("cp1252", "replace"), [warning("ENCODING_GUESSED", text, path)]


def _two_byte(data: bytes) -> str | None:
    head = data[:1024]
    half = len(head) // 2
    if half < 4:
        return None
    if head[1::2].count(0) > 0.8 * half and head[::2].count(0) < 0.2 * half:
        return "utf-16-le"
    if head[::2].count(0) > 0.8 * half and head[1::2].count(0) < 0.2 * half:
        return "utf-16-be"
    return None


def lines(text: str) -> list[str]:
    """Return the lines of `text`, ended by LF, CR LF or CR; line n of a person's editor is item n - 1."""
    return _LINE_END.split(text)


def cells(line: str, delimiter: str = ",") -> tuple[list[str], bool]:
    """Return the stripped cells of one line of a table, and whether its quotes were balanced.

    A line is read alone: a quote that is never closed spoils its line and not the rest of the file.
    """
    try:
        row = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        balanced = True
    except csv.Error:
        row, balanced = line.split(delimiter), False
    return [cell.strip() for cell in row], balanced


def delimiter_of(line: str) -> str:
    """Return which of comma, semicolon and tab separates this line of a table; comma when none does."""
    return max(_DELIMITERS, key=lambda sign: (line.count(sign), -_DELIMITERS.index(sign)))


def column_key(name: str) -> str:
    """Return a column's name for comparing: `Sample_ID`, `SampleID` and `sample id` are one."""
    return "".join(c for c in name.lower() if c.isalnum())


def to_int(text: str | None) -> int | None:
    """Return a count of at most 18 digits, or None when the text is none."""
    match = _DIGITS.match(text) if text else None
    return int(match[1]) if match else None


def to_float(text: str | None) -> float | None:
    """Return a finite decimal number, or None when the text is none (`nan`, `N/A`, an empty cell)."""
    try:
        value = float(text) if text and len(text) < 40 else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def to_datetime(text: str) -> datetime | None:
    """Return the time in one of the formats that Illumina instruments write, zone-aware when the text has a zone."""
    stripped = text.strip()
    if stripped.isascii() and stripped.isdigit():
        formats = {6: "%y%m%d", 8: "%Y%m%d"}
        return _strptime(stripped, formats[len(stripped)]) if len(stripped) in formats else None
    for clock in _CLOCKS:
        found = _strptime(stripped, clock)
        if found:
            return found
    try:
        # More than six decimals of a second (.NET ticks) are cut: Python keeps microseconds.
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stripped))
        return found.astimezone(UTC) if found.tzinfo is not None else found
    except (ValueError, OverflowError):
        # The year 1 with a zone has no time in UTC.
        return None


def _strptime(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
