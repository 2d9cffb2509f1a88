"""Signs for the notebook: 'look at this experiment again', posted where something about it is decided.

What the entry says is computed when the sign is delivered, so a sign carries nothing and may be lost or repeated.
They are posted only where a notebook is set: the pages and archives in the home change with results alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.canonical import digest
from labrelay.model.instrument import InstrumentRun
from labrelay.records import intake, outbox
from labrelay.records.database import now
from labrelay.records.eln.registry import ARCHIVE
from labrelay.records.experiments import Announced
from labrelay.records.schema import InstrumentRunRow, WorkflowRunRow
from labrelay.steps.eln_status import concerned
from labrelay.steps.home import Home

Sign = Literal["announced", "seen", "refused", "matched", "submitted", "moved", "failed"]
# The kinds with which nothing changes that is written into the home itself.
SIGNS: frozenset[str] = frozenset({"announced", "seen", "refused", "matched", "submitted", "moved", "failed"})


def sign(home: Home, session: Session, kind: Sign, experiment_ids: Iterable[str], *about: str | None) -> None:
    """Post a sign for each experiment in the caller's transaction; the same `about` is the same sign."""
    if home.settings.eln == ARCHIVE:
        return
    told = digest([kind, *about])[:24]
    for experiment_id in dict.fromkeys(experiment_ids):
        outbox.post(session, "eln", experiment_id, kind, f"eln:{kind}:{experiment_id}:{told}")


def sign_announced(home: Home, session: Session, outcome: Announced) -> None:
    """Post a sign for an experiment whose announcement added or corrected samples."""
    if changed := outcome.added + outcome.corrected:
        sign(home, session, "announced", [outcome.experiment.id], now(), *sorted(changed))


def sign_sheet(home: Home, session: Session, kind: Sign, content: Mapping[str, object], *about: str | None) -> None:
    """Post a sign for the experiments that an instrument run's sheet names samples of."""
    if home.settings.eln != ARCHIVE:
        sign(home, session, kind, concerned(session, content), *about)


def sign_waiting(home: Home, run: InstrumentRun, folder: Path, reason: str, *, refused: bool) -> None:
    """Write that an instrument run has been seen and what it waits for or is refused for, and post a sign of it.

    Only where a notebook is set and the run's sheet names announced samples: it is for their entries.
    """
    if home.settings.eln == ARCHIVE:
        return
    content = intake.content_of(run)
    with home.records.read() as session:
        row = session.get(InstrumentRunRow, run.id)
        known = row is not None and (row.state != "seen" or row.reason == reason)
        experiment_ids = [] if known else concerned(session, content)
    if not experiment_ids:
        return
    with home.records.write() as session:
        row = intake.see(session, run, str(folder))
        if row.state != "seen":
            return
        if refused:
            intake.refuse(session, run.id, reason)
        else:
            row.reason = reason
        sign(home, session, "refused" if refused else "seen", experiment_ids, run.id, now())


def sign_runs(home: Home, session: Session, kind: Sign, run_ids: Iterable[str], *about: str | None) -> None:
    """Post a sign for the experiments of workflow runs. Cost: one query, for all."""
    ids = sorted(set(run_ids))
    if home.settings.eln == ARCHIVE or not ids:
        return
    query = select(WorkflowRunRow.experiment_id).where(WorkflowRunRow.id.in_(ids)).distinct()
    sign(home, session, kind, session.scalars(query), *ids, *about)
