"""RunInfo.xml and RunParameters.xml: which run, which instrument, which recipe.

RunInfo.xml (versions 1 to 6) is the same everywhere and holds the run's id. RunParameters.xml has five dialects, one
a family of instruments, so its tags are looked up by name wherever they stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from labrelay.model.instrument import ReadSegment
from labrelay.model.problem import Problem
from labrelay.parsers.text import error, to_datetime, to_int, warning
from labrelay.parsers.xml import attribute, find_all, find_text, local_name, parse_xml

_MODELS = {
    "miseq": "MiSeq",
    "miseqi100": "MiSeq i100",
    "miseqi100plus": "MiSeq i100 Plus",
    "miseqi100series": "MiSeq i100",
    "nextseq": "NextSeq 500/550",
    "nextseq1000/2000": "NextSeq 1000/2000",
    "novaseq": "NovaSeq 6000",
    "novaseqx": "NovaSeq X",
    "novaseqxplus": "NovaSeq X Plus",
    "novaseqxseries": "NovaSeq X",
    "iseq": "iSeq 100",
    "hiseq": "HiSeq",
}
# The serial number begins with letters of the model, for folders that came without RunParameters.xml.
_SERIALS = (
    ("ST-E", "HiSeq X"),
    ("LH", "NovaSeq X"),
    ("VH", "NextSeq 1000/2000"),
    ("NS", "NextSeq 500/550"),
    ("NB", "NextSeq 500/550"),
    ("SH", "MiSeq i100"),
    ("FS", "iSeq 100"),
    ("M", "MiSeq"),
    ("K", "HiSeq 3000/4000"),
    ("D", "HiSeq 2500"),
    ("A", "NovaSeq 6000"),
)
# These write CopyComplete.txt, so that its absence says something.
WRITES_COPY_COMPLETE = ("NovaSeq", "NextSeq 1000/2000", "MiSeq i100")
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


@dataclass(frozen=True)
class RunParameters:
    """What RunParameters.xml adds to RunInfo.xml.

    Attributes:
        run_id: Of the run that it belongs to.
        model: As people call the instrument.
        serial: The instrument's.
        started: `RunStartDate` when it is finer than a day.
        started_text: Its raw text.
        planned, completed: Sums of cycles where the dialect has both (iSeq), else None.
    """

    run_id: str | None = None
    model: str | None = None
    serial: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    planned: int | None = None
    completed: int | None = None


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


def parse_run_parameters(data: bytes, path: str) -> tuple[RunParameters, tuple[Problem, ...]]:
    """Return what RunParameters.xml says; nothing but problems when it cannot be read."""
    root, problems = parse_xml(data, path)
    if root is None:
        return RunParameters(), problems
    date = find_text(root, "RunStartDate")
    started = to_datetime(date) if date else None
    whole_day = date is None or date.isdigit()
    parameters = RunParameters(
        run_id=find_text(root, "RunId"),
        model=_model(root),
        serial=find_text(root, "InstrumentSerialNumber", "InstrumentId", "InstrumentName", "ScannerId"),
        started=None if whole_day else started,
        started_text=None if whole_day or started is None else date,
        planned=_cycles(root, "PlannedCycles"),
        completed=_cycles(root, "CompletedCycles"),
    )
    return parameters, problems


def _model(root: Element) -> str | None:
    for text in (find_text(root, "InstrumentType"), find_text(root, "ApplicationName", "Application")):
        if text:
            bare = re.sub(r"\s*Control Software.*", "", text, flags=re.IGNORECASE)
            return _MODELS.get(bare.lower().replace(" ", ""), bare)
    return None


def _cycles(root: Element, name: str) -> int | None:
    element = next(find_all(root, name), None)
    counts = [to_int(child.text) for child in element] if element is not None else []
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def model_of_serial(serial: str | None) -> str | None:
    """Return the model that a serial number stands for, or None."""
    return next((model for start, model in _SERIALS if serial and re.match(f"{start}[0-9]", serial)), None)
