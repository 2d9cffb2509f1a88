"""What came in last is found by an index: a run's row is long, and reading all of them costs more with each run."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply the revision."""
    op.create_index("ix_instrument_run_stored_at", "instrument_run", ["stored_at", "id"])
