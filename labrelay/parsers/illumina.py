"""Illumina run folders, and the output of BCL Convert or bcl2fastq with or without the run around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, InstrumentRun, Known, RunFile, SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers import conversion, illumina_files
from labrelay.parsers.checksums import attach_checksums
from labrelay.parsers.fastq_names import is_fastq, lone_mates, name_problems, name_reads, pair_reads, run_file
from labrelay.parsers.illumina_completion import completion_of
from labrelay.parsers.illumina_runinfo import (
    RunInfo,
    RunParameters,
    model_of_serial,
    parse_run_info,
    parse_run_parameters,
)
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.samplesheet import SampleSheet, read_sample_sheet
from labrelay.parsers.sheet_match import match_reads, sheets_differ
from labrelay.parsers.text import error, warning

NAME = "illumina"
LOOKED_FOR = "RunInfo.xml, Reports/Demultiplex_Stats.csv or Stats/Stats.json"
_REPORT_CAP = 64 * 1024 * 1024


@dataclass
class _Reading:
    """What has been read of one folder so far."""

    listing: Listing
    problems: list[Problem] = field(default_factory=list)

    def data(self, entry: Entry | None, cap: int | None = None) -> bytes | None:
        if entry is None:
            return None
        found = read_small(self.listing.root, entry.path, cap) if cap else read_small(self.listing.root, entry.path)
        if isinstance(found, Problem):
            self.problems.append(found)
            return None
        return found


def detect(listing: Listing) -> Detection | None:
    """Say whether this is an Illumina folder: RunInfo.xml is certain, a conversion report alone is likely."""
    run_info = listing.find("RunInfo.xml")
    if run_info is not None:
        beside = [entry.path for entry in (listing.find("RunParameters.xml"), listing.find("SampleSheet.csv")) if entry]
        return Detection(platform=NAME, confidence=1.0, evidence=(run_info.path, *beside))
    reports = [entry.path for entry in _reports(listing)]
    return Detection(platform=NAME, confidence=0.9, evidence=tuple(reports[:3])) if reports else None


def _reports(listing: Listing) -> Iterator[Entry]:
    for entry in listing.named("demultiplex_stats.csv", "stats.json"):
        if entry.folder.lower().rpartition("/")[2] in ("reports", "stats"):
            yield entry


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the run as the folder describes it; what is wrong stands in its problems.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder.
    """
    reading = _Reading(listing, list(listing.problems))
    info = _run_info(reading)
    parameters = _run_parameters(reading)
    chosen, several = illumina_files.one_conversion(listing.files)
    reading.problems += several
    qc, stated = _quality(reading, chosen)
    name = folder.resolve().name
    run_id = _run_id(reading, info, parameters, stated, name)
    model = parameters.model or model_of_serial(info.instrument if info else None)
    samples, sheet = _sheet(reading, chosen, info.lanes if info else None)
    files = _files(reading, chosen, samples, sheet)
    completion, found = completion_of(listing, model, parameters, len(chosen))
    reading.problems += [*found, *_no_reads(completion, files)]
    return InstrumentRun(
        run_id=run_id,
        folder_name=name,
        platform=NAME,
        instrument_model=model,
        instrument_serial=(info.instrument if info else None) or parameters.serial,
        flow_cell=info.flow_cell if info else None,
        started=parameters.started or (info.started if info else None),
        started_text=parameters.started_text or (info.started_text if info else None),
        lanes=info.lanes if info else None,
        reads=info.reads if info else (),
        samples=samples,
        files=tuple(files),
        qc=tuple(qc),
        completion=completion,
        problems=tuple(reading.problems),
    )


def _run_info(reading: _Reading) -> RunInfo | None:
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


def _run_parameters(reading: _Reading) -> RunParameters:
    entry = reading.listing.find("RunParameters.xml")
    data = reading.data(entry)
    if entry is None or data is None:
        return RunParameters()
    parameters, problems = parse_run_parameters(data, entry.path)
    # The run is known without this file, so what is wrong with it refuses nothing.
    reading.problems += [warning(problem.code, problem.message, problem.path, problem.line) for problem in problems]
    return parameters


def _run_id(
    reading: _Reading, info: RunInfo | None, parameters: RunParameters, stated: dict[str, str], name: str
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


def _quality(reading: _Reading, chosen: list[Entry]) -> tuple[list[QCMetric], dict[str, str]]:
    """Return the converter's metrics and the run ids that its reports state, by path."""
    metrics: list[QCMetric] = []
    stated: dict[str, str] = {}
    for entry in _of_chosen(chosen, _reports(reading.listing)):
        data = reading.data(entry, _REPORT_CAP)
        if data is None:
            continue
        if entry.name.lower() == "stats.json":
            run_id, found, problems = conversion.bcl2fastq_metrics(data, entry.path)
            if run_id:
                stated[entry.path] = run_id
        else:
            beside = reading.listing.find(f"{entry.folder}/Quality_Metrics.csv")
            quality = reading.data(beside, _REPORT_CAP)
            pair = (quality, beside.path) if beside is not None and quality is not None else None
            found, problems = conversion.bcl_convert_metrics((data, entry.path), pair)
        metrics += found
        reading.problems += problems
    return metrics, stated


def _sheet(reading: _Reading, chosen: list[Entry], lanes: int | None) -> tuple[tuple[SheetSample, ...], str | None]:
    """Return the rows and the path of the sheet that made the FASTQ files, else of the one in the run folder."""
    listing = reading.listing
    nested = (e for e in listing.named("samplesheet.csv") if e.folder.lower().rpartition("/")[2] == "reports")
    own = listing.find("SampleSheet.csv")
    candidates = [*_of_chosen(chosen, nested), *([own] if own else [])]
    if not candidates:
        candidates = [e for e in listing.named("samplesheet.csv") if "basecalls" in e.folder.lower()][:1]
    read_sheets: list[tuple[Entry, SampleSheet]] = []
    for entry in candidates:
        data = reading.data(entry)
        if data is not None:
            read_sheets.append((entry, read_sample_sheet(data, entry.path, lanes)))
    if not read_sheets:
        if not candidates:
            reading.problems.append(
                warning("NO_SAMPLE_SHEET", "the folder has no SampleSheet.csv; samples are unassigned")
            )
        return (), None
    used, sheet = read_sheets[0]
    reading.problems += sheet.problems
    for other, second in read_sheets[1:]:
        reading.problems += sheets_differ(sheet.samples, second.samples, used.path, other.path)
    return sheet.samples, used.path


def _files(
    reading: _Reading, chosen: list[Entry], samples: tuple[SheetSample, ...], sheet: str | None
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
    reading.problems += [*name_problems(files), *pair_reads(files).problems, *lone_mates(files)]
    reading.problems += found if chosen else []
    others = []
    for entry in reading.listing.files:
        role_found = illumina_files.role_of(entry.path) if not is_fastq(entry.name) else None
        if role_found is not None:
            files.append(RunFile(path=entry.path, size=entry.size, role=role_found))
        elif not is_fastq(entry.name):
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
    return [warning("NOT_CONVERTED", "the folder holds no FASTQ file of a sample yet; convert the run first")]
