"""What an eLabFTW experiment announces: samples in a table of its text whose head names a sample column. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from labrelay.model.canonical import digest
from labrelay.parsers.announcement import NAME_COLUMNS
from labrelay.records.eln.elabftw_body import CAPTIONS, Row, tables
from labrelay.records.eln.port import Announcement
from labrelay.records.eln.samples import checked, column_key, sample_from

IDENTIFIER = "Labrelay ID"  # the extra field that marks experiments that we made
PROJECT = "Project"
Entity = Mapping[str, Any]


def announcement(entity: Entity) -> Announcement:
    """Return what an experiment announces, whole."""
    samples = tuple(sample_from(fields) for fields in _sample_rows(str(entity.get("body") or "")))
    problems = tuple(checked(samples))
    told: dict[str, Any] = {
        "name": str(entity.get("title") or entity["id"]),
        "owner": entity.get("fullname") or None,
        "project": extra_field(entity, PROJECT),
        "samples": samples,
        "problems": problems,
    }
    content = [one.model_dump_json() for one in samples] + [str(problem) for problem in problems]
    version = digest([told["name"], told["owner"], told["project"], content])
    return Announcement(external_id=str(entity["id"]), version=version, **told)


def extra_fields(entity: Entity) -> dict[str, Any]:
    """Return an experiment's extra fields by name; its metadata is JSON in a text, which people edit too."""
    metadata = metadata_of(entity)
    fields = metadata.get("extra_fields")
    return fields if isinstance(fields, dict) else {}


def metadata_of(entity: Entity) -> dict[str, Any]:
    """Return an experiment's metadata; empty when there is none that can be read."""
    given = entity.get("metadata")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return {}
    return given if isinstance(given, dict) else {}


def extra_field(entity: Entity, name: str) -> str | None:
    """Return the value of an extra field as text."""
    found = extra_fields(entity).get(name)
    value = found.get("value") if isinstance(found, dict) else None
    return str(value).strip() or None if value is not None else None


def _sample_rows(body: str) -> list[dict[str, str | None]]:
    """Return the rows of the first table that names samples, by its columns; ours are none."""
    for found in tables(body):
        if found.caption in CAPTIONS.values() or not found.rows:
            continue
        head, *rows = found.rows
        if any(column_key(cell) in NAME_COLUMNS for cell in head):
            return [_by_column(head, row) for row in rows if any(row)]
    return []


def _by_column(head: Row, row: Row) -> dict[str, str | None]:
    return {column: row[place] if place < len(row) else None for place, column in enumerate(head) if column}
