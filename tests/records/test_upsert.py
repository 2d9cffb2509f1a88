"""What is there stays, what is missing is added, and the count says how many that were."""

import pytest
from sqlalchemy import select

from labrelay.records.database import Database
from labrelay.records.schema import LinkRow
from labrelay.records.upsert import CHUNK, insert_missing


@pytest.mark.parametrize("count", [0, 1, 2, CHUNK + 3])
def test_only_the_missing_rows_are_added_and_counted(db: Database, count: int) -> None:
    rows = [{"entity_id": f"e{n}", "system": "eln", "external_id": "new", "url": None, "at": "t"} for n in range(count)]
    with db.write() as session:
        session.add(LinkRow(entity_id="e0", system="eln", external_id="old", at="t"))  # not flushed by hand
        assert insert_missing(session, LinkRow, rows) == max(0, count - 1)
        assert insert_missing(session, LinkRow, rows) == 0
    with db.read() as session:
        found = {row.entity_id: row.external_id for row in session.scalars(select(LinkRow))}
    assert found.pop("e0") == "old"
    assert set(found.values()) <= {"new"}
    assert len(found) == max(0, count - 1)
