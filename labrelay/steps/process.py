"""The main job: an instrument run goes all the way to recorded, delivered results; every part of it may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from labrelay.model.errors import RefusedInput, UsageError
from labrelay.model.instrument import InstrumentRun
from labrelay.model.names import on_one_line, printable
from labrelay.model.problem import Problem, Severity, refusal_of, worst_first
from labrelay.model.words import counted, first_of
from labrelay.parsers import delivery, reads
from labrelay.parsers.registry import look, whole
from labrelay.records import audit, intake
from labrelay.records.database import now
from labrelay.records.eln.registry import ARCHIVE
from labrelay.records.schema import InstrumentRunRow
from labrelay.steps.assign import Dataset, match_run
from labrelay.steps.collect import engines_of, seen_again, wait_for
from labrelay.steps.deliver import deliver
from labrelay.steps.eln_signs import sign_sheet
from labrelay.steps.home import Home
from labrelay.steps.imports import import_reads
from labrelay.steps.ingest import ingest
from labrelay.steps.listing import lines_of
from labrelay.steps.outgrown import outgrown, replaced
from labrelay.steps.readiness import by_rest, unfinished
from labrelay.steps.reprocess import Item
from labrelay.steps.route import WITHOUT_READS, route
from labrelay.steps.run_documents import is_published, page_of, publish
from labrelay.steps.submit import submit_planned

ALWAYS = {reads.NAME: ("RUN_ID_FROM_FOLDER", "NO_SAMPLE_SHEET"), delivery.NAME: ("RUN_ID_FROM_FOLDER",)}
"""Warnings that hold for every folder of a platform."""
SHOWN = 3


@dataclass
class Processed:
    """What a process did, counted, all zero when everything had been done before; `page` is the instrument run's.

    `name` is what people call the instrument run. It is `empty` when no sample of it has a read: there is nothing to
    import, and no rule is asked. `outgrown` has by their runs the results that were made before the instrument run
    gained files.
    """

    instrument_run_id: str
    run_id: str
    page: Path | None = None
    stored: int = 0
    imported: int = 0
    submitted: int = 0
    runs: list[str] = field(default_factory=list)
    unassigned: list[Dataset] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    outgrown: dict[str, Item] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    delivered: int = 0
    empty: bool = False
    name: str = ""


def take_in(
    home: Home, folder: Path, *, assume_complete: bool = False, rested: timedelta | None = None
) -> tuple[InstrumentRun, int]:
    """Parse, check and store an instrument run; return it and how many files were stored now.

    Args:
        home: Where.
        folder: The run's folder, or its file where it is one.
        assume_complete: A person says that the run is complete though its marker is missing.
        rested: The folder has been seen unchanged for so long, which counts where it says nothing itself.

    Raises:
        UsageError: There is no such folder or file.
        RefusedInput: It is not complete, or not acceptable; carries every problem.
    """
    if not folder.exists():
        raise UsageError(f"there is no folder or file {folder}")
    folder = whole(folder)
    tell = home.progress
    tell.stage("parse", folder.name)
    seen = look(folder, home.settings.platform_of(folder))
    run = seen.run
    if rested is not None and (known := by_rest(run, rested)) != run:
        run = known
        _put_on_record(home, run, folder, "instrument_run.complete_by_rest")
    if not assume_complete:
        _refuse_unfinished(home, run, folder)
    elif unfinished(run, a_person_asks=True) is not None:
        _put_on_record(home, run, folder, "instrument_run.said_complete")
    what = " ".join(part for part in (run.platform, run.instrument_model) if part)
    size = f"{counted(len(run.sample_labels), 'sample')}, {counted(len(run.files), 'file')}"
    tell.done("parse", f"{what} run {run.name}: {size}{_warned(run)}")
    tell.stage("store", run.name)
    stored = ingest(home, run, folder.resolve())
    if stored.stored or not is_published(home, run.platform, run.run_id):
        publish(home, seen._replace(run=run))
    told = f"{counted(stored.stored, 'file')} stored, {stored.already} there before"
    if stored.same_as is not None:
        told = f"nothing to store: by names and sizes these are the files of {printable(stored.same_as, 300)}"
    tell.done("store", told)
    return run, stored.stored


def process(
    home: Home,
    folder: Path,
    experiment: str | None = None,
    *,
    assume_complete: bool = False,
    wait: bool = True,
    rested: timedelta | None = None,
) -> Processed:
    """Take an instrument run through all steps; what is done already is not done again.

    Args:
        home: Where.
        folder: The run's folder, or its file where it is one.
        experiment: Match only with this experiment's samples.
        assume_complete: A person says that the run is complete though its marker is missing.
        wait: Wait for the workflow runs; else they go on, and `sweep` or the schedules record them.
        rested: The folder has been seen unchanged for so long, which counts where it says nothing itself.

    Raises:
        LabrelayError: With its sentence; repeating the call goes on where it stopped.
    """
    try:
        run, stored = take_in(home, folder, assume_complete=assume_complete, rested=rested)
    except RefusedInput:
        if home.settings.eln != ARCHIVE:
            deliver(home)  # the notebook knows of a refused run, too
        raise
    return go_on(home, begun(home, run, stored), experiment, wait=wait)


def begun(home: Home, run: InstrumentRun, stored: int) -> Processed:
    """Return what a process has done when the run's files are stored."""
    page = page_of(home, run.platform, run.run_id)
    done = Processed(run.id, run.run_id, page.path if page else None, stored=stored, name=run.name)
    done.warnings = warnings_of(run)
    return done


