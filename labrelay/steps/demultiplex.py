"""Raw base calls become reads: an Illumina run folder without FASTQ is converted into one that can be processed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.canonical import JSONValue, digest
from labrelay.model.errors import MissingTool, RefusedInput, UsageError
from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun
from labrelay.model.problem import Problem, errors_of
from labrelay.model.words import counted
from labrelay.parsers import illumina
from labrelay.parsers.illumina_runinfo import parse_run_info
from labrelay.parsers.illumina_sheets import sheet_of
from labrelay.parsers.listing import Listing, read_small, walk
from labrelay.parsers.reading import Reading
from labrelay.parsers.samplesheet import read_sample_sheet
from labrelay.steps.adapters import local_engine
from labrelay.steps.demultiplex_folder import collect, made_before
from labrelay.steps.demultiplex_plan import BCL_CONVERT, PICARD, Given, plan_of
from labrelay.steps.demultiplex_run import WORKFLOW, Asked, Bundled, convert, scratch_of
from labrelay.steps.home import LOCK, Home
from labrelay.steps.readiness import unarrived
from labrelay.steps.samplesheet import small_file
from labrelay.stores.durable import file_lock, make_dirs, storage_errors
from labrelay.workflows.local import picard
from labrelay.workflows.nextflow.runtime import java
from labrelay.workflows.registry import Registry

NOTHING = "there is not one read: did any cluster pass the instrument's filter?"
_LANE = re.compile(r"Data/Intensities/BaseCalls/L(\d{3})/", re.IGNORECASE)


@dataclass(frozen=True)
class Demultiplexed:
    """A run folder with reads: where it is, of which run, by what, and what a person has to know.

    Attributes:
        already: It was there before, made of the same.
        reads: Files of reads.
    """

    folder: Path
    run_id: str
    converter: str
    samples: int
    lanes: tuple[int, ...]
    reads: int
    notes: tuple[str, ...]
    already: bool


def demultiplex(
    home: Home,
    folder: Path,
    out: Path,
    sheet: Path | None = None,
    converter: str | None = None,
    *,
    assume_complete: bool = False,
) -> Demultiplexed:
    """Convert a run folder's raw base calls; repeating it goes on where it stopped, or changes nothing.

    Args:
        home: Whose engine on this machine works.
        folder: The instrument's folder; nothing in it is changed.
        out: The folder to make: reads, reports, and what describes the run. It is there whole or not at all.
        sheet: A sample sheet in place of the folder's own.
        converter: `bcl-convert` or `picard`; None: the first on PATH.
        assume_complete: A person says that the run is complete though its marker is missing.

    Raises:
        UsageError: There is no such run, no base calls, or no sheet.
        RefusedInput: With all that forbids it: the run is not finished, indexes collide, lanes are missing.
        MissingTool: Neither converter is here.
        Conflict: `out` is there, and is something else.
        EngineFailed: The converter failed; the sentence has its last words.
    """
    tell = home.progress
    tell.stage("parse", folder.name)
    asked = _asked(home, folder, out, sheet, converter, assume_complete)
    run, plan = asked.run, asked.plan
    tell.done("parse", f"run {run.run_id}: {counted(plan.samples, 'sample')}, {counted(len(plan.lanes), 'lane')}")
    made, already = _made(home, asked, out)
    notes = plan.notes if made else (*plan.notes, NOTHING)
    return Demultiplexed(out, run.run_id, asked.converter, plan.samples, plan.lanes, made, notes, already)


def _made(home: Home, asked: Asked, out: Path) -> tuple[int, bool]:
    """Convert the run and put its reads into `out`; return how many files these are, and if they were there before."""
    tell, scratch = home.progress, scratch_of(home, asked.key)
    # Beside the scratch, which goes while it is held, and stays; another process may have ended just before. Two of
    # different base calls into one folder would each take hours, and meet where the second one gets its name.
    place = scratch.with_name(f"demultiplex-to-{hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:16]}{LOCK}")
    with (
        file_lock(scratch.with_suffix(LOCK), f"the conversion of {asked.run.run_id}"),
        file_lock(place, f"{out}, which a conversion is making"),
    ):
        before = made_before(out, asked.key)
        if before is not None:
            return before, True
        make_dirs(scratch)
        engine = local_engine(scratch, home.settings)
        tell.stage("convert", asked.converter)
        report = convert(home, engine, asked)
        tell.done("convert", " ".join(f"{name} {version}" for name, version in report.tools.items()) or asked.converter)
        tell.stage("collect", str(out))
        with storage_errors("write the reads", out.parent):
            count = collect(asked, report, out)
        engine.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    tell.done("collect", counted(count, "file of reads", "files of reads"))
    return count, False


def _converter(wanted: str | None) -> str:
    """Return the converter to use: the one asked for, else BCL Convert where it is on PATH, else Picard."""
    if wanted != PICARD:
        if shutil.which(BCL_CONVERT) is not None:
            return BCL_CONVERT
        if wanted is not None:
            raise MissingTool(f"there is no {BCL_CONVERT} on PATH: install Illumina's BCL Convert, or take picard")
    if shutil.which(picard.NAME) is None:
        if picard.launcher() is None:
            raise MissingTool(f"neither {BCL_CONVERT} nor {picard.NAME} is here: {picard.GET_IT}")
        java("Picard")
    return PICARD


def _asked(home: Home, folder: Path, out: Path, sheet: Path | None, wanted: str | None, assume_complete: bool) -> Asked:
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is a file: name the run's folder" if folder.exists() else f"there is no folder {folder}"
        )
    source = folder.resolve()
    if out.resolve().is_relative_to(source):
        raise UsageError(f"{out} lies in the run folder, which is left as the instrument wrote it: name one beside it")
    listing = walk(source)
    run = illumina.read(source, listing)
    calls = [entry for entry in listing.files if _LANE.match(entry.path)]
    _refuse(run, listing, folder, assume_complete)
    given = _given(listing, sheet, tuple(sorted({int(found[1]) for e in calls if (found := _LANE.match(e.path))})))
    converter = _converter(wanted)  # after the folder and its sheet: who lacks those is not sent to get a program first
    plan, problems = plan_of(given, converter)
    if plan is None:
        raise RefusedInput(f"the instrument run {run.run_id} in {folder}", problems)
    registry = Registry(home.path)
    definition = registry.get(WORKFLOW)
    version, bundle = registry.bundle(definition)
    decides: JSONValue = [
        version.digest, run.run_id, hashlib.sha256(given.data).hexdigest(), dict(plan.document), converter, str(source),
        [[entry.path, entry.size, entry.mtime_ns] for entry in calls],
    ]  # fmt: skip
    return Asked(source, run, plan, given.data, converter, Bundled(definition, version, bundle), digest(decides))


def _refuse(run: InstrumentRun, listing: Listing, folder: Path, assume_complete: bool) -> None:
    """Refuse what is no run with raw base calls alone."""
    if listing.find("RunInfo.xml") is None:
        raise UsageError(f"{folder} has no RunInfo.xml, so it is no Illumina run folder: name the folder that has it")
    if not any(_LANE.match(entry.path) for entry in listing.files):
        raise UsageError(
            f"{folder} has no base calls below Data/Intensities/BaseCalls/L001: bring the whole run folder"
        )
    if any(file.role is FileRole.READS for file in run.files):
        raise UsageError(f"{folder} has FASTQ files already: take it with labrelay process {folder}")
    waits = None if assume_complete else unarrived(run, a_person_asks=True)
    if waits is not None:
        message = f"{waits}; when you know that nothing more comes, add --assume-complete"
        problem = Problem(code="NOT_COMPLETE", message=message)
        raise RefusedInput(f"the instrument run {run.run_id} in {folder}", [problem])


def _given(listing: Listing, sheet: Path | None, lanes: tuple[int, ...]) -> Given:
    """Return recipe and sheet.

    Raises:
        UsageError: There is no sheet.
        RefusedInput: RunInfo.xml or the sheet cannot be read.
    """
    entry = listing.find("RunInfo.xml")
    data = read_small(listing.root, entry.path) if entry is not None else b""
    info, found = parse_run_info(data, "RunInfo.xml") if isinstance(data, bytes) else (None, (data,))
    if info is None or not info.reads:
        why = errors_of(found) or [Problem(code="BAD_XML", message="it names no reads", path="RunInfo.xml")]
        raise RefusedInput(f"the run in {listing.root}", why)
    if sheet is not None:
        text = small_file(sheet)
        return Given(info, read_sample_sheet(text, sheet.name, info.lanes), text, sheet.name, lanes)
    reading = Reading(listing)
    own, path = sheet_of(reading, [], info.lanes, info.reads)
    if own is None or path is None:
        wrong = errors_of(reading.problems)
        if wrong:
            raise RefusedInput(f"the run in {listing.root}", wrong)
        raise UsageError(
            f"{listing.root.name} has no sample sheet: name one with --sheet, or write one with labrelay samplesheet"
        )
    told = read_small(listing.root, path)
    return Given(info, own, told if isinstance(told, bytes) else b"", path, lanes)
