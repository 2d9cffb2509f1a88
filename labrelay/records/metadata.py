"""All tables of the metadata store in one place, for what goes through all of them: migrations, copies, checks."""

from __future__ import annotations

from labrelay.records import schema, schema_notebook, schema_overrides, schema_reruns, search_schema

TABLES = schema.Base.metadata
__all__ = ["TABLES", "schema_notebook", "schema_overrides", "schema_reruns", "search_schema"]