def warnings_of(run: InstrumentRun) -> list[Problem]:
    """Return what a run that is taken all the same is warned of, what matters most first.

    What is said of every folder of a platform tells nothing of this one: `inspect` and its page have that.
    """
    always = ALWAYS.get(run.platform, ())
    return [p for p in worst_first(run.problems) if p.severity is Severity.WARNING and p.code not in always]


def go_on(home: Home, outcome: Processed, experiment: str | None = None, *, wait: bool = True) -> Processed:
    """Do the steps after storing: match, import, route, submit, and with `wait` collect, record and deliver."""
    tell, run_id = home.progress, outcome.instrument_run_id
    tell.stage("match", outcome.name)
    datasets = match_run(home, run_id, experiment)
    outcome.unassigned = [d for d in datasets if d.state == "unassigned"]
    outcome.empty = bool(datasets) and all(d.state == "no_reads" for d in datasets)
    if outcome.empty:
        outcome.left_out = [(d.label, WITHOUT_READS) for d in datasets]
        tell.done("match", "no sample of this run has a read")
    else:
        announced = sum(d.sample_id is not None for d in datasets)
        tell.done("match", f"{announced} of {counted(len(datasets), 'sample')} announced")
        _ask_for_runs(home, outcome)
        mark_outgrown(home, outcome)
    if home.settings.eln != ARCHIVE:
        deliver(home)  # runs take hours, and the notebook knows of them from their first sign
    if wait:
        finish(home, outcome)
    return outcome


def _ask_for_runs(home: Home, outcome: Processed) -> None:
    """Import the reads, and submit the workflow runs that the rules ask for."""
    tell, run_id = home.progress, outcome.instrument_run_id
    tell.stage("import", outcome.name)
    imported = import_reads(home, run_id)
    outcome.imported, outcome.failed = imported.imported, list(imported.failed)
    if imported.imported or imported.already or imported.failed:  # a plate has none
        told = f"{counted(imported.imported, 'read set')} imported, {imported.already} there before"
        tell.done("import", told, ok=not imported.failed)
    tell.stage("route", "rules.toml")
    routed = route(home, run_id)
    outcome.left_out = routed.left_out
    asked = counted(len(routed.planned), "workflow run")
    tell.done("route", f"{asked} asked for")
    if not routed.planned:
        _keep_unsubmitted(home, run_id, [])
        return
    tell.stage("submit", asked)
    submitted = submit_planned(home, routed.planned)
    # What was composed has a row of its own that says why it waits.
    _keep_unsubmitted(home, run_id, [each for each in submitted.failed if each[0] not in submitted.runs])
    outcome.runs, outcome.submitted = submitted.runs, submitted.new
    outcome.failed += submitted.failed
    told = f"{submitted.new} submitted, {len(submitted.runs) - submitted.new} there before"
    tell.done("submit", told, ok=not submitted.failed)


