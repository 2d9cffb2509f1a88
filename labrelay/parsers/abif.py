"""ABIF, the container of Sanger traces (`.ab1`) and fragment analyses (`.fsa`): the few tags that tell whose it is.

Applied Biosystems Genetic Analysis Data File Format, 2009: a head of `ABIF`, version and one directory entry that says
where the directory lies; each entry of 28 bytes names a tag, its type, number, size, and offset (or, up to four bytes,
holds the value itself). Read by hand rather than by Biopython, whose import takes a second and whose reader trusts the
sizes in the file.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import NamedTuple

from labrelay.model.problem import Problem
from labrelay.parsers.text import warning

MAGIC = b"ABIF"
_ENTRY = struct.Struct(">4siHHiiii")
_MOST_ENTRIES = 5000
_CHARS, _DATE, _TIME, _PSTRING, _CSTRING = 2, 10, 11, 18, 19
_WANTED = frozenset(
    ("SMPL1", "PBAS1", "PBAS2", "PCON1", "PCON2", "RUND1", "RUND2", "RUNT1", "RUNT2", "HCFG3", "MODL1", "MCHN1",
     "RunN1", "CTNM1", "CTID1", "TUBE1", "SVER1", "RPrN1", "SPAC1", "DySN1", "LANE1", "CMNT1", "CTOw1", "User1")
)  # fmt: skip
_NUMBERS = {1: ">B", 4: ">h", 5: ">i", 7: ">f"}


class Trace(NamedTuple):
    """What an ABIF file says; what it does not say is None.

    Attributes:
        sample: SMPL1.
        bases: Number of called bases, the edited ones before those of the base caller; None for fragment analyses.
        mean_quality: Mean of the Phred qualities of these bases.
        started, ended: Without a zone, as the instrument's clock has no other.
        facts: Further facts as text, by name.
        personal: Names of people, and free text.
    """

    sample: str | None
    bases: int | None
    mean_quality: float | None
    started: datetime | None
    ended: datetime | None
    model: str | None
    machine: str | None
    run_name: str | None
    container: str | None
    well: str | None
    software: str | None
    facts: dict[str, str]
    personal: dict[str, str]


class _Entry(NamedTuple):
    kind: int
    value: bytes


def parse_abif(data: bytes, path: str) -> tuple[Trace | None, list[Problem]]:
    """Return what an ABIF file says, or None with a warning (`NOT_ABIF`, `TRUNCATED`).

    Args:
        data: The whole file.
        path: For messages.
    """
    # Old Macintosh files have 128 bytes before everything else.
    start = 128 if data[128:132] == MAGIC else 0
    if data[start : start + 4] != MAGIC:
        what = "it does not begin with ABIF, so it is no trace of a sequencer; is it another file with this name?"
        return None, [warning("NOT_ABIF", what, path)]
    directory, whole = _directory(data, start)
    if directory is None:
        what = "its directory lies beyond its end: the file was cut, copy it again"
        return None, [warning("TRUNCATED", what, path)]
    problems = []
    if not whole:
        what = "some of its values lie beyond its end and are left out: the file was cut, copy it again"
        problems.append(warning("TRUNCATED", what, path))
    return _trace(directory), problems


def _directory(data: bytes, start: int) -> tuple[dict[str, _Entry] | None, bool]:
    """Return the entries by name and number (`SMPL1`), and whether all of them lie inside the file."""
    if len(data) < start + 6 + _ENTRY.size:
        return None, False
    _name, _number, _type, size, count, _bytes, offset, _handle = _ENTRY.unpack_from(data, start + 6)
    if size != _ENTRY.size or not 0 <= count <= _MOST_ENTRIES or offset < 0:
        return None, False
    entries, whole = dict[str, _Entry](), True
    for index in range(count):
        place = start + offset + index * _ENTRY.size
        if place + _ENTRY.size > len(data):
            return (entries, False) if entries else (None, False)
        name, number, kind, _size, _many, length, where, _handle = _ENTRY.unpack_from(data, place)
        tag = f"{name.decode('latin-1')}{number}"
        if length <= 4:
            value = data[place + 20 : place + 20 + max(0, length)]
        else:
            inside = 0 <= where <= len(data) - start - length
            whole = whole and inside
            # Only what is looked at is copied: many entries may point to the same long piece.
            value = data[start + where : start + where + length] if inside and tag in _WANTED else b""
        if tag in _WANTED:
            entries.setdefault(tag, _Entry(kind, value))
    return entries, whole


def _trace(entries: dict[str, _Entry]) -> Trace:
    called = next((entries[tag] for tag in ("PBAS1", "PBAS2") if tag in entries), None)
    quality = next((entries[tag].value for tag in ("PCON1", "PCON2") if tag in entries), b"")
    facts = {
        "protocol": _text(entries.get("RPrN1")),
        "base caller": _text(entries.get("SPAC1")),
        "dye set": _text(entries.get("DySN1")),
        "lane": _text(entries.get("LANE1")),
    }
    # The comment is free text, and in a real file it is a name.
    people = {
        "comment": _text(entries.get("CMNT1")),
        "owner": _text(entries.get("CTOw1")),
        "user": _text(entries.get("User1")),
    }
    return Trace(
        sample=_text(entries.get("SMPL1")),
        bases=len(called.value.rstrip(b"\0")) if called else None,
        # Base callers before KB fill in zeros, which are no qualities.
        mean_quality=sum(quality) / len(quality) if any(quality) else None,
        started=_time(entries.get("RUND1"), entries.get("RUNT1")),
        ended=_time(entries.get("RUND2"), entries.get("RUNT2")),
        model=_model(_text(entries.get("HCFG3")) or _text(entries.get("MODL1"))),
        machine=_text(entries.get("MCHN1")),
        run_name=_text(entries.get("RunN1")),
        container=_text(entries.get("CTNM1")) or _text(entries.get("CTID1")),
        well=_text(entries.get("TUBE1")),
        software=_text(entries.get("SVER1")),
        facts={name: value[:200] for name, value in facts.items() if value},
        personal={name: value[:200] for name, value in people.items() if value},
    )


def _model(told: str | None) -> str | None:
    """Return `ABI 3730xl` for the number alone."""
    return f"ABI {told}" if told and told[0].isdigit() else told


def _text(entry: _Entry | None) -> str | None:
    """Return a text or a number as text; names are written in whatever the computer had, so UTF-8, else Latin-1."""
    if entry is None or not entry.value:
        return None
    if entry.kind in _NUMBERS:
        form = _NUMBERS[entry.kind]
        return f"{struct.unpack_from(form, entry.value)[0]:g}" if len(entry.value) >= struct.calcsize(form) else None
    raw = entry.value
    if entry.kind == _PSTRING:
        raw = raw[1 : 1 + raw[0]]
    elif entry.kind == _CSTRING:
        raw = raw.partition(b"\0")[0]
    elif entry.kind != _CHARS:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(sign for sign in text if sign.isprintable()).strip() or None


def _time(date: _Entry | None, clock: _Entry | None) -> datetime | None:
    if date is None or clock is None or date.kind != _DATE or clock.kind != _TIME:
        return None
    if len(date.value) != 4 or len(clock.value) != 4:
        return None
    year, month, day = struct.unpack(">hBB", date.value)
    try:
        return datetime(year, month, day, *clock.value[:3])
    except ValueError:
        return None
