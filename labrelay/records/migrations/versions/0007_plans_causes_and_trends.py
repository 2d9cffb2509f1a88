"""Plans of reruns with their runs, causes of results that are out of date, and what metrics are compared by."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables; metrics that are there already get what they are compared by."""
    op.create_table(
        "stale_cause",
        sa.Column("run_id", sa.String(length=24), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_stale_cause_run_id")),
        sa.PrimaryKeyConstraint("run_id", "cause", name=op.f("pk_stale_cause")),
    )
    op.create_index("ix_stale_cause_cause", "stale_cause", ["cause", "run_id"])
    op.create_table(
        "reprocess_plan",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("expected", sa.JSON(), nullable=False),
        sa.Column("budget_usd", sa.Double(), nullable=True),
        sa.Column("at_once", sa.Integer(), nullable=False),
        sa.Column("stop_after", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=True),
        sa.Column("resumed_at", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reprocess_plan")),
    )
    op.create_index(op.f("ix_reprocess_plan_digest"), "reprocess_plan", ["digest"])
    op.create_index(op.f("ix_reprocess_plan_state"), "reprocess_plan", ["state"])
    op.create_table(
        "reprocess_item",
        sa.Column("plan_id", sa.String(length=24), nullable=False),
        sa.Column("run_id", sa.String(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("replaces", sa.JSON(), nullable=False),
        sa.Column("causes", sa.JSON(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("workflow_digest", sa.String(length=64), nullable=False),
        sa.Column("conditions", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("usd", sa.Double(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["reprocess_plan.id"], name=op.f("fk_reprocess_item_plan_id")),
        sa.PrimaryKeyConstraint("plan_id", "run_id", name=op.f("pk_reprocess_item")),
    )
    op.create_index("ix_reprocess_item_state", "reprocess_item", ["plan_id", "state"])
    op.create_index(op.f("ix_reprocess_item_run_id"), "reprocess_item", ["run_id"])
    context = op.create_table(
        "qc_context",
        sa.Column("owner_id", sa.String(length=24), nullable=False),
        sa.Column("kind", sa.String(length=3), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("assay", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_qc_context")),
    )
    op.create_index("ix_qc_context_series", "qc_context", ["kind", "workflow", "assay", "instrument", "at"])
    op.create_index("ix_workflow_run_replaced_by", "workflow_run", ["replaced_by"])
    op.create_index("ix_qc_metric_name", "qc_metric", ["name", "owner_id"])
    rows = [*_instrument_runs(), *_workflow_runs()]
    if rows:
        op.bulk_insert(context, rows)


def _instrument_runs() -> list[dict[str, str]]:
    query = (
        "SELECT id, platform, content, created_at, stored_at, run_id FROM instrument_run WHERE stored_at IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM qc_metric WHERE owner_id = instrument_run.id)"
    )
    rows = op.get_bind().execute(sa.text(query))
    return [
        _row("ins", id, (_instrument(content, platform),), (), "", run_id, (_began(content, created),), stored)
        for id, platform, content, created, stored, run_id in rows
    ]


def _workflow_runs() -> list[dict[str, str]]:
    bind = op.get_bind()
    sources: dict[str, set[tuple[str, str]]] = defaultdict(set)
    # What an instrument wrote can be large: each is read once, one at a time, and only two words of it are kept.
    written = sa.text("SELECT id, platform, content, created_at FROM instrument_run")
    instruments_of = {
        id: (_instrument(content, platform), _began(content, created))
        for id, platform, content, created in bind.execute(written.execution_options(yield_per=100))
    }
    origins = (
        "SELECT DISTINCT run_io.run_id, instrument_run_id FROM run_io "
        "JOIN dataset_file ON dataset_file.file_id = run_io.file_id JOIN dataset ON dataset.id = dataset_id "
        "WHERE direction = 'in'"
    )
    for run_id, instrument_run_id in bind.execute(sa.text(origins)):
        sources[run_id].add(instruments_of[instrument_run_id])
    samples: dict[str, set[tuple[str, str]]] = defaultdict(set)
    members = "SELECT run_id, name, assay FROM workflow_run_sample JOIN sample ON sample.id = sample_id"
    for run_id, name, assay in bind.execute(sa.text(members)):
        samples[run_id].add((name, assay or ""))
    ended = (
        "SELECT r.id, v.name, r.recorded_at FROM workflow_run r JOIN workflow_version v ON v.digest = workflow_digest "
        "WHERE state = 'COMPLETE' AND recorded_at IS NOT NULL"
    )
    rows = []
    for id, workflow, recorded in bind.execute(sa.text(ended)):
        names = [name for name, _assay in samples[id]]
        label = names[0] if len(names) == 1 else f"{len(names)} samples"
        instruments, times = [s[0] for s in sources[id]], [s[1] for s in sources[id]]
        assays = [assay for _name, assay in samples[id]]
        rows.append(_row("run", id, instruments, assays, workflow, label, times or (recorded,), recorded))
    return rows


def _row(
    kind: str, owner: str, instruments: Any, assays: Any, workflow: str, label: str, times: Any, recorded: str
) -> dict[str, str]:
    return {
        "owner_id": owner,
        "kind": kind,
        "instrument": " + ".join(sorted(set(instruments))),
        "assay": " + ".join(sorted({assay for assay in assays if assay})),
        "workflow": workflow,
        "label": label,
        "at": max(times),
        "recorded_at": recorded,
    }


def _instrument(content: Any, platform: str) -> str:
    told = json.loads(content) if isinstance(content, str) else content
    return str(told.get("instrument_serial") or told.get("instrument_model") or platform)


def _began(content: Any, created: str) -> str:
    told = json.loads(content) if isinstance(content, str) else content
    if not told.get("started"):
        return created
    began = datetime.fromisoformat(told["started"])
    began = began if began.tzinfo else began.replace(tzinfo=UTC)
    return began.astimezone(UTC).isoformat(timespec="microseconds")
