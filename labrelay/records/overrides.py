"""Verdicts that people set: on record with their reason, while what was computed stays beside them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labrelay.model.qc import Override, Verdict
from labrelay.records import audit
from labrelay.records.database import now
from labrelay.records.schema import WorkflowRunRow
from labrelay.records.schema_overrides import OverrideRow


def override(session: Session, run: WorkflowRunRow, verdict: Verdict, reason: str) -> Override:
    """Set the verdict of a result in the caller's transaction; earlier ones stay on record."""
    last = of_runs(session, [run.id]).get(run.id)
    computed = last.computed if last else Verdict(run.verdict)
    number = 1 + (session.scalar(select(func.max(OverrideRow.number)).where(OverrideRow.run_id == run.id)) or 0)
    made = Override(verdict=verdict, computed=computed, reason=reason, at=now(), by=audit.signature())
    session.add(OverrideRow(run_id=run.id, number=number, **made.model_dump(mode="json")))
    run.verdict = verdict.value
    audit.record(session, "verdict.overridden", run.id, verdict=verdict.value, computed=computed.value, reason=reason)
    return made


def of_runs(session: Session, run_ids: Iterable[str]) -> dict[str, Override]:
    """Return what counts for those of the runs whose verdict a person has set, in one query."""
    query = select(OverrideRow).where(OverrideRow.run_id.in_(list(run_ids))).order_by(OverrideRow.number)
    fields = Override.model_fields
    return {row.run_id: Override(**{n: getattr(row, n) for n in fields}) for row in session.scalars(query)}
