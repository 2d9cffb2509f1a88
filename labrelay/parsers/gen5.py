"""Plate readers by BioTek (now Agilent): text exports of Gen5.

Readers of other makers export other texts and tables; the open library allotropy reads some fifty of them, and would
have to be told which, because it recognises none by itself.
"""

from __future__ import annotations

import re
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.imaging import Plate, well_name
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.gen5_text import Gen5Plate, is_gen5, parse_gen5
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.moments import in_order
from labrelay.parsers.text import warning

NAME = "gen5"
LOOKED_FOR = "*.txt that Gen5 of a BioTek plate reader exported"
MAX_METRICS = 10_000
_LOOKED_AT = 20
_HEAD = 4096
_ROOM = 20 * 1024 * 1024  # of all exports of one folder; one has some kilobytes


def detect(listing: Listing) -> Detection | None:
    """Say whether a text file begins as exports of Gen5 do; the heads of a few are looked at."""
    found = tuple(entry.path for entry in _texts(listing)[:_LOOKED_AT] if is_gen5(_head(listing, entry)))[:3]
    return Detection(platform=NAME, confidence=0.85, evidence=found) if found else None


def _texts(listing: Listing) -> list[Entry]:
    return [entry for entry in listing.files if entry.name.lower().endswith((".txt", ".tsv"))]


def _head(listing: Listing, entry: Entry) -> bytes:
    return read_head(listing.root, entry.path, _HEAD)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the exports in a folder as a run in which each file is a sample.

    Args:
        folder: As the caller named it; its name is the run's id, because an export has none.
        listing: Of that folder.
    """
    name = folder.resolve().name
    problems: list[Problem] = list(listing.problems)
    plates: list[tuple[str, Gen5Plate]] = []
    mine = {entry.path for entry in _texts(listing) if is_gen5(_head(listing, entry))}
    room = _ROOM
    for path in sorted(mine):
        data = read_small(listing.root, path, room)
        if isinstance(data, Problem):
            problems.append(data)
            continue
        room -= len(data)
        found, wrong = parse_gen5(data, path)
        problems += wrong
        plates += [(path, plate) for plate in found]
    first = plates[0][1] if plates else Gen5Plate()
    times = in_order((plate.started, plate.started_text) for _, plate in plates)
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        instrument_model=first.model,
        instrument_serial=first.serial,
        software=f"Gen5 {first.software}" if first.software else None,
        started=times[0][0] if times else None,
        started_text=times[0][1] if times else first.started_text,
        files=tuple(_file(entry, entry.path in mine) for entry in listing.files),
        units=tuple(_unit(path, plate) for path, plate in plates) if len(plates) > 1 else (),
        plate=_plate(first) if len(plates) == 1 else None,
        qc=tuple(_metrics(plates, problems)),
        # An export is written when a plate has been read, and in one go.
        completion=Completion(acquired=Fact(value=Known.YES, evidence=plates[0][0]) if plates else Fact()),
        raw={path: _raw(plate) for path, plate in plates[:10]},
        personal={f"{key} {path}"[:200]: text for path, plate in plates[:10] for key, text in plate.personal.items()},
        problems=tuple(problems),
    )


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _file(entry: Entry, mine: bool) -> RunFile:
    role = FileRole.MEASUREMENT if mine else FileRole.OTHER
    return RunFile(path=entry.path, size=entry.size, role=role, sample=_stem(entry.path) if mine else None)


def _plate(plate: Gen5Plate) -> Plate:
    wells = plate.wells
    size = re.search(r"\b(6|12|24|48|96|384|1536)\b", plate.plate_type or "")
    rows, columns = _SIZES[int(size[1])] if size else (plate.rows or None, plate.columns or None)
    order = [well_name(row, column) for row in range(1, (rows or 0) + 1) for column in range(1, (columns or 0) + 1)]
    return Plate(id=plate.name, rows=rows, columns=columns, wells=tuple(well for well in order if well in wells))


_SIZES = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}


def _unit(path: str, plate: Gen5Plate) -> Unit:
    reads = dict.fromkeys([*(value.read for value in plate.values), *(each.read for each in plate.series)])
    facts = {"wells": str(len(plate.wells)), "reads": ", ".join(list(reads)[:5])[:200]}
    if plate.started_text:
        facts["read on"] = plate.started_text
    done = Completion(acquired=Fact(value=Known.YES, evidence=path))
    return Unit(
        name=f"{_stem(path)} {plate.name or ''}".strip(), kind="plate", sample=_stem(path), completion=done, facts=facts
    )


def _metrics(plates: list[tuple[str, Gen5Plate]], problems: list[Problem]) -> list[QCMetric]:
    """Return each well's values; a well without a number has the metric with no value."""
    found: list[QCMetric] = []
    several = len(plates) > 1
    for number, (path, plate) in enumerate(plates, 1):
        whose = f"plate {number} " if several else ""
        names: dict[str, str] = {}
        found += [
            QCMetric(name=_name(value.read, names), value=value.value, scope=f"{whose}well {value.well}", source=path)
            for value in plate.values[: MAX_METRICS - len(found)]
        ]
    held = sum(len(plate.values) for _, plate in plates)
    if held > MAX_METRICS:
        text = f"the first {MAX_METRICS:,} of {held:,} values of wells are kept as quality; the files have all"
        problems.append(warning("NOT_ALL_READ", text))
    return found


def _name(read: str, names: dict[str, str]) -> str:
    """Return a metric's name for what was read, such as `blank_630nmabsread_630`; two reads never share one."""
    if read not in names:
        plain = re.sub(r"[^a-z0-9]+", "_", read.lower()).strip("_")[:60] or "value"
        names[read] = plain if plain not in names.values() else f"{plain}_{len(names) + 1}"
    return names[read]


def _raw(plate: Gen5Plate) -> dict[str, str]:
    layout = ", ".join(f"{well} {text}" for well, text in plate.layout.items())
    told = {**plate.fields, "procedure": "; ".join(plate.procedure), "layout": layout}
    return {key: value[:500] for key, value in told.items() if value}
