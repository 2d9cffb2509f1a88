"""What may be removed, and removing it: work of runs recorded long ago, copies, scratch, and what killed writers left.

Never anything of a run that lives or is not recorded, never raw data, read sets, results or records. A folder is
renamed before it is emptied, so that an interrupted clean leaves nothing that looks whole.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.faults import faultpoint
from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import audit
from labrelay.records.schema import AttemptRow, WorkflowRunRow
from labrelay.steps.adapters import BROUGHT
from labrelay.steps.home import LOCK, Home
from labrelay.stores.durable import TEMP_NAME, describe_os_error, human_bytes, remove_stale_temps
from labrelay.workflows.local.home import EngineHome

GONE = ".gone-"
DOWNLOADS, OUTPUTS, HALF = ("healthomics", "batch"), "out", ".part"  # what these engines bring from S3
KEY_DIGITS = 40
SCRATCH_SECONDS = 86_400.0  # what is being made is finished within a day
TEMP_SECONDS = 3_600.0
NAMED = 100  # so many of what was removed are on record by name


class Leftover(Frozen):
    """Something that may be removed.

    Attributes:
        path: A folder or file below the home.
        size: Bytes that its removal frees; files that have another name elsewhere free none.
        reason: Why it may go, one sentence.
        kind: `folder` is removed whole, `temp` only if its writer is dead.
    """

    path: Path
    size: int
    reason: str
    kind: Literal["folder", "temp"] = "folder"


@dataclass
class Cleaned:
    """What a clean removed, and what it could not, in sentences."""

    removed: int = 0
    freed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        return (
            f"{counted(self.removed, 'folder or file', 'folders and files')} removed, {human_bytes(self.freed)} freed"
        )


def plan_clean(home: Home) -> list[Leftover]:
    """Return what may be removed by the settings (`keep_work_days`), the largest first; nothing is changed.

    Cost: three queries, and a look at every file of what may go.
    """
    work = list(_work(home))
    downloads = _downloads(home, {each.path for each in work})
    found = [*work, *downloads, *_brought(home), *_scratch(home), *_temps(home)]
    return sorted(found, key=lambda each: (-each.size, str(each.path)))


def clean(home: Home, plan: Sequence[Leftover]) -> Cleaned:
    """Remove what a plan names and a new look still allows; a run that was taken up again since keeps its folders."""
    allowed = {each.path for each in plan_clean(home)}
    done, removed = Cleaned(), list[str]()
    for each in plan:
        if each.path not in allowed:
            continue
        try:
            gone = _remove(each)
        except OSError as error:
            done.problems.append(describe_os_error(error, f"remove {each.path.name}", each.path.parent))
            continue
        if gone:
            done.removed += 1
            done.freed += each.size
            removed.append(str(each.path.relative_to(home.path)))
    if removed:
        with home.records.write() as session:
            counts = {"removed": done.removed, "bytes": done.freed, "failed": len(done.problems)}
            audit.record(session, "home.cleaned", "home", **counts, paths=removed[:NAMED])
    return done


def _work(home: Home) -> Iterator[Leftover]:
    """Yield the engine's folders of runs that ended, are recorded, and were recorded long enough ago."""
    engine = EngineHome(home.path)
    queued = {attempt.token for attempt in engine.queued()}
    keys, tokens = _old_runs(home)
    busy = {token.rpartition("-")[0] for token in queued}
    for folder in _folders(home.path / "work"):
        if folder.name.startswith(GONE):
            yield _leftover(folder, "an earlier clean was interrupted")
        elif folder.name in keys and folder.name not in busy:
            yield _leftover(folder, keys[folder.name])
    places = (home.path / name for name in ("runs", *DOWNLOADS))
    for folder in (folder for place in places for folder in _folders(place)):
        if folder.name.startswith(GONE):
            yield _leftover(folder, "an earlier clean was interrupted")
        elif folder.name in tokens and folder.name not in queued:
            yield _leftover(folder, tokens[folder.name])


def _downloads(home: Home, planned: Set[Path]) -> Iterator[Leftover]:
    """Yield what was brought from S3 for runs that are recorded: copies of outputs, and halves of broken downloads.

    The folder of a run that lives or is not recorded is left alone: its recording goes on with what is there.
    """
    with home.records.read() as session:
        recorded = _recorded(session, datetime.now(UTC) - timedelta(seconds=TEMP_SECONDS))
    for folder in (folder for name in DOWNLOADS for folder in _folders(home.path / name)):
        run_id = recorded.get(folder.name)
        if run_id is None or folder in planned:
            continue
        for path in _children(folder):
            if path.name == OUTPUTS and path.is_dir():
                yield _leftover(path, f"{run_id} is recorded, and results/ has its outputs")
            elif path.name.endswith(HALF):
                yield _leftover(path, f"{run_id} is recorded, and this download was never finished")


