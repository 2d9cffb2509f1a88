"""Element Biosciences AVITI: run folders (one flow cell, side A or B), and the output of bases2fastq or cells2stats.

No whole run folder with a free licence is known: folder and RunParameters.json are read as public programs and
documents describe them (the warning FROM_DOCUMENTS says so); RunStats.json and RunManifest.json are tried on real ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, SheetSample, has_mates
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.parsers.checksums import attach_checksums, is_checksum_list
from labrelay.parsers.element_run import (
    COMPLETED,
    RunParameters,
    manifest_samples,
    parse_outcome,
    parse_run_parameters,
)
from labrelay.parsers.element_stats import CAP, Stats, parse_instrument_stats, parse_run_stats
from labrelay.parsers.fastq_names import (
    SEQUENCES,
    is_fastq,
    lone_mates,
    name_problems,
    name_reads,
    pair_reads,
    run_file,
)
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.sheet_match import match_reads
from labrelay.parsers.text import warning

NAME = "element"
LOOKED_FOR = (
    "RunParameters.json with RunManifest, AvitiRunStats.json, RunUploaded.json, or RunStats.json of bases2fastq"
)
_OF_STATS = (b'"NumPolonies', b'"AnalysisVersion"', b'"FlowCellID"')
_RAW = re.compile(r"(?:.*/)?(?:BaseCalls|Filter|Location|Alignment|BaseCalling)/", re.IGNORECASE)
_UNASSIGNED = ("unassigned", "undetermined")


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
            # The run is known without any one of these files.
            self.problems.append(warning(found.code, found.message, found.path))
            return None
        return found


def detect(listing: Listing) -> Detection | None:
    """Say whether an AVITI or its programs wrote this folder, or this one file."""
    names = ("runuploaded.json", "avitirunstats.json", "runparameters.json", "runmanifest.json", "runmanifest.csv")
    found = {entry.name.lower(): entry.path for entry in _shallow(listing) if entry.name.lower() in names}
    if "runparameters.json" in found and len(found) > 1:
        return Detection(platform=NAME, confidence=1.0, evidence=tuple(found.values())[:3])
    if "avitirunstats.json" in found or "runparameters.json" in found or "runuploaded.json" in found:
        return Detection(platform=NAME, confidence=0.8, evidence=tuple(found.values())[:3])
    stats = [entry.path for entry in _shallow(listing) if _is_stats(entry, listing)]
    if stats:
        return Detection(platform=NAME, confidence=0.9, evidence=(*stats[:1], *list(found.values())[:2]))
    manifest = found.get("runmanifest.json") or found.get("runmanifest.csv")
    return Detection(platform=NAME, confidence=0.6, evidence=(manifest,)) if manifest else None


def _shallow(listing: Listing) -> Iterator[Entry]:
    return (entry for entry in listing.files if entry.path.count("/") < 3)


def _is_stats(entry: Entry, listing: Listing) -> bool:
    if entry.name.lower() != "runstats.json":
        return False
    head = read_head(listing.root, entry.path)
    return any(sign in head for sign in _OF_STATS)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the run as its folder describes it.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder, or of one file.
    """
    reading = _Reading(listing, list(listing.problems))
    name = folder.resolve().name
    about = _parameters(reading)
    stats = _run_stats(reading)
    samples = tuple(_samples(reading) or [SheetSample(sample_id=each) for each in (stats.samples if stats else ())])
    files = _files(reading, samples, mates=has_mates(about.reads))
    completion = _completion(reading, files, stats)
    return InstrumentRun(
        run_id=_run_id(reading, about, stats, name),
        folder_name=name,
        platform=NAME,
        instrument_model=about.model or ("AVITI" if about.instrument or stats else None),
        instrument_serial=about.instrument,
        software=about.software or (stats.program if stats else None),
        flow_cell=about.flow_cell or (stats.flow_cell if stats else None),
        started=about.started,
        started_text=about.started_text,
        lanes=about.lanes,
        reads=about.reads,
        samples=samples,
        files=tuple(sorted(files, key=lambda file: file.path)),
        qc=tuple(_quality(reading, stats)),
        completion=completion,
        problems=tuple(reading.problems),
        raw={"RunParameters.json": about.raw} if about.raw else {},
        personal=about.personal,
    )


def _first(listing: Listing, name: str) -> Entry | None:
    """Return the file of this name that lies highest."""
    found = sorted(listing.named(name), key=lambda entry: (entry.path.count("/"), entry.path))
    return found[0] if found else None


def _parameters(reading: _Reading) -> RunParameters:
    entry = _first(reading.listing, "runparameters.json")
    data = reading.data(entry)
    if entry is None or data is None:
        return RunParameters()
    about, problems = parse_run_parameters(data, entry.path)
    what = "run folders of this instrument are read as documents describe them; look whether what is said here is right"
    reading.problems += [*problems, warning("FROM_DOCUMENTS", what, entry.path)]
    return about


def _run_stats(reading: _Reading) -> Stats | None:
    entry = _first(reading.listing, "runstats.json")
    data = reading.data(entry, CAP)
    if entry is None or data is None:
        return None
    stats, problems = parse_run_stats(data, entry.path)
    reading.problems += problems
    return stats


