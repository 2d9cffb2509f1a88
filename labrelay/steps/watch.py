"""Step 2, watch: one scan of the landing folders; a half-written folder is never taken.

Each look costs a listing, no more, while a folder changes or after it was done; a parser reads only what has rested.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import and_, or_, select

from labrelay.model.canonical import digest
from labrelay.model.errors import Conflict, LabrelayError, RefusedInput, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.instrument import InstrumentRun
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.model.words import counted
from labrelay.parsers.listing import Listing, links_in, walk
from labrelay.parsers.registry import is_one_file, listed, named_by, read_run, run_roots, whole
from labrelay.records import intake, observations
from labrelay.records.observations import Observation
from labrelay.records.schema import InstrumentRunRow
from labrelay.steps import process as processing
from labrelay.steps.again import added_files, taken_before
from labrelay.steps.eln_signs import sign_waiting
from labrelay.steps.home import Home
from labrelay.steps.ingest import fingerprint
from labrelay.steps.readiness import FolderState, Readiness, judge, resting
from labrelay.steps.strays import LINK, loose_files, sets_below, too_deep

_log = logging.getLogger(__name__)
_REFUSED = "refused: "
NO_PATHS = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENOTDIR})  # will never be a folder
_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN})  # a disk or a share that may answer the next time


class Seen(Frozen):
    """A folder, or a file, of a landing folder and what the scan makes of it.

    Attributes:
        folder: The run's folder, or its file.
        state: `ready` to be processed, `waiting` for something, `done`, or `refused` until it changes.
        reason: One sentence.
        run_id: What the instrument calls the run, once the folder was read.
        content: Digest of the listing that this was said of.
        rested: How long it has not changed, where nothing else says that it is complete.
    """

    folder: Path
    state: FolderState
    reason: str
    run_id: str | None = None
    content: str | None = None
    rested: timedelta | None = None


@dataclass(frozen=True)
class _Found:
    """A child folder that looks like a run, as listed just now."""

    folder: Path
    content: str


def scan(home: Home) -> list[Seen]:
    """Look once at every child folder of the landing folders, and return those that look like a run.

    A file that lies directly in a landing folder is looked at as well, where such a file is a run by itself.
    What else looks like a run and is no child folder is returned as waiting for somebody who moves it. `status` tells
    later what was not taken and why.

    Two looks at the same content, at least `quiet_minutes` apart, are needed before a folder is read; so the first
    scan of a folder never says `ready`. One broken folder does not stop the others.
    """
    seen: list[Seen] = []
    found: list[_Found] = []
    for landing in home.settings.landing:
        try:
            found += _candidates(home, landing, seen)
        except OSError as error:
            seen.append(Seen(folder=landing, state=FolderState.REFUSED, reason=_unlisted(error)))
    with home.records.write() as session:
        looks = [(each, observations.observe(session, str(each.folder), each.content)) for each in found]
    faultpoint("watch.observed")
    first: dict[str, Path] = {}
    seen += [_judge(home, each, look, first) for each, look in looks]
    return _noted(home, sorted(seen, key=lambda s: str(s.folder)))


def watch(home: Home) -> list[Seen]:
    """Scan once and process every ready folder without waiting for its workflow runs; one failure stops no other.

    A folder whose content is refused is not tried again before it changes; one that met a full disk, a busy store or
    wrong rules is, and so is one of which an import or a submission failed.
    """
    found = scan(home)
    taken = [_take(home, seen) if seen.state is FolderState.READY else seen for seen in found]
    return _noted(home, taken) if taken != found else taken


def _noted(home: Home, seen: list[Seen]) -> list[Seen]:
    """Store what was not taken and why, for `status`; return the same."""
    told: dict[str, str] = {}
    for each in seen:
        if each.state in (FolderState.WAITING, FolderState.REFUSED):
            told.setdefault(str(each.folder), each.reason)
    with home.records.write() as session:
        observations.note(session, told)
    return seen


def watch_folder(home: Home, folder: Path) -> Seen:
    """Look once at the run folder that somebody speaks of, and process it if it is ready, as `watch` does.

    Being told that a folder is complete is a reason to look, not to believe: it has to rest as any other.

    Raises:
        UsageError: It lies below no landing folder, or does not look like an instrument run.
        RefusedInput: What lies in it cannot be listed safely.
        OSError: The disk or the share did not answer; the next look may.
    """
    try:
        child = _landed(home, folder)
        listing = listed(child)
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise UsageError(f"the folder {printable(str(folder), 300)} cannot be listed: {error.strerror}") from None
    root = _spoken_of(child, _roots(home, child, listing), folder)
    found = _Found(child / root, _content(listing, root))
    with home.records.write() as session:
        look = observations.observe(session, str(found.folder), found.content)
    faultpoint("watch.observed")
    seen = _judge(home, found, look, {})
    return _take(home, seen) if seen.state is FolderState.READY else seen


def _landed(home: Home, folder: Path) -> Path:
    """Return the child of a landing folder that this path is or lies in; what lies elsewhere is not even looked at."""
    given = folder.resolve()
    roots = [root for landing in home.settings.landing if given.is_relative_to(root := landing.resolve())]
    root = max(roots, key=lambda each: len(each.parts), default=given)  # one landing folder may lie in another
    if folder.is_absolute() and given != root:
        child = root / given.relative_to(root).parts[0]
        if child.exists() and not child.name.startswith("."):
            return whole(child)
    what = f"{printable(str(folder))} is no folder or file below a landing folder"
    raise UsageError(f"{what}: the setting `landing` names those")


def _spoken_of(child: Path, roots: list[str], folder: Path) -> str:
    """Return which of the runs in a landed folder somebody speaks of."""
    if not roots:
        raise UsageError(f"the folder {printable(str(child))} does not look like an instrument run")
    given = folder.resolve()
    meant = roots if len(roots) == 1 else [root for root in roots if given.is_relative_to(child / root)]
    if not meant:
        several = printable(", ".join(roots[:3]), 200)
        raise UsageError(f"the folder {printable(str(child))} holds several runs: say which ({several} …)")
    return meant[0]


def _candidates(home: Home, landing: Path, seen: list[Seen]) -> Iterator[_Found]:
    there = [child for child in landing.resolve().iterdir() if not child.name.startswith(".")]
    children = [child for child in there if not child.is_symlink()]
    for link in sorted(set(there) - set(children)):
        _stray(link, LINK, seen)
    loose = sorted(c for c in children if not c.is_dir())
    taken = list(_files(loose, seen))
    names = {name for _found, names in taken for name in names}
    yield from (found for found, _names in taken if found is not None)
    _stray(landing, loose_files(landing.resolve(), [c.name for c in loose if c.name not in names]), seen)
    for child in sorted(c for c in children if c.is_dir()):
        try:
            listing = walk(child)
            roots = _roots(home, child, listing)
            for root in roots:
                yield _Found(child / root, _content(listing, root))
            if not roots:
                links = None if listing.files else links_in(listing)
                _stray(child, links.message if links else too_deep(listing), seen)
        except (RefusedInput, OSError) as error:
            if child.is_dir():  # renamed or taken away meanwhile: the next scan sees it where it is then
                seen.append(Seen(folder=child, state=FolderState.REFUSED, reason=_first_line(error)))


def _files(loose: Sequence[Path], seen: list[Seen]) -> Iterator[tuple[_Found | None, list[str]]]:
    """Yield the files that are runs by themselves, each with the names of all that belongs to it; None for these."""
    taken: set[str] = set()
    for file in loose:
        if file.name in taken:  # each file of a set lists all of it, so thousands of them are looked at once
            continue
        try:
            listing = listed(file)
            if file.is_file() and is_one_file(listing):
                own = named_by(file, listing) == file
                names = [entry.path for entry in listing.files]
                taken.update(names)
                yield _Found(file, _content(listing)) if own else None, names
        except (RefusedInput, OSError) as error:
            if file.is_file():
                seen.append(Seen(folder=file, state=FolderState.REFUSED, reason=_first_line(error)))


def _stray(place: Path, reason: str | None, seen: list[Seen]) -> None:
    if reason is not None:
        seen.append(Seen(folder=place, state=FolderState.WAITING, reason=reason))


def _roots(home: Home, child: Path, listing: Listing) -> list[str]:
    """Return the runs in a landed folder; one that a setting says how to read is a run whatever lies in it."""
    if home.settings.platform_of(child) is not None and listing.files:
        return [""]
    return [] if sets_below(listing) else run_roots(listing)


def _content(listing: Listing, root: str = "") -> str:
    """Return a digest of what lies in one of the runs that a folder holds (the empty text: all of it).

    It is the same when that run's own folder is listed, so that it can be looked at again alone.
    """
    below = f"{root}/" if root else ""
    there = [(problem.code, problem.path or "") for problem in listing.problems]
    odd = [(code, path.removeprefix(below)) for code, path in there if path.startswith(below)]
    files = [(e.path.removeprefix(below), e.size, e.mtime_ns) for e in listing.files if e.path.startswith(below)]
    return digest([[list(each) for each in files], [list(each) for each in odd]])


def _judge(home: Home, found: _Found, look: Observation, first: dict[str, Path]) -> Seen:
    """Return what is to be said of one folder; what fails in it stops no other, and it waits."""
    try:
        return _judged(home, found, look, first)
    except Exception as error:
        reason = _stopped(found.folder, error)
        return Seen(folder=found.folder, content=found.content, state=FolderState.WAITING, reason=reason)


def _judged(home: Home, found: _Found, look: Observation, first: dict[str, Path]) -> Seen:
    """Return what is to be said of one folder; `first` holds the folder that has each run id already."""

    def said(readiness: Readiness, run: InstrumentRun | None = None) -> Seen:
        values = {"state": readiness.state, "reason": readiness.reason, "run_id": run.run_id if run else None}
        return Seen(folder=found.folder, content=found.content, rested=readiness.rested, **values)

    if look.outcome is not None and not _given_another_try(home, found.folder, look.outcome):
        return said(_concluded(look.outcome))
    waits = resting(look.rested, timedelta(minutes=home.settings.quiet_minutes))
    if waits is not None:
        return said(waits)
    try:
        run = read_run(found.folder, home.settings.platform_of(found.folder))
    except RefusedInput as error:
        state = FolderState.REFUSED if found.folder.exists() else FolderState.WAITING
        return said(Readiness(state=state, reason=_first_line(error)))
    hours = home.settings.quiet_hours
    readiness = judge(run, look.rested, None if hours is None else timedelta(hours=hours))
    if readiness.state is FolderState.READY:
        readiness = _known(home, run, found.folder, first.setdefault(run.id, found.folder)) or readiness
    else:
        refused = readiness.state is FolderState.REFUSED
        sign_waiting(home, run, found.folder, readiness.reason, refused=refused)
    return said(readiness, run)


def _known(home: Home, run: InstrumentRun, folder: Path, first: Path) -> Readiness | None:
    """Return what speaks against a finished folder because its run is known, or None."""
    with home.records.read() as session:
        row = session.scalar(select(InstrumentRunRow).where(InstrumentRunRow.id == run.id))
        elsewhere = taken_before(session, run, folder) if row is None or row.state != "stored" else None
    if elsewhere is not None:
        state = FolderState.DONE if elsewhere.whole else FolderState.REFUSED
        return Readiness(state=state, reason=elsewhere.sentence)
    taken = Path(row.folder) if row is not None else first
    if taken != folder and taken.exists():
        return Readiness(
            state=FolderState.REFUSED,
            reason=f"the run {printable(run.name)} is in {taken} as well, which is the one that counts: "
            "take one of the two folders away",
        )
    if row is None or row.state != "stored":
        return None
    if row.fingerprint != fingerprint(run):
        try:
            more = added_files(home, run, row, folder, read=False)
        except Conflict as changed:
            return Readiness(state=FolderState.REFUSED, reason=str(changed))
        return Readiness(state=FolderState.READY, reason=f"stored; {counted(len(more), 'file')} more came since")
    # A process may have been killed after the files were stored, so the steps after that are done again (for nothing
    # when they were done), once; then the outcome is on record.
    return Readiness(state=FolderState.READY, reason="stored; matching, import and routing are looked after once more")


def _take(home: Home, seen: Seen) -> Seen:
    try:
        if seen.rested is not None and _content(listed(seen.folder)) != seen.content:
            return seen.model_copy(update={"state": FolderState.WAITING, "reason": "it has changed since it was seen"})
        processed = processing.process(home, seen.folder, wait=False, rested=seen.rested)
    except LabrelayError as error:
        # What stands against the folder itself is not read again; wrong rules or a full disk are somebody's to mend.
        if not error.retryable and _is_refused(home, seen.folder):
            return _conclude(home, seen, FolderState.REFUSED, _first_line(error))
        return seen.model_copy(update={"state": FolderState.WAITING, "reason": _first_line(error)})
    except Exception as error:
        return seen.model_copy(update={"state": FolderState.WAITING, "reason": _stopped(seen.folder, error)})
    done = f"stored {counted(processed.stored, 'file')}, submitted {counted(processed.submitted, 'workflow run')}"
    if seen.rested is not None:
        done = f"{seen.reason}; {done}"
    if processed.warnings:
        many = counted(len(processed.warnings), "warning")
        done = printable(f"{done}; {many}, first: {processed.warnings[0]}", 400)
    if processed.outgrown:
        many = counted(len(processed.outgrown), "result was", "results were")
        done += f"; {many} made before all files had come: labrelay reprocess stale"
    if processed.failed:  # nobody looks at it again once it is done
        what, why = processed.failed[0]
        reason = printable(f"{done}; {len(processed.failed)} failed and are tried again, first {what}: {why}", 400)
        return seen.model_copy(update={"state": FolderState.WAITING, "reason": reason})
    return _conclude(home, seen, FolderState.DONE, done)


def _is_refused(home: Home, folder: Path) -> bool:
    row = InstrumentRunRow  # a stored one has a reason where more of it was refused, or samples were not submitted
    more = row.reason.is_not(None) & row.reason.not_like(f"{intake.UNSUBMITTED}%")
    refused = or_(row.state == "refused", and_(row.state == "stored", more))
    wanted = select(row.id).where(row.folder == str(folder), refused)
    with home.records.read() as session:
        return session.scalar(wanted) is not None


def _given_another_try(home: Home, folder: Path, outcome: str) -> bool:
    """Tell whether a person took the refused run up again since."""
    return outcome.startswith(_REFUSED) and not _is_refused(home, folder)


def _conclude(home: Home, seen: Seen, state: FolderState, reason: str) -> Seen:
    outcome = reason if state is FolderState.DONE else f"{_REFUSED}{reason}"
    with home.records.write() as session:
        observations.conclude(session, str(seen.folder), seen.content or "", outcome)
    return seen.model_copy(update={"state": state, "reason": reason})


def _concluded(outcome: str) -> Readiness:
    if outcome.startswith(_REFUSED):
        return Readiness(state=FolderState.REFUSED, reason=outcome.removeprefix(_REFUSED))
    return Readiness(state=FolderState.DONE, reason=outcome)


def _stopped(folder: Path, error: Exception) -> str:
    """Return why one folder waits; a bug met in it must not keep the other instruments' runs from being taken."""
    if isinstance(error, LabrelayError):
        return _first_line(error)
    _log.error("the run in %s could not be processed", folder, exc_info=error)
    return f"an unexpected error stopped it ({type(error).__name__}): see the log; it is tried again"


def _first_line(error: Exception) -> str:
    """Return the sentence of an error with the first of its problems."""
    if isinstance(error, RefusedInput) and error.problems:
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        return f"{error.problems[0]}{more}"
    return printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 300)


def _unlisted(error: OSError) -> str:
    return f"the landing folder cannot be listed ({error.strerror or error}): check the path and its rights"
