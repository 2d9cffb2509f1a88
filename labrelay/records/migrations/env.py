"""Alembic's entry: it runs on the connection that `labrelay.records.migrate` hands over, in its transaction."""

from alembic import context

from labrelay.records.metadata import TABLES

context.configure(connection=context.config.attributes["connection"], target_metadata=TABLES, render_as_batch=True)
context.run_migrations()
