"""RunParameters.xml: the instrument, its software, the flow cell and its side, in the dialect of each family.

MiSeq and HiSeq, NextSeq 500/550, NovaSeq 6000, iSeq, and NextSeq 1000/2000 with NovaSeq X and MiSeq i100 each have tags
of their own, so tags are looked up by name wherever they stand. What nothing models is kept as text; names of people
and machines, and folders on their disks, are kept apart from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree.ElementTree import Element

from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.illumina_models import model_of_application
from labrelay.parsers.personal import is_personal
from labrelay.parsers.text import to_datetime, to_float, to_int
from labrelay.parsers.xml import find_all, find_text, local_name, parse_xml

_SERIAL = ("InstrumentSerialNumber", "InstrumentId", "InstrumentName", "ScannerId")
_FLOW_CELL = ("FlowCellSerialBarcode", "FlowCellSerialNumber", "FlowCellSerial", "Barcode")
_VERSION = ("ApplicationVersion", "SystemSuiteVersion", "MCSVersion")
# What a lab asks for first; the rest of the file follows in its own order until there are enough.
_FIRST = (
    "experimentname", "chemistry", "flowcelltype", "flowcellname", "flowcellmode", "workflowtype", "recipename",
    "recipeversion", "reagentkitversion", "runmode", "sbs", "pe", "librarypoolid", "libraryid", "surface",
    "readtype", "surfacetoscan", "secondaryanalysismode", "secondaryanalysisworkflow", "errordescription",
)  # fmt: skip
# Settings of the machine that say nothing about a run.
_DULL = re.compile(
    r"firmware|board|fpga|cpld|rssi|camera|tile|focus|registration|coefficient|keep|save|send|enable|wash|cloud"
    r"|basespace|ucs|health|supportedmodes|reuse|numberof.*cycles|manual|simulat|localrunmanager|maprunid|planned"
    r"|completed|cyclekit|swath|section|custom|uses|^read\d|^index\d|^num|autocenter|bidirectional|purge|prime",
    re.IGNORECASE,
)
_TAKEN = {name.lower() for name in (*_SERIAL, *_FLOW_CELL, *_VERSION)} | {
    "runid", "application", "applicationname", "instrumenttype", "side", "fcposition", "rtaversion",
    "runstartdate", "runenddate", "runstarttime", "runendtime",
}  # fmt: skip
_FIGURES = (
    ("Q30Read1", "q30_percent", "percent", "read 1"),
    ("Q30Read2", "q30_percent", "percent", "read 2"),
    ("ClusterPf", "clusters_pf_percent", "percent", "run"),
    ("Occupancy", "occupied_percent", "percent", "run"),
)
MOST, LONGEST = 50, 500


@dataclass(frozen=True)
class RunParameters:
    """What RunParameters.xml adds to RunInfo.xml; what is not there is None.

    Attributes:
        run_id: Of the run that it belongs to.
        model: As people call the instrument.
        serial: The instrument's.
        software: The control software and the base caller with their versions.
        flow_cell: The flow cell's id.
        flow_cell_type: `SP`, `25B`, `NextSeq High` …, as the instrument calls it.
        position: The side of an instrument that runs two flow cells, `A` or `B`.
        started, ended: When they are finer than a day.
        started_text: Its raw text.
        planned, completed: Sums of cycles where the dialect has both (iSeq, NextSeq 1000/2000).
        metrics: What an iSeq writes of quality.
        raw: Other fields, at most 50.
        personal: Names of people and machines, and folders, by tag.
    """

    run_id: str | None = None
    model: str | None = None
    serial: str | None = None
    software: str | None = None
    flow_cell: str | None = None
    flow_cell_type: str | None = None
    position: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    ended: datetime | None = None
    planned: int | None = None
    completed: int | None = None
    metrics: tuple[QCMetric, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)


def parse_run_parameters(data: bytes, path: str) -> tuple[RunParameters, tuple[Problem, ...]]:
    """Return what RunParameters.xml says; nothing but problems when it cannot be read."""
    root, problems = parse_xml(data, path)
    if root is None:
        return RunParameters(), problems
    started, text = _moment(find_text(root, "RunStartTime", "RunStartDate"))
    raw, personal = _others(root)
    parameters = RunParameters(
        run_id=find_text(root, "RunId"),
        model=_model(root),
        serial=find_text(root, *_SERIAL),
        software=_software(root),
        flow_cell=find_text(root, *_FLOW_CELL) or _tag_serial(root),
        flow_cell_type=_flow_cell_type(root),
        position=_position(root),
        started=started,
        started_text=text,
        ended=_moment(find_text(root, "RunEndTime", "RunEndDate"))[0],
        planned=_cycles(root, "PlannedCycles"),
        completed=_cycles(root, "CompletedCycles"),
        metrics=_metrics(root, path),
        raw=raw,
        personal=personal,
    )
    return parameters, problems


def _moment(text: str | None) -> tuple[datetime | None, str | None]:
    """Return a time and its text; nothing for a whole day, which RunInfo.xml has, too."""
    found = None if text is None or text.isdigit() else to_datetime(text)
    return found, text if found is not None else None


def _model(root: Element) -> str | None:
    told = (find_text(root, "InstrumentType"), find_text(root, "ApplicationName", "Application"))
    return next((model_of_application(text) for text in told if text), None)


def _software(root: Element) -> str | None:
    name = find_text(root, "ApplicationName", "Application")
    version = find_text(root, *_VERSION)
    rta = find_text(root, "RTAVersion")
    control = " ".join(part for part in (name, version) if part) if name else None
    caller = f"RTA {rta.lstrip('vV')}" if rta else None
    return ", ".join(part for part in (control, caller) if part) or None


def _consumable(root: Element) -> Element | None:
    """Return the flow cell among the consumables of NovaSeq X and MiSeq i100."""
    for item in find_all(root, "ConsumableInfo"):
        kind = next((child.text or "" for child in item if local_name(child.tag) == "type"), "")
        if kind.strip().lower().startswith("flowcell"):
            return item
    return None


def _tag_serial(root: Element) -> str | None:
    tags = (next(find_all(root, name), None) for name in ("FlowcellRFIDTag", "FlowcellEEPROMTag"))
    found = next((tag for tag in (*tags, _consumable(root)) if tag is not None), None)
    return find_text(found, "SerialNumber") if found is not None else None


def _flow_cell_type(root: Element) -> str | None:
    consumable = _consumable(root)
    named = find_text(consumable, "Name") if consumable is not None else None
    # `NextSeq High` is the flow cell, `Amplicon` of a MiSeq is the chemistry of the library.
    chemistry = find_text(root, "Chemistry") or ""
    own = chemistry if chemistry.lower().startswith("nextseq") else None
    return named or find_text(root, "FlowCellMode", "FlowCellName", "FlowCellType", "Flowcell") or own


def _position(root: Element) -> str | None:
    side = find_text(root, "Side", "FCPosition")
    return side.upper() if side and side.upper() in ("A", "B") else None


def _cycles(root: Element, name: str) -> int | None:
    element = next(find_all(root, name), None)
    counts = [to_int(child.text) for child in element] if element is not None else []
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _metrics(root: Element, path: str) -> tuple[QCMetric, ...]:
    block = next(find_all(root, "SequencingMetrics"), None)
    if block is None:
        return ()
    told = ((to_float(find_text(block, tag)), name, unit, scope) for tag, name, unit, scope in _FIGURES)
    return tuple(
        QCMetric(name=name, value=value, unit=unit, scope=scope, source=path)
        for value, name, unit, scope in told
        if value is not None
    )


def _others(root: Element) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts that nothing models, and apart from them those that tell of people and machines."""
    first: dict[str, str] = {}
    rest: dict[str, str] = {}
    personal: dict[str, str] = {}
    for parent in root.iter():
        kind = next((child.text or "" for child in parent if local_name(child.tag) == "type"), "").strip()
        for child in parent:
            text = (child.text or "").strip()[:LONGEST]
            tag = child.tag.rpartition("}")[2]
            if len(child) or not text or tag.lower() in _TAKEN:
                continue
            name = tag if parent is root else f"{kind or parent.tag.rpartition('}')[2]}.{tag}"
            if is_personal(tag, text):
                personal.setdefault(name, text)
            elif tag.lower() in _FIRST:
                first.setdefault(name, text)
            elif not _DULL.search(name):
                rest.setdefault(name, text)
    kept = [*first.items(), *((name, text) for name, text in rest.items() if name not in first)]
    return dict(kept[:MOST]), dict(list(personal.items())[:MOST])
