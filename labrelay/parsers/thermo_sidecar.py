"""What ThermoRawFileParser writes beside a .raw file: `NAME-metadata.json` or `NAME-metadata.txt`.

The JSON holds lists of `{accession, cvLabel, name, value}` under `FileProperties`, `InstrumentProperties`, `MsData`,
`ScanSettings` and `SampleData`; the text holds `name=value` lines. Names differ between versions, so some are tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from labrelay.model.problem import Problem
from labrelay.parsers.text import decode, lines, to_datetime, warning

_GROUPS = ("FileProperties", "InstrumentProperties", "MsData", "ScanSettings", "SampleData")
_MODEL = ("thermo scientific instrument model", "instrument model")
_SERIAL = ("instrument serial number",)
_SOFTWARE = ("software version", "thermo raw file version", "version")
_DATE = ("creation date", "content creation date", "date of acquisition")
# What people wrote about themselves or the sample, and the labels that Xcalibur comes with for that.
_PERSONAL = ("operator", "user", "comment", "description", "client", "laboratory", "company", "phone", "study")
_FOLDER = re.compile(r"[A-Za-z]:\\|\\\\|/(?:home|Users)/")
# In the text form a term of a vocabulary is `[MS, MS:1000494, Thermo Scientific instrument model, Q Exactive]`.
_TERM = re.compile(r"\[\w*, ?[\w:]*, ?[^,\]]*, ?(.*)\]\Z")
_MOST = 50


@dataclass
class Sidecar:
    """The facts of one raw file, as text by name, and those that are looked for."""

    path: str
    model: str | None = None
    serial: str | None = None
    software: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)


def parse_sidecar(data: bytes, path: str) -> tuple[Sidecar | None, tuple[Problem, ...]]:
    """Return what a sidecar says, or None when it is no sidecar; what is wrong with it refuses nothing."""
    text, problems = decode(data, path)
    pairs = dict(list(_pairs(text, path))[:500]) if text.strip() else {}
    if not pairs:
        told = "it holds no properties as ThermoRawFileParser writes them, so nothing is taken from it"
        return None, (*problems, warning("BAD_SIDECAR", told, path))
    lower = {name.lower(): value for name, value in pairs.items()}
    sidecar = Sidecar(path, model=_one(lower, _MODEL), serial=_one(lower, _SERIAL), software=_one(lower, _SOFTWARE))
    sidecar.started_text = _one(lower, _DATE)
    sidecar.started = _when(sidecar.started_text)
    for name, value in pairs.items():
        key = name.lower()
        if key in _PERSONAL or _FOLDER.match(value):
            sidecar.personal[name[:80]] = value[:500]
        elif len(sidecar.raw) < _MOST:
            sidecar.raw[name[:80]] = value[:500]
        if key.startswith("number of ") and value.isascii() and value.isdigit() and len(value) < 12:
            sidecar.counts[key] = int(value)
    return sidecar, problems


def _pairs(text: str, path: str) -> Iterator[tuple[str, str]]:
    if path.lower().endswith(".json"):
        try:
            loaded = json.loads(text)
        except (ValueError, RecursionError):
            return
        yield from _json_pairs(loaded)
        return
    for line in lines(text):
        name, sign, value = (part.strip() for part in line.partition("="))
        term = _TERM.match(value)
        if sign and name and value:
            yield name, term[1] if term else value


def _json_pairs(loaded: object) -> Iterator[tuple[str, str]]:
    for group in _GROUPS:
        items = loaded.get(group) if isinstance(loaded, dict) else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and isinstance(item.get("name"), str):
                yield item["name"], str(item.get("value", ""))


def _one(lower: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((lower[name][:200] for name in names if lower.get(name)), None)


def _when(text: str | None) -> datetime | None:
    """Return a time of the sidecar; the parser writes that of its own country, by default US."""
    if not text:
        return None
    try:
        return datetime.strptime(text.strip(), "%m/%d/%Y %H:%M:%S")
    except ValueError:
        return to_datetime(text)
