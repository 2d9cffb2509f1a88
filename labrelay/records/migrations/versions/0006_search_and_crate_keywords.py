"""What is searched: documents, the counts of their facets, and what changed; and the words of a crate.

Everything that is there is marked as changed; `migrate.upgrade` then indexes it in portions. The index itself and the
triggers are made there too: they differ between databases, and batch mode would drop triggers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"

FACETS = ("project", "assay", "experiment", "platform", "workflow", "state", "verdict", "stale", "role", "month")
SEARCHED = ("experiment", "sample", "instrument_run", "workflow_run", "file")


def upgrade() -> None:
    """Apply the revision."""
    with op.batch_alter_table("crate", schema=None) as batch_op:
        batch_op.add_column(sa.Column("keywords", sa.Text(), nullable=True))
    op.create_table(
        "search_group",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("kind", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in FACETS),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_group")),
        sa.UniqueConstraint("kind", *FACETS, name=op.f("uq_search_group_kind")),
    )
    op.create_table(
        "search_document",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_document")),
        sa.UniqueConstraint("entity_id", name=op.f("uq_search_document_entity_id")),
    )
    op.create_index("ix_search_document_kind_name_key_id", "search_document", ["kind", "name_key", "id"])
    op.create_index("ix_search_document_group_id_id", "search_document", ["group_id", "id"])
    op.create_table(
        "search_dirty",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("entity_id", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_dirty")),
        sa.UniqueConstraint("entity_id", name=op.f("uq_search_dirty_entity_id")),
    )
    for name in SEARCHED:
        op.execute(f"INSERT INTO search_dirty (entity_id) SELECT id FROM {name} ORDER BY created_at, id")  # noqa: S608
