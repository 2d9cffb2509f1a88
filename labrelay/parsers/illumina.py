"""Illumina run folders, and the output of BCL Convert or bcl2fastq with or without the run around it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, CycleQuality, Detection, InstrumentRun, Known, RunFile, SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers import conversion, illumina_files
from labrelay.parsers.checksums import attach_checksums
from labrelay.parsers.fastq_names import is_fastq, lone_mates, name_problems, name_reads, pair_reads, run_file
from labrelay.parsers.illumina_completion import completion_of
from labrelay.parsers.illumina_models import finer_model, side_of
from labrelay.parsers.illumina_parameters import RunParameters, parse_run_parameters
from labrelay.parsers.illumina_reports import read_reports, reports_in
from labrelay.parsers.illumina_runinfo import RunInfo, parse_run_info
from labrelay.parsers.illumina_sheets import asks_for_mates, sheet_fields, sheet_of
from labrelay.parsers.illumina_times import end_of_base_calling, start_of
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.reading import Reading
from labrelay.parsers.samplesheet import SampleSheet
from labrelay.parsers.sheet_match import match_reads
from labrelay.parsers.text import decode, error, warning

NAME = "illumina"
LOOKED_FOR = "RunInfo.xml, Reports/Demultiplex_Stats.csv or Stats/Stats.json"
_MARKER_CAP = 4096


def detect(listing: Listing) -> Detection | None:
    """Say whether this is an Illumina folder: RunInfo.xml is certain, a conversion report alone is likely."""
    run_info = listing.find("RunInfo.xml")
    if run_info is not None:
        beside = [entry.path for entry in (listing.find("RunParameters.xml"), listing.find("SampleSheet.csv")) if entry]
        return Detection(platform=NAME, confidence=1.0, evidence=(run_info.path, *beside))
    reports = [entry.path for entry in reports_in(listing)]
    return Detection(platform=NAME, confidence=0.9, evidence=tuple(reports[:3])) if reports else None


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the run as the folder describes it; what is wrong stands in its problems.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder.
    """
    reading = Reading(listing, list(listing.problems))
    info = _run_info(reading)
    parameters = _run_parameters(reading)
    chosen, several = illumina_files.one_conversion(listing.files)
    reading.problems += several
    reports = read_reports(reading, _of_chosen(chosen, reports_in(listing)))
    name = folder.resolve().name
    run_id = _run_id(reading, info, parameters, reports.stated, name)
    serial = (info.instrument if info else None) or parameters.serial
    model = finer_model(parameters.model, serial)
    sheet, sheet_path = _sheet(reading, chosen, info)
    samples = sheet.samples if sheet else ()
    files = _files(reading, chosen, samples, sheet_path, mates=asks_for_mates(sheet, info.reads if info else ()))
    completion, told, found = completion_of(listing, model, parameters, len(chosen))
    reading.problems += [*found, *_no_reads(completion, files), *reports.suspects(samples)]
    seen = _interop(reading, info)
    started, text, ended = _times(reading, run_id, info, parameters)
    flow_cell = (info.flow_cell if info else None) or parameters.flow_cell
    raw, personal = _told(parameters, sheet, sheet_path)
    return InstrumentRun(
        run_id=run_id,
        folder_name=name,
        platform=NAME,
        instrument_model=model,
        instrument_serial=serial,
        software=parameters.software,
        flow_cell=flow_cell,
        flow_cell_type=parameters.flow_cell_type,
        position=parameters.position or side_of(run_id, flow_cell, model),
        started=started,
        started_text=text,
        ended=ended,
        lanes=info.lanes if info else None,
        reads=info.reads if info else (),
        samples=samples,
        files=tuple(files),
        qc=(*seen, *told, *parameters.metrics, *reports.metrics),
        completion=completion,
        problems=tuple(reading.problems),
        raw=raw,
        personal=personal,
    )


def cycles(listing: Listing, run: InstrumentRun) -> tuple[CycleQuality, ...]:
    """Return the share of Q30 in each lane and cycle; nothing where no whole InterOp file tells it."""
    from labrelay.parsers.interop_quality import cycle_quality

    return cycle_quality(listing, run.reads, run.lanes)


def _interop(reading: Reading, info: RunInfo | None) -> list[QCMetric]:
    if info is None or not any(entry.path.lower().startswith("interop/") for entry in reading.listing.files):
        return []
    # These need numpy, which takes longer to import than all the rest to be read.
    from labrelay.parsers.interop_quality import interop_metrics

    return interop_metrics(reading, info.reads, info.lanes)


def _times(
    reading: Reading, run_id: str, info: RunInfo | None, parameters: RunParameters
) -> tuple[datetime | None, str | None, datetime | None]:
    """Return start, its raw text and end: the finest that a file states."""
    source = "RunInfo.xml" if parameters.started is None else "RunParameters.xml"
    said = info if parameters.started is None else parameters
    text = said.started_text if said else None
    started, problems = start_of(run_id, said.started if said else None, text, source)
    reading.problems += problems
    marker = reading.listing.find("RTAComplete.txt")
    if parameters.ended is not None or marker is None or marker.size > _MARKER_CAP:
        return started, text, parameters.ended
    data = reading.data(marker, needed=False)
    return started, text, end_of_base_calling(decode(data, marker.path).text, started) if data else None


