"""Links: what a thing here is called in a system outside."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.records.database import now
from labrelay.records.schema import LinkRow


def known(session: Session, system: str, entity_ids: Sequence[str]) -> dict[str, str]:
    """Return what these things are called over there, by their ids here; those without a link are left out."""
    query = select(LinkRow.entity_id, LinkRow.external_id).where(LinkRow.system == system)
    return {row[0]: row[1] for row in session.execute(query.where(LinkRow.entity_id.in_(entity_ids)))}


def keep(session: Session, system: str, entity_id: str, external_id: str, url: str | None = None) -> None:
    """Write what a thing is called over there; an earlier name is replaced."""
    row = session.get(LinkRow, (entity_id, system))
    if row is None:
        session.add(LinkRow(entity_id=entity_id, system=system, external_id=external_id, url=url, at=now()))
    elif row.external_id != external_id:
        row.external_id, row.url, row.at = external_id, url, now()