def _keep_unsubmitted(home: Home, run_id: str, failed: Sequence[tuple[str, str]]) -> None:
    """Put on record which samples got no workflow run, and why, for those who did not see the process end."""
    by_why: dict[str, list[str]] = {}
    for subject, why in failed:
        by_why.setdefault(why, []).append(subject)
    told = [
        f"{first_of(subjects, SHOWN)} {'was' if len(subjects) == 1 else 'were'} not submitted: {on_one_line(why, 200)}"
        for why, subjects in by_why.items()
    ]
    with home.records.read() as session:
        known = session.get_one(InstrumentRunRow, run_id).reason
    if told or (known or "").startswith(intake.UNSUBMITTED):
        with home.records.write() as session:
            intake.keep_unsubmitted(session, run_id, told)


def mark_outgrown(home: Home, outcome: Processed) -> None:
    """Mark what was made of fewer files of the instrument run than it has; what was found before may be replaced."""
    left = outgrown(home, outcome.instrument_run_id, outcome.runs)
    outcome.outgrown = replaced(home, outcome.outgrown) | left


def finish(home: Home, outcome: Processed) -> None:
    """Wait for the runs, record them and deliver once at the end."""
    tell = home.progress
    if outcome.runs:
        tell.stage("run", " and ".join(engines_of(home, outcome.runs)))
    collected = wait_for(home, outcome.runs)  # runs of others that have ended are recorded as well
    outcome.failed = seen_again(outcome.failed, outcome.runs, collected)
    failed = sum(line.failed for line in lines_of(home, outcome.runs))
    if outcome.outgrown or outcome.submitted:  # what was asked for now may take the place of older results
        mark_outgrown(home, outcome)
    told = f"{len(collected.recorded)} recorded, {len(collected.retried)} tried again"
    told += f", {failed} failed" if failed else ""
    if outcome.runs or collected.recorded or collected.retried or collected.stuck:
        tell.done("run", told, ok=not failed and not collected.stuck)
    tell.stage("deliver", "outbox")
    delivered = deliver(home)
    outcome.delivered = delivered.confirmed
    if outcome.runs or delivered.confirmed or delivered.waiting:
        tell.done("deliver", f"{counted(delivered.confirmed, 'message')} delivered, {delivered.waiting} waiting")


def _warned(run: InstrumentRun) -> str:
    """Return what a person should know before the work begins, which may take hours."""
    warnings = warnings_of(run)
    many = "warning" if len(warnings) == 1 else f"{len(warnings):,} warnings, first"
    return f"; {many}: {printable(str(warnings[0]), 300)}" if warnings else ""


def _put_on_record(home: Home, run: InstrumentRun, folder: Path, action: str) -> None:
    """Put on record why a run is taken that does not say itself that it is finished."""
    with home.records.write() as session:
        if intake.see(session, run, str(folder.resolve())).state != "stored":
            audit.record(session, action, run.id, run=run.run_id, evidence=run.completion.copied.evidence)


def _refuse_unfinished(home: Home, run: InstrumentRun, folder: Path) -> None:
    """Refuse a run that is not finished, on record, with everything else that is wrong with it."""
    waits = unfinished(run, a_person_asks=True)
    if waits is not None:
        wrong = refusal_of(run.problems)
        anyway = "when you know that nothing more comes, add --assume-complete"
        message = f"{waits}; {'--assume-complete alone would not take it either' if wrong else anyway}"
        problems = [Problem(code="NOT_COMPLETE", message=message), *wrong]
        with home.records.write() as session:
            if intake.see(session, run, str(folder.resolve())).state != "stored":
                intake.refuse(session, run.id, message)
                sign_sheet(home, session, "refused", intake.content_of(run), run.id, now())
        raise RefusedInput(f"the instrument run {run.name} in {folder}", problems)
