"""What each task ran, on what and into what: its command, inputs, outputs, last words and machine."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TEXTS = ("instance_type", "command", "stderr_tail")
VALUES = ("inputs", "outputs")


def upgrade() -> None:
    """Apply the revision."""
    # Plain ALTER TABLE, since a batch would copy the table: all columns may be empty.
    for name in TEXTS:
        op.add_column("task", sa.Column(name, sa.Text(), nullable=True))
    for name in VALUES:
        op.add_column("task", sa.Column(name, sa.JSON(), nullable=True))
