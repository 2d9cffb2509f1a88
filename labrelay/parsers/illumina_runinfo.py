"""RunInfo.xml: which run, which instrument, which recipe; versions 1 to 7 differ little."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from labrelay.model.instrument import ReadSegment
from labrelay.model.problem import Problem
from labrelay.parsers.text import error, to_datetime, to_int, warning
from labrelay.parsers.xml import attribute, find_all, find_text, local_name, parse_xml

_LAST_NUMBER = re.compile(r"\d{6,8}_[^_]+_(\d{1,6})_")


@dataclass(frozen=True)
class RunInfo:
    """RunInfo.xml: identity, time and recipe of the run; what is not there is None."""

    run_id: str
    number: int | None = None
    flow_cell: str | None = None
    instrument: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    lanes: int | None = None
    reads: tuple[ReadSegment, ...] = ()


def parse_run_info(data: bytes, path: str) -> tuple[RunInfo | None, tuple[Problem, ...]]:
    """Return what RunInfo.xml says, or None with the error that makes it unusable."""
    root, problems = parse_xml(data, path)
    if root is None:
        return None, problems
    run = next(find_all(root, "Run"), None)
    run_id = attribute(run, "Id") if run is not None else None
    if run is None or not run_id:
        text = "it has no Run element with an Id, so the run is not known; copy it again from the instrument"
        return None, (*problems, error("NO_RUN_ID", text, path))
    found = list(problems)
    if not run_id.isprintable() or len(run_id) > 200:
        return None, (*found, error("UNSAFE_NAME", "the run's Id is not printable or too long", path))
    date = find_text(run, "Date")
    started = to_datetime(date) if date else None
    if date and started is None:
        found.append(warning("UNKNOWN_DATE", "its Date is in no format that Illumina instruments write", path))
    layout = next(find_all(run, "FlowcellLayout"), None)
    info = RunInfo(
        run_id=run_id,
        number=to_int(attribute(run, "Number")),
        flow_cell=find_text(run, "Flowcell"),
        instrument=find_text(run, "Instrument"),
        started=started,
        started_text=date,
        lanes=to_int(attribute(layout, "LaneCount")) if layout is not None else None,
        reads=_reads(run, path, found),
    )
    return info, (*found, *_identity(info, path))


def _identity(info: RunInfo, path: str) -> list[Problem]:
    """Compare the Number attribute with the one inside the Id: some instruments write them one apart."""
    match = _LAST_NUMBER.match(info.run_id)
    if match is None or info.number is None or int(match[1]) == info.number:
        return []
    text = f"Run Number is {info.number} and the Id says {int(match[1])}; the Id is used"
    return [warning("ID_MISMATCH", text, path)]


def _reads(run: Element, path: str, problems: list[Problem]) -> tuple[ReadSegment, ...]:
    found: dict[int, ReadSegment] = {}
    for place, read in enumerate(find_all(run, "Read"), 1):
        segment = _segment(read, place)
        if segment is None or segment.number in found:
            problems.append(warning("BAD_READ", f"its read {place} has no cycles or a number used before", path))
        else:
            found[segment.number] = segment
    return tuple(found[number] for number in sorted(found))


def _segment(read: Element, place: int) -> ReadSegment | None:
    cycles = to_int(attribute(read, "NumCycles"))
    if cycles is None:
        # Version 1 has the first and the last cycle, and an empty Index element inside an index read.
        first, last = to_int(attribute(read, "FirstCycle")), to_int(attribute(read, "LastCycle"))
        if first is None or last is None or last < first:
            return None
        cycles = last - first + 1
    reverse = attribute(read, "IsReverseComplement")
    indexed = (attribute(read, "IsIndexedRead") or "N").upper() == "Y"
    return ReadSegment(
        number=to_int(attribute(read, "Number")) or place,
        cycles=cycles,
        is_index=indexed or any(local_name(child.tag) == "index" for child in read),
        reverse_complement=None if reverse is None else reverse.upper() == "Y",
    )
