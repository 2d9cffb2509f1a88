"""Is this run folder finished? Pure decisions on what a parser found; a marker alone is never enough.

An instrument's end, the arrival of all files, and the files that the sheet and the recipe ask for have to agree. What
speaks against it is said in one sentence, with what a person can do who knows better. Of an instrument that marks no
end, a long rest can count as one, where the lab has set how long.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum

from labrelay.model.files import PRIMARY, FileRole
from labrelay.model.instrument import Fact, InstrumentRun, Known, RunFile, SheetSample, has_mates
from labrelay.model.names import printable
from labrelay.model.problem import Frozen, Severity, refusal_of
from labrelay.parsers.conversion import scope_of
from labrelay.parsers.listing import COPYING

LACKING = frozenset(
    {"COUNT_MISMATCH", "MARKER_MISSING", "MISSING_REFERENCE", "NO_IMAGES", "TRUNCATED", "ZERO_BYTE_FILE"}
)
"""Codes of warnings that say what has not come; a list may be warned of for other things, too."""
TAKE_ANYWAY = "when nothing more comes, take it with `labrelay process FOLDER`"
SHOWN = 5


class FolderState(StrEnum):
    """What a scan makes of a folder."""

    READY = "ready"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"


class Readiness(Frozen):
    """The state of a folder, the sentence that says why, and its rest where nothing else says that it is complete."""

    state: FolderState
    reason: str
    rested: timedelta | None = None


def is_silent(run: InstrumentRun) -> bool:
    """Return whether nothing in a folder says that it is complete or that it is not, as of instruments without marker.

    A part that has not finished, a marker that such an instrument writes and that is not there, a file that went away
    while it was listed, and one that is still being copied are words enough.
    """
    facts = [run.completion, *(unit.completion for unit in run.units)]
    if any(Known.NO in (fact.acquired.value, fact.copied.value) for fact in facts):
        return False
    if Known.YES in (run.completion.acquired.value, run.completion.copied.value):
        return False
    return not any(problem.code in ("MARKER_MISSING", "VANISHED", COPYING) for problem in run.problems)


def by_rest(run: InstrumentRun, rested: timedelta) -> InstrumentRun:
    """Return the run with the rest of its folder as what says that all files have come; what it says itself stays."""
    if not is_silent(run):
        return run
    copied = Fact(value=Known.YES, evidence=f"nothing has changed for {_span(rested)}")
    return run.model_copy(update={"completion": run.completion.model_copy(update={"copied": copied})})


def judge(run: InstrumentRun, rested: timedelta | None = None, quiet: timedelta | None = None) -> Readiness:
    """Say whether a folder that has come to rest can be taken; what is not finished waits, what is wrong is refused.

    Args:
        run: As parsed.
        rested: How long it has not changed.
        quiet: The rest after which a folder that is silent about its end counts as complete; None: never.
    """
    enough = quiet is not None and rested is not None and rested >= quiet
    by_rest = enough and is_silent(run)
    if quiet is not None and is_silent(run) and not enough:
        then = f"it is judged once it rests for {_span(quiet)}, and {wrong}" if (wrong := _refused_for(run)) else None
        reason = f"{_silent(run)}: {then or f'it is taken once it rests for {_span(quiet)}'}"
        return Readiness(state=FolderState.WAITING, reason=reason)
    waits = unfinished(run, a_person_asks=by_rest) or _missing(run)
    errors = refusal_of(run.problems)
    if waits is not None:
        told = (wrong := _refused_for(run)) is None or wrong in waits or str(errors[0]) in waits
        return Readiness(state=FolderState.WAITING, reason=waits if told else f"{waits}; {wrong}")
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return Readiness(state=FolderState.REFUSED, reason=f"{errors[0]}{more}")
    if by_rest and rested is not None:
        reason = f"complete by rest: nothing marks its end, and nothing has changed for {_span(rested)}"
        return Readiness(state=FolderState.READY, reason=reason, rested=rested)
    evidence = run.completion.acquired.evidence or run.completion.copied.evidence
    return Readiness(state=FolderState.READY, reason=f"complete by {evidence}, its files and their rest")


def resting(rested: timedelta | None, quiet: timedelta) -> Readiness | None:
    """Return None when a folder has rested long enough between two stored looks, else what it waits for."""
    if rested is not None and rested >= quiet:
        return None
    seen = "seen in this form for the first time" if rested is None else f"unchanged for {_span(rested)}"
    reason = f"{seen}; it has to rest for {_span(quiet)} between two looks, as files may still be arriving"
    return Readiness(state=FolderState.WAITING, reason=reason)


def unfinished(run: InstrumentRun, *, a_person_asks: bool = False) -> str | None:
    """Return what says that the run is not finished, or None.

    Args:
        run: As parsed.
        a_person_asks: Somebody named this very folder, so that a folder without any word on completion is taken.
    """
    waits = unarrived(run, a_person_asks=a_person_asks)
    if waits is None and run.completion.converted.value is Known.NO:
        waits = "there is no file of reads of a sample yet: convert the run to FASTQ first"
        if run.platform == "illumina" and run.completion.converted.evidence is None:
            waits += " (labrelay demultiplex FOLDER --out FOLDER)"
    return waits


def unarrived(run: InstrumentRun, *, a_person_asks: bool = False) -> str | None:
    """Return what says that the instrument's own files are not all there, or None; see `unfinished`."""
    facts = run.completion
    copying = next((p for p in run.problems if p.code == COPYING), None)
    if copying is not None:
        return str(copying)
    for fact, what in ((facts.acquired, "the instrument has not finished"), (facts.copied, "not all files have come")):
        if fact.value is Known.NO:
            said = _missing_by(run, fact.evidence) if fact is facts.copied else None
            return f"{what} ({said or fact.evidence or 'no marker'})"
    marker = next((p for p in run.problems if p.code == "MARKER_MISSING"), None)
    if marker is not None:
        return marker.message
    vanished = next((p for p in run.problems if p.code == "VANISHED"), None)
    if vanished is not None:
        return str(vanished)
    if Known.YES not in (facts.acquired.value, facts.copied.value) and not a_person_asks:
        return f"{_silent(run)} (a marker, or a list of MD5 sums): {_refused_for(run) or TAKE_ANYWAY}"
    return None