def _brought(home: Home) -> Iterator[Leftover]:
    """Yield inputs that were brought from AWS and not been used for long; none while a run of this machine lives.

    The time of a place is that of its last use, since whoever finds one whole touches it.
    """
    before = time.time() - home.settings.keep_work_days * 86_400
    with home.records.read() as session:
        query = select(AttemptRow.state).where(AttemptRow.engine == "local")
        if not all(_ended(state) for state in session.scalars(query.distinct())):
            return
    for folder in _folders(home.path / BROUGHT):
        if folder.name.startswith(GONE):
            yield _leftover(folder, "an earlier clean was interrupted")
        elif folder.stat().st_mtime < before:
            yield _leftover(folder, "it was brought from AWS for a run of long ago, and can be brought again")


def _recorded(session: Session, before: datetime) -> dict[str, str]:
    """Return the runs by token of their attempts, of all that are recorded and have no attempt under way."""
    query = select(AttemptRow.token, AttemptRow.state, WorkflowRunRow.id, WorkflowRunRow.state).join(
        WorkflowRunRow, WorkflowRunRow.id == AttemptRow.run_id
    )
    moment = before.isoformat(timespec="microseconds")
    rows = session.execute(query.where(WorkflowRunRow.recorded_at < moment)).all()
    live = {run_id for _token, state, run_id, of_run in rows if not _ended(state) or not _ended(of_run)}
    return {token: run_id for token, _state, run_id, _of_run in rows if run_id not in live}


def _ended(state: str) -> bool:
    return RunState(state).terminal


def _old_runs(home: Home) -> tuple[dict[str, str], dict[str, str]]:
    """Return, for runs whose folders may go, the reason by the key's first digits and by attempt token."""
    days = home.settings.keep_work_days
    before = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
    with home.records.read() as session:
        rows = session.execute(
            select(WorkflowRunRow.id, WorkflowRunRow.key, WorkflowRunRow.state, WorkflowRunRow.recorded_at)
        ).all()
        attempts = session.execute(select(AttemptRow.token, AttemptRow.run_id, AttemptRow.state)).all()
    live = {run_id for _token, run_id, state in attempts if not RunState(state).terminal}
    old = {
        run_id: (key[:KEY_DIGITS], f"{run_id} was recorded on {recorded_at[:10]}, more than {days:g} days ago")
        for run_id, key, state, recorded_at in rows
        if recorded_at is not None and recorded_at < before and RunState(state).terminal and run_id not in live
    }
    return dict(old.values()), {token: old[run_id][1] for token, run_id, _state in attempts if run_id in old}


def _scratch(home: Home) -> Iterator[Leftover]:
    limit = time.time() - SCRATCH_SECONDS
    for path in _children(home.scratch):
        if path.suffix == LOCK:  # a few bytes, and held for longer than a day where a run is that large
            continue
        newest = max((status.st_mtime for status in _stats(path)), default=0.0)
        if newest < limit:
            yield _leftover(path, "scratch that nobody has written to for a day")


def _temps(home: Home) -> Iterator[Leftover]:
    limit = time.time() - TEMP_SECONDS
    for store in ("objects", "results"):
        for path in _children(home.path / store / ".staging"):
            status = path.lstat()
            if TEMP_NAME.match(path.name) and status.st_mtime < limit:
                reason = "staged bytes that were never committed"
                yield Leftover(path=path, size=_freed([status]), reason=reason, kind="temp")


def _leftover(path: Path, reason: str) -> Leftover:
    return Leftover(path=path, size=_freed(_stats(path)), reason=reason)


def _folders(parent: Path) -> Iterator[Path]:
    return (path for path in _children(parent) if path.is_dir())


def _children(parent: Path) -> Iterator[Path]:
    """Yield what lies in a folder, links left out: what they point to is not ours."""
    try:
        found = sorted(parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (path for path in found if not path.is_symlink())


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of everything in a tree; what vanishes meanwhile is left out."""
    yield path.lstat()
    for folder, _folders_in_it, files in os.walk(path):
        for name in files:
            try:
                yield Path(folder, name).lstat()
            except FileNotFoundError:
                continue


def _freed(stats: Iterable[os.stat_result]) -> int:
    return sum(s.st_size for s in stats if stat.S_ISREG(s.st_mode) and s.st_nlink == 1)


def _remove(each: Leftover) -> bool:
    if each.kind == "temp":
        remove_stale_temps(each.path.parent, TEMP_SECONDS, deep=False)
        return not each.path.exists()
    doomed = each.path
    if not doomed.name.startswith(GONE):
        doomed = each.path.with_name(GONE + each.path.name)
        if doomed.exists():
            _remove_tree(doomed)
        each.path.rename(doomed)
        faultpoint("clean.renamed")
    _remove_tree(doomed)
    return True


def _remove_tree(path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except PermissionError:  # tasks leave folders that cannot be read or written
        _open_up(path)
        shutil.rmtree(path)


def _open_up(path: Path) -> None:
    """Give this user all rights on the folders of a tree, without following links."""
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        folder.chmod(stat.S_IRWXU)
        waiting += [Path(each.path) for each in os.scandir(folder) if each.is_dir(follow_symlinks=False)]
