"""The front door: tokens of machines, what came of a message, and pages of runs by their time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_token")),
        sa.UniqueConstraint("name", name=op.f("uq_access_token_name")),
    )
    # Plain statements: batch mode would make the tables anew.
    op.add_column("inbox", sa.Column("outcome", sa.Text(), nullable=True))
    op.create_index("ix_inbox_waiting", "inbox", ["done_at", "id"])
    op.create_index("ix_workflow_run_created", "workflow_run", ["created_at", "id"])