def _missing_by(run: InstrumentRun, evidence: str | None) -> str | None:
    """Return which files a list lacks, where a warning says it; errors are told beside what waits."""
    warned = (p for p in run.problems if evidence and p.path == evidence and p.severity is Severity.WARNING)
    return next((str(problem) for problem in warned if problem.code in LACKING), None)


def _missing(run: InstrumentRun) -> str | None:
    """Return what the sheet or the recipe asks for and the folder does not hold.

    A sample that the converter itself counts with no reads is not waited for: zero reads is a state.
    """
    gone = [*_samples_without_files(run), *_mates_without_mates(run)]
    if not gone:
        return None
    more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
    return f"expected files are missing: {', '.join(gone[:SHOWN])}{more}; {_refused_for(run) or TAKE_ANYWAY}"


def _silent(run: InstrumentRun) -> str:
    return f"nothing in the {run.place} says that it is complete"


def _refused_for(run: InstrumentRun) -> str | None:
    """Return why a person who takes the run by hand would be refused, or None: then that is no advice to give."""
    errors = refusal_of(run.problems)
    return f"as it is now it would be refused: {errors[0]}" if errors else None


def _samples_without_files(run: InstrumentRun) -> Iterator[str]:
    by_sample: dict[str, list[RunFile]] = {}
    for file in run.files:
        if file.role in PRIMARY and file.sample is not None:
            by_sample.setdefault(file.sample, []).append(file)
    counted = {m.scope: m.value for m in run.qc if m.name == "reads"}
    asked: dict[tuple[str, int | None], SheetSample] = {(s.sample_id, s.lane): s for s in run.samples}
    for sample_id, lane in asked:
        if _has(by_sample.get(sample_id, []), lane) or _counted_empty(counted, sample_id, lane):
            continue
        yield printable(sample_id, 60) + (f" lane {lane}" if lane is not None else "")


def _has(files: list[RunFile], lane: int | None) -> bool:
    return any(lane is None or file.lane in (None, lane) for file in files)


def _counted_empty(counted: dict[str, float | None], sample_id: str, lane: int | None) -> bool:
    if lane is not None:
        return counted.get(scope_of(sample_id, lane)) == 0
    if sample_id in counted:
        return counted[sample_id] == 0
    values = [value for scope, value in counted.items() if scope.startswith(scope_of(sample_id, 0)[:-1])]
    return bool(values) and not any(values)


def _mates_without_mates(run: InstrumentRun) -> Iterator[str]:
    """Yield the R1 files without R2 of a run whose recipe has two reads."""
    if not has_mates(run.reads):
        return
    reads = [file for file in run.files if file.role is FileRole.READS and file.read in (1, 2)]
    second = {(file.sample, file.lane) for file in reads if file.read == 2}
    for file in reads:
        if file.read == 1 and (file.sample, file.lane) not in second:
            yield f"the second read of {printable(file.path)}"


def _span(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    if minutes < 1:
        return f"{span.total_seconds():.0f} s"
    return f"{minutes:.3g} min" if minutes < 120 else f"{minutes / 60:.3g} h"
