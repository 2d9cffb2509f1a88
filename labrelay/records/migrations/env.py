"""Alembic's entry: it runs on the connection that `labrelay.records.migrate` hands over, in its transaction."""

from alembic import context

from labrelay.records import schema_notebook  # noqa: F401 (its tables are in the same metadata)
from labrelay.records.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
