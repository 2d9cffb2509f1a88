"""Are results still what was recorded? Their files are hashed again and compared with the records and the crate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import audit
from labrelay.records.crate_reading import CrateTold, read_crate
from labrelay.records.schema import WorkflowRunRow
from labrelay.records.stored import StoredFile, StoredRun, recorded_page, stored_files, stored_run
from labrelay.steps.documents import result_folder
from labrelay.steps.home import Home
from labrelay.steps.looking import Look, Looker, State
from labrelay.steps.named_result import find_result

NOT_LOOKED_AT = "so report, figures and tables, which only it tells of, were not looked at, nor what lies beside them"
KEPT = 1_000  # so many results with something wrong are kept of a look at all


class VerifiedRun(Frozen):
    """What a look at one result found, file by file."""

    run: str
    result_path: str
    folder: str
    files: tuple[Look, ...]

    @property
    def differing(self) -> tuple[Look, ...]:
        """What is not as it was recorded."""
        return tuple(each for each in self.files if each.state.wrong)


@dataclass
class VerifiedAll:
    """What a look at all results found: how many of how many files differ, and the results that they are of."""

    runs: int = 0
    files: int = 0
    differing: int = 0
    wrong: list[VerifiedRun] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was looked at and how it is."""
        looked = f"{counted(self.runs, 'result')}, {counted(self.files, 'file')}"
        return f"{looked}: {'all as recorded' if not self.differing else f'{self.differing} differ'}"


def verify_run(home: Home, text: str, *, inputs: bool = False, deep: bool = False) -> VerifiedRun:
    """Look whether a result is what was recorded, and put on record that somebody looked.

    Args:
        home: Where.
        text: As `find_result` takes it: an id, a sample's name (`SAMPLE/WORKFLOW` for one of its results), or a path.
        inputs: Look at what went in as well.
        deep: Read everything, also where a store keeps checksums of its own.

    Raises:
        NotFound: There is no such run, or it has no recorded result.
        UsageError: It could mean several results.
    """
    with home.records.read() as session:
        run, _file = find_result(home, session, text)
    if run.recorded_at is None or run.state != RunState.COMPLETE.value:
        raise NotFound(f"{run.id} has no recorded result: `labrelay runs show {run.id}` says how it stands")
    found = _look(home, run.id, inputs=inputs, deep=deep)
    with home.records.write() as session:
        _on_record(session, found, inputs=inputs, deep=deep)
    return found


def verify_all(home: Home, since: str | None = None, *, inputs: bool = False, deep: bool = False) -> VerifiedAll:
    """Look at all results, or at those recorded since a time (ISO 8601, UTC); memory grows only with what is wrong.

    On record come the look as a whole, and each result that differs.
    """
    done = VerifiedAll()
    for run_id in _recorded(home, since):
        found = _look(home, run_id, inputs=inputs, deep=deep)
        done.runs += 1
        done.files += len(found.files)
        done.differing += len(found.differing)
        if found.differing and len(done.wrong) < KEPT:
            done.wrong.append(found)
    with home.records.write() as session:
        for found in done.wrong:
            _on_record(session, found, inputs=inputs, deep=deep)
        counts = {"runs": done.runs, "files": done.files, "differing": done.differing}
        audit.record(session, "results.verified", "results", **counts, since=since, inputs=inputs, deep=deep)
    return done


def _recorded(home: Home, since: str | None) -> Iterator[str]:
    """Yield the ids of recorded results; no transaction is open while they are looked at."""
    last = ""
    while True:
        with home.records.read() as session:
            ids = recorded_page(session, last, since)
        if not ids:
            return
        yield from ids
        last = ids[-1]


def _on_record(session: Session, found: VerifiedRun, *, inputs: bool, deep: bool) -> None:
    counts = {"files": len(found.files), "differing": len(found.differing)}
    audit.record(session, "workflow_run.verified", found.run, **counts, inputs=inputs, deep=deep)


