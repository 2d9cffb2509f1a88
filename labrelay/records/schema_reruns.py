"""Tables of what is out of date, of plans of reruns, and of what metrics are compared by over time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from labrelay.records.schema import Base, Json


class StaleCauseRow(Base):
    """One cause for which a result is out of date; `workflow_run.stale` says all of them in one sentence."""

    __tablename__ = "stale_cause"
    __table_args__ = (Index("ix_stale_cause_cause", "cause", "run_id"),)
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), primary_key=True)
    cause: Mapped[str] = mapped_column(String(16), primary_key=True)  # workflow, reference, rule, sample, reads
    sentence: Mapped[str]
    since: Mapped[str]  # when it was first seen


class ReprocessPlanRow(Base):
    """What was shown to be rerun, with its bounds. States: `planned`, `running`, `held`, `done`, `dropped`."""

    __tablename__ = "reprocess_plan"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)  # of its runs and bounds: shown twice, it is one plan
    state: Mapped[str] = mapped_column(index=True)
    asked: Mapped[Json]  # by which causes, workflow, experiment and time it was chosen
    expected: Mapped[Json]  # what it was said to cost and take
    budget_usd: Mapped[float | None]
    at_once: Mapped[int]
    stop_after: Mapped[int]
    reason: Mapped[str | None]  # why it is held, or how it ended
    created_at: Mapped[str]
    created_by: Mapped[str]
    started_at: Mapped[str | None]
    resumed_at: Mapped[str | None]  # failures before it do not count any more
    ended_at: Mapped[str | None]


class ReprocessItemRow(Base):
    """One run of a plan. States: `planned`, `submitted`, `done`, `failed`, `skipped`."""

    __tablename__ = "reprocess_item"
    __table_args__ = (Index("ix_reprocess_item_state", "plan_id", "state"),)
    plan_id: Mapped[str] = mapped_column(ForeignKey("reprocess_plan.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(24), primary_key=True, index=True)  # that takes the place of others
    position: Mapped[int]
    state: Mapped[str]
    replaces: Mapped[list[Any]]  # the ids of the results whose place it takes
    causes: Mapped[list[Any]]
    because: Mapped[str]
    subject: Mapped[str]
    workflow: Mapped[str]  # name and version
    workflow_digest: Mapped[str] = mapped_column(String(64))
    conditions: Mapped[str] = mapped_column(String(64))  # digest of workflow, reference and parameters
    origin: Mapped[str]  # the instrument run after which the rules ask for it
    asked: Mapped[Json]  # workflow, parameters, samples, inputs and reference, to say what has changed since
    usd: Mapped[float | None]
    failure: Mapped[str | None]
    at: Mapped[str]


class QCContextRow(Base):
    """What a run's metrics are compared by over time: instrument, assay and workflow; one row a run with metrics."""

    __tablename__ = "qc_context"
    __table_args__ = (Index("ix_qc_context_series", "kind", "workflow", "assay", "instrument", "at"),)
    owner_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    kind: Mapped[str] = mapped_column(String(3))  # ins: an instrument run, run: a workflow run
    instrument: Mapped[str]
    assay: Mapped[str]
    workflow: Mapped[str]
    label: Mapped[str]  # what a person calls the run: the instrument's run id, or its samples
    at: Mapped[str]  # when the instrument run began, or was taken in
    recorded_at: Mapped[str]
