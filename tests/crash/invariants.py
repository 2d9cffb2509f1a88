"""What must be true of a home after any crash and one clean repetition, and how to tell that nothing was lost.

`check_invariants` returns a sentence for each thing that is not as promised; no sentence means that all of I1 to I6
hold. It trusts no state: bytes are read again, chains recomputed, starts counted by the engine's own witness.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from labrelay.model.errors import LabrelayError
from labrelay.model.states import RunState
from labrelay.parsers.registry import read_run
from labrelay.records import anchors, intake, migrate, runs, soundness
from labrelay.records.database import now
from labrelay.records.lease import is_alive
from labrelay.records.metadata import TABLES
from labrelay.records.schema import (
    AttemptRow,
    AuditRow,
    DatasetRow,
    FileRow,
    InstrumentRunRow,
    LeaseRow,
    OutboxRow,
    ReadSetRow,
    WorkflowRunRow,
)
from labrelay.records.search_schema import DERIVED
from labrelay.steps.home import Home, open_home
from labrelay.steps.trail import verify_trail
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.manifest import Manifest

# Tables whose number of rows may differ between a run with crashes and one without: each try leaves its own trace.
TRACES = {"audit_event", "attempt", "task", "cost", "lease", *DERIVED}
LEFTOVER = re.compile(r"\.(tmp|new)-")


@dataclass(frozen=True)
class Expected:
    """What a home has to have taken in.

    Attributes:
        folders: The complete run folders.
        starts: How often the engine was really started, by token.
    """

    folders: tuple[Path, ...]
    starts: Mapping[str, int]


def check_invariants(path: Path, expected: Expected) -> list[str]:
    """Return what is wrong with the home at `path` when nothing runs any more."""
    home = open_home(path)
    try:
        parts = (_registered_once, _started_once, _stored_as_promised, _states_legal, _audit_whole, _nothing_left)
        return [f"I{number}: {found}" for number, part in enumerate(parts, 1) for found in part(home, expected)]
    finally:
        home.close()


def _registered_once(home: Home, expected: Expected) -> Iterator[str]:
    """I1: the set of stored instrument runs is the set of complete folders, and each has all its parts."""
    wanted = Counter(folder.name for folder in expected.folders)
    with home.records.read() as session:
        rows = session.scalars(select(InstrumentRunRow)).all()
        found = Counter(row.run_id for row in rows if row.state == "stored")
        manifests = {row.run_id: row.manifest_key for row in rows if row.manifest_key}
        read_sets = session.scalars(select(ReadSetRow)).all()
        datasets = session.scalars(select(DatasetRow)).all()
    for run_id in (wanted - found) | (found - wanted):
        yield f"the run {run_id} is registered {found[run_id]} times, its folder is there {wanted[run_id]} times"
    for folder in expected.folders:
        files = {file.path: file.size for file in read_run(folder).files}
        manifest = _manifest(home, manifests.get(folder.name))
        listed = {} if manifest is None else {file.path: file.ref.size for file in manifest.files}
        if files != listed:
            yield f"the manifest of {folder.name} lists {len(listed)} files, the folder has {len(files)}"
    for row in read_sets:
        if row.status != "ACTIVE" or home.reads.describe(row.id) is None:
            yield f"the read set {row.id} is {row.status}"
    if any(row.state == "unassigned" for row in datasets):
        yield "a dataset has lost its sample"


def _manifest(home: Home, key: str | None) -> Manifest | None:
    ref = None if key is None else home.objects.head(key)
    if ref is None:
        return None
    with home.objects.open(ref) as opened:
        return Manifest.model_validate_json(opened.read())


def _started_once(home: Home, expected: Expected) -> Iterator[str]:
    """I2: no token was given to the outside more than once, and each start is one that we know of."""
    with home.records.read() as session:
        known = set(session.scalars(select(AttemptRow.token)))
    for token, count in expected.starts.items():
        if count > 1:
            yield f"{token} was started {count} times"
        if token not in known:
            yield f"{token} was started and is in no record"


def _stored_as_promised(home: Home, expected: Expected) -> Iterator[str]:
    """I3: every recorded file reads back as recorded, and nothing lies in the stores that is not recorded."""
    del expected
    stores = {store.name: store for store in (home.objects, home.results)}
    genomes = FolderObjectStore(home.path / "reads" / "references", "references")
    with home.records.read() as session:
        rows = session.scalars(select(FileRow)).all()
        kept = [row.manifest_key for row in session.scalars(select(InstrumentRunRow)) if row.manifest_key]
    for row in rows:
        try:
            {**stores, genomes.name: genomes}[row.storage].verify(intake.ref_of(row))
        except LabrelayError as error:
            yield str(error)
    recorded = {row.key for row in rows if row.storage == home.objects.name}
    known = {row.id for row in rows}
    for ref in home.objects.list():
        if ref.key not in recorded and not ref.key.startswith(f"{anchors.FOLDER}/"):
            yield f"{ref.key} is stored and recorded nowhere"
    for key in kept:
        manifest = _manifest(home, key)
        if manifest is None:
            yield f"the manifest {key} is recorded and not stored"
        else:
            # The bytes of recorded files were read above.
            yield from (f"{f.ref.key} is listed and not recorded" for f in manifest.files if f.ref.id not in known)


def _states_legal(home: Home, expected: Expected) -> Iterator[str]:
    """I4: every run ended once, by its last attempt; a new attempt began only after the end of the one before."""
    del expected
    with home.records.read() as session:
        events = session.scalars(select(AuditRow)).all()
        ends = Counter(str(e.detail.get("token")) for e in events if e.action == "workflow_run.ended")
        recorded = Counter(e.entity_id for e in events if e.action == "workflow_run.recorded")
        for run in session.scalars(select(WorkflowRunRow)):
            last = runs.last_attempt(session, run.id)
            attempts = session.scalars(select(AttemptRow).where(AttemptRow.run_id == run.id)).all()
            for attempt in attempts:
                if not RunState(attempt.state).terminal:
                    yield f"the attempt {attempt.token} is still {attempt.state}"
                if attempt.number < last.number and attempt.state != RunState.SYSTEM_ERROR.value:
                    yield f"{attempt.token} ended as {attempt.state} and was tried again"
            if sorted(a.number for a in attempts) != list(range(1, last.number + 1)):
                yield f"the attempts of {run.id} are not counted from 1"
            if run.state != last.state:
                yield f"{run.id} is {run.state}, its last attempt is {last.state}"
            if run.recorded_at is None or recorded[run.id] != 1:
                yield f"the end of {run.id} is recorded {recorded[run.id]} times"
    yield from (f"{token} has {count} ends" for token, count in ends.items() if count > 1)


def _audit_whole(home: Home, expected: Expected) -> Iterator[str]:
    """I5: the audit chain verifies from its first row to its last, with all that was anchored; so does the database."""
    del expected
    yield from verify_trail(home).found
    with home.records.read() as session:
        if (lost := migrate.dangling(session.connection())) is not None:
            yield f"rows point to rows that are not there: {lost}"
    if (damaged := soundness.damage(home.records, thorough=True)) is not None:
        yield f"the database is damaged: {damaged}"


def _nothing_left(home: Home, expected: Expected) -> Iterator[str]:
    """I6: after a sweep, no temporary file, held lease or claimed message is left of a process that is gone."""
    del expected
    with home.records.read() as session:
        for lease in session.scalars(select(LeaseRow).where(LeaseRow.until > now())):
            owner = "lives" if is_alive(lease.holder) else "is gone"
            yield f"the lease on {lease.name} is held by {lease.holder}, which {owner}"
        for message in session.scalars(select(OutboxRow).where(OutboxRow.state != "confirmed")):
            yield f"the message {message.dedup_key} is {message.state} ({message.error})"
    for left in leftovers(home.path):
        yield f"{left.relative_to(home.path)} is left over"


def leftovers(home: Path) -> list[Path]:
    """Return what has a temporary name below a home."""
    found = []
    for folder, folders, names in os.walk(home):
        found += [Path(folder, name) for name in (*folders, *names) if LEFTOVER.match(name)]
    staging = [path for store in ("objects", "results") for path in (home / store / ".staging").glob("*")]
    return sorted({*found, *(path for path in staging if path.name != "lock")})


def grow_old(home: Path) -> None:
    """Make leftovers older than the reaper's grace time, as an hour would."""
    for left in leftovers(home):
        os.utime(left, (0, 0), follow_symlinks=False)


