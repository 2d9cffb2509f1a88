"""What was written into a notebook and heard from it, and verdicts that people set."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "verdict_override",
        sa.Column("run_id", sa.String(length=24), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("computed", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_verdict_override_run_id")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_verdict_override")),
    )
    op.create_table(
        "eln_entry",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("experiment_id", sa.String(length=24), nullable=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("heard_at", sa.Text(), nullable=False),
        sa.Column("applied", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name=op.f("fk_eln_entry_experiment_id")),
        sa.PrimaryKeyConstraint("system", "external_id", name=op.f("pk_eln_entry")),
    )
    op.create_index(op.f("ix_eln_entry_experiment_id"), "eln_entry", ["experiment_id"], unique=False)
    op.create_table(
        "eln_part",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("experiment_id", sa.String(length=24), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("wrote", sa.Text(), nullable=True),
        sa.Column("sending", sa.Text(), nullable=True),
        sa.Column("saw", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name=op.f("fk_eln_part_experiment_id")),
        sa.PrimaryKeyConstraint("system", "experiment_id", "part", name=op.f("pk_eln_part")),
    )
    op.create_table(
        "eln_cursor",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("system", name=op.f("pk_eln_cursor")),
    )