def _run_id(reading: _Reading, about: RunParameters, stats: Stats | None, name: str) -> str:
    """Return the id inside the files; say where files and folder disagree."""
    run_id = about.run_id or about.folder or (stats.run_id if stats else None) or (stats.run_name if stats else None)
    if run_id is None:
        what = "no file says the run's id, so the folder's name is used; keep that name"
        reading.problems.append(warning("RUN_ID_FROM_FOLDER", what))
        return name
    if about.folder and about.folder != name:
        what = f"the folder is called {printable(name, 80)} and the instrument called it {printable(about.folder, 80)}"
        reading.problems.append(warning("ID_MISMATCH", f"{what}; the run's id is used", "RunParameters.json"))
    if stats and about.run_id and stats.run_id and stats.run_id != about.run_id:
        what = (
            f"its statistics are of run {printable(stats.run_id, 80)} and the folder is {printable(about.run_id, 80)}"
        )
        reading.problems.append(warning("WRONG_RUN", f"{what}; take one away", "RunStats.json"))
    return run_id


def _samples(reading: _Reading) -> list[SheetSample]:
    """Return the rows of RunManifest.json, which bases2fastq made complete, else of the person's RunManifest.csv."""
    for name in ("runmanifest.json", "runmanifest.csv"):
        entry = _first(reading.listing, name)
        data = reading.data(entry)
        if entry is not None and data is not None and data.strip():
            samples, problems = manifest_samples(data, entry.path)
            reading.problems += problems
            if samples:
                return samples
    return []


def _files(reading: _Reading, samples: tuple[SheetSample, ...], *, mates: bool) -> list[RunFile]:
    entries = reading.listing.files
    names = name_reads([entry.path for entry in entries if is_fastq(entry.name)])
    files = []
    for entry in entries:
        if entry.path not in names:
            continue
        file = run_file(entry, names[entry.path])
        lost = (file.sample or "").lower() in _UNASSIGNED and file.role in SEQUENCES
        files.append(file.model_copy(update={"role": FileRole.UNDETERMINED, "sample": None}) if lost else file)
    files, problems = match_reads(files, samples, "RunManifest")
    if files:
        reading.problems += problems
    reading.problems += [*name_problems(files), *pair_reads(files).problems, *lone_mates(files, by_recipe=mates)]
    raw = 0
    for entry in entries:
        if entry.path in names:
            continue
        if _RAW.match(entry.path):
            raw += 1
        else:
            files.append(RunFile(path=entry.path, size=entry.size, role=_role(entry)))
    files, sums, _ = attach_checksums(reading.listing, files)
    reading.problems += sums
    if raw:
        what = f"{counted(raw, 'file')} of raw base calls not stored; keep the folder to convert again"
        reading.problems.append(warning("RAW_BASECALLS_LEFT", what))
    return files


def _role(entry: Entry) -> FileRole:
    name = entry.name.lower()
    if is_checksum_list(entry.name):
        return FileRole.CHECKSUMS
    if name.startswith("runmanifest"):
        return FileRole.SAMPLE_SHEET
    if name.endswith(".log"):
        return FileRole.LOG
    if name == "runthumbnail.png":
        return FileRole.THUMBNAIL
    reports = ("runstats.json", "metrics.csv", "indexassignment.csv", "unassignedsequences.csv", ".html")
    if name.endswith(reports) and name != "avitirunstats.json":
        return FileRole.CONVERSION_REPORT
    return FileRole.RUN_METADATA if name.endswith((".json", ".csv", ".txt", ".xml")) else FileRole.OTHER


def _completion(reading: _Reading, files: list[RunFile], stats: Stats | None) -> Completion:
    reads = next((file.path for file in files if file.role in SEQUENCES), None)
    report = _first(reading.listing, "runstats.json") if stats else None
    evidence = report.path if report else reads
    of_run = _first(reading.listing, "runparameters.json")
    converted = Fact(value=Known.YES, evidence=evidence) if evidence else Fact()
    if of_run and not reads:
        converted = Fact(value=Known.NO, evidence=of_run.path)
        what = "the folder holds no FASTQ file of a sample yet; convert the run with bases2fastq first"
        reading.problems.append(warning("NOT_CONVERTED", what))
    entry = _first(reading.listing, "runuploaded.json")
    data = reading.data(entry)
    if entry is None or data is None:
        if of_run:
            what = "there is no RunUploaded.json, which is the last file that comes: is the run still going?"
            reading.problems.append(warning("MARKER_MISSING", what))
        return Completion(converted=converted)
    outcome, problems = parse_outcome(data, entry.path)
    reading.problems += problems
    value = Known.YES if outcome == COMPLETED else Known.NO if outcome else Known.UNKNOWN
    return Completion(
        acquired=Fact(value=value, evidence=entry.path),
        copied=Fact(value=Known.YES, evidence=entry.path),
        converted=converted,
    )


def _quality(reading: _Reading, stats: Stats | None) -> list[QCMetric]:
    metrics = list(stats.metrics) if stats else []
    entry = _first(reading.listing, "avitirunstats.json")
    data = reading.data(entry, CAP)
    if entry is not None and data is not None:
        found, problems = parse_instrument_stats(data, entry.path)
        reading.problems += problems
        known = {(metric.scope, metric.name) for metric in metrics}
        metrics += [metric for metric in found if (metric.scope, metric.name) not in known]
    return metrics
