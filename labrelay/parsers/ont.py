"""Oxford Nanopore: run folders of MinKNOW (MinION, GridION, PromethION, P2), one flow cell or a whole experiment.

A folder may hold one run, a sample with several flow cells, or an experiment; each flow cell is a unit with its own
end. What passed is the samples' reads: a barcode's alias, else the barcode, else the sample that was loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Detection, InstrumentRun, RunFile
from labrelay.model.problem import Problem
from labrelay.parsers.checksums import attach_checksums, is_checksum_list
from labrelay.parsers.listing import Entry, Listing, read_head
from labrelay.parsers.ont_places import groups_of, place_of
from labrelay.parsers.ont_quality import quality_of
from labrelay.parsers.ont_run import Run, completion_of, read_run_of, unit_of
from labrelay.parsers.ont_samples import files_of, no_reads, odd_files, samples_of
from labrelay.parsers.text import warning
from labrelay.parsers.units import together

NAME = "ont"
LOOKED_FOR = "final_summary_*.txt, sequencing_summary_*.txt, folders such as fastq_pass, or *.pod5"
_MOST_RUNS = 500
_HINTS = ("_pass/", "_fail/")
# Hosts and devices of Oxford Nanopore by the beginning of their names.
_MODELS = (
    ("PC24", "PromethION 24"), ("PC48", "PromethION 48"), ("PCA", "PromethION"), ("PCT", "PromethION"),
    ("P2S", "P2 Solo"), ("P2I", "P2i"), ("GXB", "GridION"), ("MC-", "MinION Mk1C"), ("MD-", "MinION Mk1D"),
    ("MN", "MinION"),
)  # fmt: skip


def detect(listing: Listing) -> Detection | None:
    """Say whether MinKNOW wrote this folder, or this one file."""
    found: dict[str, str] = {}
    for entry in listing.files:
        sign = _sign(entry, "passed" in found)
        if sign is not None:
            found.setdefault(sign, entry.path)
    evidence = tuple(found[sign] for sign in sorted(found))[:3]
    if "final_summary" in found and b"=" in read_head(listing.root, found["final_summary"], 4096):
        return Detection(platform=NAME, confidence=1.0, evidence=evidence)
    table = found.get("sequencing_summary")
    head = read_head(listing.root, table, 4096) if table else b""
    if found.keys() & {"passed", "failed"} or b"read_id" in head or head.startswith(b"\x1f\x8b"):
        return Detection(platform=NAME, confidence=0.9, evidence=evidence)
    return Detection(platform=NAME, confidence=0.6, evidence=evidence) if "signal" in found else None


def _sign(entry: Entry, passed: bool) -> str | None:
    name = entry.name
    if name.startswith(("final_summary", "sequencing_summary")):
        return place_of(entry).kind
    if name.endswith((".pod5", ".fast5")):
        return "signal"
    if not passed and any(hint in entry.path for hint in _HINTS) and place_of(entry).kind in ("fastq", "bam"):
        return "passed" if "_pass/" in entry.path else "failed"
    return None


def roots(listing: Listing) -> list[str]:
    """Return the folders of the single runs in the folder of an experiment, each of which ends by itself."""
    groups, _ = groups_of(place_of(entry) for entry in listing.files)
    return list(dict.fromkeys(group.root for group in groups))


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the run or runs of the folder as one; each flow cell is one of its units.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder, or of one file.
    """
    name = folder.resolve().name
    groups, others = groups_of(place_of(entry) for entry in listing.files)
    problems = [*listing.problems]
    if len(groups) > _MOST_RUNS:
        problems.append(
            warning("TOO_MANY_RUNS", f"only the first {_MOST_RUNS} of its runs were read; give one of them")
        )
        others += [place for group in groups[_MOST_RUNS:] for place in group.data]
    runs = [read_run_of(group, listing) for group in groups[:_MOST_RUNS]]
    units = tuple(unit_of(run, completion_of(run, alone=len(listing.files) == 1)) for run in runs)
    several = len({run.sample for run in runs}) > 1
    files = [file for run in runs for file in files_of(run, several)]
    files += [_other(place.entry) for place in others]
    files, sums, _ = attach_checksums(listing, files)
    samples = tuple(dict.fromkeys(sample for run in runs for sample in samples_of(run, several)))
    run_id, told = _run_id(runs, name)
    qc, said = quality_of(listing, runs, several)
    problems += [*told, *sums, *(problem for run in runs for problem in run.problems), *odd_files(files, runs), *said]
    summaries = [run.summary for run in runs if run.summary]
    started = min((each for run in runs if (each := _started(run))), default=None, key=_instant)
    return InstrumentRun(
        run_id=run_id,
        folder_name=name,
        platform=NAME,
        instrument_model=_one(_model(run) for run in runs),
        instrument_serial=_one(_instrument(run) for run in runs),
        software=_one(run.report.software or run.signal.software for run in runs),
        flow_cell=", ".join(dict.fromkeys(run.flow_cell for run in runs[:8] if run.flow_cell)) or None,
        started=started,
        started_text=_one(_started_text(run) for run in runs),
        ended=max((each for run in runs if (each := _ended(run))), default=None, key=_instant),
        samples=samples,
        files=tuple(sorted(files, key=lambda file: file.path)),
        units=units,
        qc=(*qc, *no_reads(samples, files, units, qc)),
        completion=together(units),
        problems=tuple(problems),
        raw={each.path: {k: v[:500] for k, v in list(each.fields.items())[:50]} for each in summaries[:8]},
        personal={key: value for run in runs for key, value in run.report.personal.items()},
    )


def _other(entry: Entry) -> RunFile:
    role = FileRole.CHECKSUMS if is_checksum_list(entry.name) else FileRole.OTHER
    return RunFile(path=entry.path, size=entry.size, role=role)


def _run_id(runs: Sequence[Run], name: str) -> tuple[str, list[Problem]]:
    """Return the id of the one run; of several, experiment, sample and first start, which later flow cells keep."""
    if len(runs) == 1 and runs[0].run_id:
        return runs[0].run_id, []
    experiment, sample = _one(run.experiment for run in runs), _one(run.sample for run in runs)
    starts = [each for run in runs if (each := _started(run))]
    if experiment is None or not starts:
        what = "no file says the run's id, so the folder's name is used; keep that name"
        return name, [warning("RUN_ID_FROM_FOLDER", what)]
    first = min(starts, key=_instant).strftime("%Y%m%d_%H%M")
    return "_".join(part for part in (experiment, sample, first) if part), []


def _one(values: Iterable[str | None]) -> str | None:
    """Return the value that all have, or None."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _instrument(run: Run) -> str | None:
    return (run.summary.text("instrument") if run.summary else None) or run.report.device or run.signal.device


def _model(run: Run) -> str | None:
    serial = _instrument(run) or ""
    told = run.report.device_type or run.signal.device_type
    return told or next((model for start, model in _MODELS if serial.startswith(start)), None)


def _started(run: Run) -> datetime | None:
    return (run.summary.time("started") if run.summary else None) or run.report.started or run.signal.started


def _started_text(run: Run) -> str | None:
    return (run.summary.text("started") if run.summary else None) or run.report.started_text


def _ended(run: Run) -> datetime | None:
    summary = run.summary
    told = (summary.time("processing_stopped") or summary.time("acquisition_stopped")) if summary else None
    return told or run.report.ended


def _instant(time: datetime) -> float:
    """Return seconds, so that times with and without a zone can be put in order."""
    try:
        return time.timestamp()
    except (OverflowError, ValueError, OSError):
        return 0.0
