"""The control files of an Element AVITI run: RunParameters.json (versions 4 and 5), RunUploaded.json, RunManifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from labrelay.model.instrument import ReadSegment, SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.json_text import JsonObject, at, number_at, objects_at, parse_object, text_at
from labrelay.parsers.text import cells, column_key, decode, lines, to_datetime, to_int, warning

_ORDER = ("I1", "I2", "R1", "R2")
_MODELED = ("RunName", "RunID", "RunFolderName", "Date", "InstrumentName", "FlowcellID", "Cycles", "ReadOrder")
_PEOPLE = ("OperatorName", "Operator", "UserName", "User", "CreatedBy")
_MOST_SAMPLES = 20_000
COMPLETED = "OutcomeCompleted"


@dataclass(frozen=True)
class RunParameters:
    """What RunParameters.json says; flow cell ids are digits with leading zeros and stay text.

    Attributes:
        run_id: Such as `seq_66c914b91576c9136240a1a1`; version 5 files of some instruments have none.
        folder: The folder's name as the instrument gave it.
        lanes: How many lanes are analysed (`1+2`).
    """

    run_id: str | None = None
    run_name: str | None = None
    folder: str | None = None
    instrument: str | None = None
    model: str | None = None
    flow_cell: str | None = None
    software: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    lanes: int | None = None
    reads: tuple[ReadSegment, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)


def parse_run_parameters(data: bytes, path: str) -> tuple[RunParameters, list[Problem]]:
    """Return what RunParameters.json says.

    Args:
        data: The whole file.
        path: For messages.
    """
    found, problems = parse_object(data, path)
    if found is None:
        return RunParameters(), problems
    date = text_at(found, "Date")
    version = text_at(found, "PlatformVersion")
    lanes = text_at(found, "AnalysisLanes")
    return (
        RunParameters(
            run_id=text_at(found, "RunID"),
            run_name=text_at(found, "RunName"),
            folder=text_at(found, "RunFolderName"),
            instrument=text_at(found, "InstrumentName"),
            model=text_at(found, "InstrumentModel") or text_at(found, "InstrumentType"),
            flow_cell=_flow_cell(found),
            software=f"AVITI OS {version}" if version else None,
            started=to_datetime(date) if date else None,
            started_text=date,
            lanes=len({part for part in lanes.split("+") if part.strip()}) if lanes else None,
            reads=_reads(found),
            raw=dict(_raw(found)),
            personal={f"{path}: {name}": told for name in _PEOPLE if (told := text_at(found, name))},
        ),
        problems,
    )


def _flow_cell(found: JsonObject) -> str | None:
    """Return the flow cell's id: version 4 has it at the top, version 5 also or only among the consumables."""
    return (
        text_at(found, "FlowcellID")
        or text_at(found, "Consumables", "Flowcell", "SerialNumber")
        or text_at(found, "Flowcell", "SerialNumber")
        or text_at(found, "Flowcell")
    )


def _reads(found: JsonObject) -> tuple[ReadSegment, ...]:
    order = [part.strip() for part in (text_at(found, "ReadOrder") or "").split(",") if part.strip()] or list(_ORDER)
    told = [(name, number_at(found, "Cycles", name)) for name in dict.fromkeys([*order, *_ORDER])]
    return tuple(
        ReadSegment(number=number, cycles=int(cycles), is_index=name.startswith("I"))
        for number, (name, cycles) in enumerate(((n, c) for n, c in told if c and c < 10_000), 1)
    )


def _raw(found: JsonObject) -> Iterator[tuple[str, str]]:
    """Give what nothing models, as text; of the consumables each lot and expiry."""
    for key, value in list(found.items())[:50]:
        if key not in (*_MODELED, *_PEOPLE) and isinstance(value, str | int | float) and value != "":
            yield key, str(value)[:500]
    consumables = at(found, "Consumables")
    for name, told in list(consumables.items())[:10] if isinstance(consumables, dict) else ():
        for key in ("SerialNumber", "PartNumber", "LotNumber", "Expiration"):
            value = text_at(told, key)
            if value:
                yield f"{name} {key}", value[:500]


def parse_outcome(data: bytes, path: str) -> tuple[str | None, list[Problem]]:
    """Return the outcome in RunUploaded.json, and what it means when the run did not complete.

    The file is the last one that is transferred, also of a run that failed: that it exists is no success.
    """
    found, problems = parse_object(data, path)
    outcome = text_at(found, "outcome") or text_at(found, "Outcome")
    if outcome is None:
        what = "it does not say how the run ended, so it is not taken as complete; look at the instrument"
        return None, [*problems, warning("NO_OUTCOME", what, path)]
    if outcome != COMPLETED:
        what = f"the instrument says that the run ended with {printable(outcome, 60)}, which is no success"
        problems.append(warning("RUN_FAILED", what, path))
    return outcome, problems


def manifest_samples(data: bytes, path: str) -> tuple[list[SheetSample], list[Problem]]:
    """Return the samples of RunManifest.json or RunManifest.csv, one row an index and lane.

    Args:
        data: The whole file.
        path: Its ending says which of the two it is.
    """
    if path.lower().endswith(".csv"):
        return _csv_samples(data, path)
    found, problems = parse_object(data, path)
    samples = []
    for sample in objects_at(found, "Samples")[:_MOST_SAMPLES]:
        name = text_at(sample, "SampleName")
        if name is None:
            continue
        samples += [
            SheetSample(
                sample_id=name,
                lane=to_int(text_at(index, "Lane")),
                index=text_at(index, "Index1"),
                index2=text_at(index, "Index2"),
                project=text_at(sample, "Project"),
            )
            for index in objects_at(sample, "Indexes") or [JsonObject()]
        ]
    return samples, problems


def _csv_samples(data: bytes, path: str) -> tuple[list[SheetSample], list[Problem]]:
    text, found = decode(data, path)
    problems, samples = list(found), list[SheetSample]()
    section, keys = "", list[str]()
    for number, line in enumerate(lines(text), 1):
        row, balanced = cells(line)
        if not any(row) or row[0].startswith("#"):
            continue
        if row[0].startswith("["):
            section, keys = row[0].strip("[]").lower(), []
        elif section == "samples" and not keys:
            keys = [column_key(cell) for cell in row]
        elif section == "samples" and len(samples) < _MOST_SAMPLES:
            values = dict(zip(keys, row, strict=False))
            if not balanced or not values.get("samplename"):
                problems.append(warning("BAD_ROW", "the row has no SampleName; it was left out", path, number))
                continue
            samples.append(_row(values, number))
    return samples, problems


def _row(values: dict[str, str], number: int) -> SheetSample:
    return SheetSample(
        sample_id=values["samplename"],
        lane=to_int(values.get("lane")),  # `1+2` is both lanes, as an empty cell is
        index=values.get("index1") or None,
        index2=values.get("index2") or None,
        project=values.get("project") or None,
        line=number,
    )