def _look(home: Home, run_id: str, *, inputs: bool, deep: bool) -> VerifiedRun:
    """Look at one result. Cost: four queries; its files are read, or asked for where the store keeps checksums."""
    with home.records.read() as session:
        run = stored_run(session, session.get_one(WorkflowRunRow, run_id))
        outputs = stored_files(session, run_id, "out")
        used = stored_files(session, run_id, "in")
    looker = Looker(home, deep=deep)
    files = [looker.at(each.name, each.ref) for each in outputs]
    told, about_crate = _crate(looker, run)
    files.append(about_crate)
    if told is not None:
        files += _compared(told, run, outputs, used)
        files += _documents(home, run, told)
        files += _extra(home, run, outputs, told)
    if inputs:
        files += [looker.at(f"input {each.name}", each.ref) for each in used]
    return VerifiedRun(
        run=run.id,
        result_path=run.result_path,
        folder=str(result_folder(home, run.result_path)),
        files=tuple(files),
    )


def _crate(looker: Looker, run: StoredRun) -> tuple[CrateTold | None, Look]:
    """Look at the crate; what it says counts only while it is the one that was recorded."""
    if run.crate is None:
        return None, Look(name="crate", path=run.result_path, state=State.MISSING, why="the records have no crate")
    look = looker.at("crate", run.crate)
    if look.state.wrong:
        return None, look.model_copy(update={"why": f"{look.why}; {NOT_LOOKED_AT}"})
    told = read_crate(looker.content(run.crate))
    if told is None:
        why = f"it is no crate that can be read; {NOT_LOOKED_AT}"
        return None, look.model_copy(update={"state": State.CHANGED, "why": why})
    return told, look


def _compared(told: CrateTold, run: StoredRun, outputs: list[StoredFile], used: list[StoredFile]) -> Iterator[Look]:
    """Yield where the crate and the records say different things."""
    if run.id not in told.runs:
        yield _differs("crate", run.result_path, "the crate is not about this run")
    if run.workflow_digest not in told.workflows:
        yield _differs("crate", run.result_path, "the crate names another workflow than the records")
    described = {file.file_id: file for file in told.files if file.file_id is not None}
    for each in (*outputs, *used):
        known = described.get(each.ref.id)
        if known is None:
            yield _differs(each.name, each.ref.key, "the crate does not tell of it")
        elif (known.sha256, known.size) != (each.ref.sha256, each.ref.size):
            yield _differs(each.name, each.ref.key, "the crate tells another hash or size than the records")


def _differs(name: str, path: str, why: str) -> Look:
    return Look(name=name, path=path, state=State.DIFFERS, why=why)


def _documents(home: Home, run: StoredRun, told: CrateTold) -> Iterator[Look]:
    """Look at what only the crate tells of: report, figures, tables, the workflow's definition."""
    folder = result_folder(home, run.result_path)
    for file in told.files:
        if file.file_id is None and file.path is not None:
            yield Looker.at_path(
                "document", folder / file.path, f"{run.result_path}/{file.path}", file.sha256, file.size
            )


def _extra(home: Home, run: StoredRun, outputs: list[StoredFile], told: CrateTold) -> Iterator[Look]:
    """Yield what lies in the result's folder and nobody has told of."""
    folder = result_folder(home, run.result_path)
    known = {each.ref.key.removeprefix(f"{run.result_path}/") for each in outputs}
    known |= {file.path for file in told.files if file.path is not None}
    if run.crate is not None:
        known.add(run.crate.key.removeprefix(f"{run.result_path}/"))
    for path in sorted(_below(folder)):
        if path not in known:
            yield Look(name="", path=f"{run.result_path}/{path}", state=State.EXTRA, why="nothing tells of it")


def _below(folder: Path) -> Iterator[str]:
    """Yield the relative paths of all that is no folder; a link to a folder is no folder."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in (*files, *links))


def one_or_all(run: str | None, everything: bool, since: object | None) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: Neither one run nor all are named, or both.
    """
    if (run is None) == (not everything and since is None):
        raise UsageError("name one workflow run, or ask for --all (of a time: --since)")