def snapshot(path: Path) -> dict[str, Any]:
    """Return what a home came to: keys and hashes of stored files, rows a table, and how each run ended.

    What names a moment (reports, crates, manifests, tables) is compared by its presence, all else by its bytes.
    """
    home = open_home(path)
    try:
        with home.records.read() as session:
            tables = [t for t in TABLES.sorted_tables if t.name not in TRACES]
            rows = {t.name: session.scalar(select(func.count()).select_from(t)) for t in tables}
            ended = {r.key: (r.state, r.verdict, r.result_path) for r in session.scalars(select(WorkflowRunRow))}
            outputs = {
                r.key: (r.sha256, r.size)
                for r in session.scalars(select(FileRow))
                if not r.key.startswith("manifests/") and r.role != "crate"
            }
        results = sorted(str(p.relative_to(path)) for p in _documents(path))
        return {"rows": rows, "runs": ended, "files": outputs, "documents": results}
    finally:
        home.close()


def _documents(path: Path) -> Iterator[Path]:
    for part in ("results", "eln", "instrument-runs"):
        for found in (path / part).rglob("*"):
            if found.is_file() and not any(name.startswith(".") for name in found.relative_to(path).parts):
                yield found


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return how a home differs from the undisturbed one, a line each."""
    return [
        f"{part}: {json.dumps(wanted[part], default=str)} became {json.dumps(found[part], default=str)}"
        for part in wanted
        if wanted[part] != found[part]
    ]