def _told(
    parameters: RunParameters, sheet: SampleSheet | None, path: str | None
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return what nothing models, by file, and what tells of people and machines."""
    raw = {"RunParameters.xml": parameters.raw}
    personal = {f"RunParameters.xml: {name}": text for name, text in parameters.personal.items()}
    if sheet is not None and path is not None:
        raw[path], of_sheet = sheet_fields(sheet, path)
        personal.update(of_sheet)
    return {name: fields for name, fields in raw.items() if fields}, personal


def _run_info(reading: Reading) -> RunInfo | None:
    listing = reading.listing
    entry = listing.find("RunInfo.xml") or next(
        (entry for entry in listing.named("runinfo.xml") if entry.folder.lower().endswith("reports")), None
    )
    data = reading.data(entry)
    if entry is None or data is None:
        return None
    info, problems = parse_run_info(data, entry.path)
    reading.problems += problems
    return info


def _run_parameters(reading: Reading) -> RunParameters:
    entry = reading.listing.find("RunParameters.xml")
    data = reading.data(entry, needed=False)
    if entry is None or data is None:
        return RunParameters()
    parameters, problems = parse_run_parameters(data, entry.path)
    # The run is known without this file, so what is wrong with it refuses nothing.
    reading.problems += [warning(problem.code, problem.message, problem.path, problem.line) for problem in problems]
    return parameters


def _run_id(
    reading: Reading, info: RunInfo | None, parameters: RunParameters, stated: dict[str, str], name: str
) -> str:
    """Return the id inside RunInfo.xml, else in a report, else the folder's name; say where they disagree."""
    run_id = info.run_id if info else next(iter(stated.values()), None)
    if run_id is None:
        text = "no file says the run's id, so the folder's name is used; keep that name"
        reading.problems.append(warning("RUN_ID_FROM_FOLDER", text))
        return name
    for path, other in stated.items():
        reading.problems += conversion.wrong_run(other, run_id, path)
    if parameters.run_id and parameters.run_id != run_id:
        text = f"it is about run {printable(parameters.run_id, 80)} and RunInfo.xml about {printable(run_id, 80)}"
        reading.problems.append(warning("ID_MISMATCH", f"{text}; the latter is used", "RunParameters.xml"))
    if info is not None and name != run_id and reading.listing.find("RunInfo.xml"):
        text = f"the folder is called {printable(name, 80)} and holds run {printable(run_id, 80)}; the run's id is used"
        reading.problems.append(warning("ID_MISMATCH", text, "RunInfo.xml"))
    return run_id


def _chosen_roots(chosen: list[Entry]) -> set[str]:
    return {illumina_files.conversion_root(entry.path) for entry in chosen}


def _of_chosen(chosen: list[Entry], entries: Iterator[Entry]) -> list[Entry]:
    """Return those entries that belong to a conversion whose FASTQ files are taken; all when there are none."""
    roots = _chosen_roots(chosen)
    found = list(entries)
    return [entry for entry in found if illumina_files.conversion_root(entry.path) in roots] or found


def _sheet(reading: Reading, chosen: list[Entry], info: RunInfo | None) -> tuple[SampleSheet | None, str | None]:
    """Return the sheet that made the FASTQ files, else the one in the run folder, and its path."""
    nested = (e for e in reading.listing.named("samplesheet.csv") if e.folder.lower().rpartition("/")[2] == "reports")
    made = _of_chosen(chosen, nested)
    return sheet_of(reading, made, info.lanes if info else None, info.reads if info else ())


def _files(
    reading: Reading, chosen: list[Entry], samples: tuple[SheetSample, ...], sheet: str | None, *, mates: bool
) -> list[RunFile]:
    names = name_reads([entry.path for entry in chosen])
    files = []
    for entry in chosen:
        name = names[entry.path]
        files.append(run_file(entry, name))
        if name.pattern == "single":
            text = "the name follows no pattern of Illumina's; the whole name is taken as the sample"
            reading.problems.append(warning("UNUSUAL_NAME", text, entry.path))
    files, found = match_reads(files, samples, sheet)
    reading.problems += [*name_problems(files), *pair_reads(files).problems, *lone_mates(files, by_recipe=mates)]
    reading.problems += found if chosen else []
    others = []
    for entry in reading.listing.files:
        if is_fastq(entry.path):
            continue
        role_found = illumina_files.role_of(entry.path)
        if role_found is not None:
            files.append(RunFile(path=entry.path, size=entry.size, role=role_found))
        else:
            others.append(entry)
    reading.problems += illumina_files.left_behind(others)
    files, wrong, _ = attach_checksums(reading.listing, files)
    reading.problems += wrong
    return sorted(files, key=lambda file: file.path)


def _no_reads(completion: Completion, files: list[RunFile]) -> list[Problem]:
    if any(file.role is FileRole.READS for file in files):
        return []
    if completion.converted.value is Known.YES:
        text = "it says that the reads were converted, and the folder holds no FASTQ file of a sample; bring them"
        return [error("NO_READS", text, completion.converted.evidence)]
    return [
        warning("NOT_CONVERTED", "the folder holds no FASTQ file of a sample yet; convert it with labrelay demultiplex")
    ]
