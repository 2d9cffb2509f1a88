"""Keeping what is searched up to date: what a transaction changed is indexed before that transaction ends.

Triggers note which things changed, whoever changed them and by whatever statement; `settle` reads those, writes their
documents, and moves the counts of their facets. So the index is never behind the records, and no writer has to know it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from labrelay.records import search_engine
from labrelay.records.search_documents import Document, documents
from labrelay.records.search_engine import Indexed
from labrelay.records.search_schema import FACETS, SearchDirtyRow, SearchDocumentRow, SearchGroupRow
from labrelay.records.search_words import body_of
from labrelay.records.upsert import insert_missing

CHUNK = 1000
MOST = 20_000  # things that one transaction indexes; what an upgrade left over is taken up by the next ones
KEY_LENGTH = 200
Facets = tuple[str, ...]
_DOCUMENTS, _DIRTY = cast(Table, SearchDocumentRow.__table__), cast(Table, SearchDirtyRow.__table__)


def settle(session: Session, most: int = MOST) -> int:
    """Index what has changed in the caller's transaction, at most so many things; return how many that were.

    Cost: one query when nothing changed; else some twenty statements per 1,000 things.
    """
    session.flush()
    done = 0
    while done < most:
        oldest = select(SearchDirtyRow.id, SearchDirtyRow.entity_id).order_by(SearchDirtyRow.id)
        dirty = session.execute(oldest.limit(min(CHUNK, most - done))).all()
        if not dirty:
            break
        _index(session, [row.entity_id for row in dirty])
        # Not all up to the last: on PostgreSQL who writes past us may commit an earlier one between two statements.
        session.execute(delete(_DIRTY).where(_DIRTY.c.id.in_([row.id for row in dirty])))
        done += len(dirty)
    return done


def _index(session: Session, ids: Sequence[str]) -> None:
    made = documents(session, ids)
    before = {row.entity_id: row for row in session.execute(_known(ids))}
    grouped = [(each, _group_of(each)) for each in made]
    groups = _groups(session, {group for _each, group in grouped})
    rows = {each.id: _row(each, groups[group]) for each, group in grouped}
    same = {key for key, row in rows.items() if key in before and _unchanged(before[key], row)}
    gone = [before[key] for key in before if key not in rows]
    old = [row for key, row in before.items() if key not in same]
    search_engine.remove(session, [Indexed(row.id, row.body) for row in old])
    if gone:
        session.execute(delete(SearchDocumentRow).where(SearchDocumentRow.id.in_([row.id for row in gone])))
    changed = [dict(row, id=before[key].id) for key, row in rows.items() if key in before and key not in same]
    if changed:
        _update(session, changed)
    new = _numbered(session, [rows[key] for key in ids if key in rows and key not in before])
    if new:
        session.execute(insert(_DOCUMENTS), new)
    placed = [*changed, *new]
    search_engine.put(session, [Indexed(row["id"], row["body"]) for row in placed])
    _count(session, [row.group_id for row in old], [(row["group_id"], row["id"]) for row in placed])


def _numbered(session: Session, new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return new rows with their ids, behind the last of their kind; there is one writer at a time."""
    following: dict[str, int] = {}
    for kind in {row["kind"] for row in new}:
        first, end = search_engine.ids_of(kind)
        known = select(func.max(SearchDocumentRow.id)).where(SearchDocumentRow.id.between(first, end))
        following[kind] = (session.scalar(known) or first) + 1
    made = []
    for row in new:
        made.append(dict(row, id=following[row["kind"]]))
        following[row["kind"]] += 1
    return made


def _known(ids: Sequence[str]) -> Any:
    columns = [getattr(SearchDocumentRow, name) for name in ("id", "entity_id", "body", "group_id", "name", "detail")]
    return select(*columns).where(SearchDocumentRow.entity_id.in_(ids)).order_by(SearchDocumentRow.id)


def _unchanged(before: Any, row: dict[str, Any]) -> bool:
    return all(getattr(before, name) == row[name] for name in ("body", "group_id", "name", "detail"))


def _row(made: Document, group_id: int) -> dict[str, Any]:
    return {
        "entity_id": made.id,
        "kind": made.kind,
        "name": made.name,
        "name_key": made.name.casefold()[:KEY_LENGTH],
        "detail": made.detail,
        "state": made.state,
        "at": made.at,
        "group_id": group_id,
        "body": body_of((made.name, *made.texts), {"kind": made.kind, **made.facets}),
    }


def _update(session: Session, changed: list[dict[str, Any]]) -> None:
    names = [name for name in changed[0] if name not in ("id", "entity_id", "kind")]
    statement = update(_DOCUMENTS).where(_DOCUMENTS.c.id == bindparam("b_id"))
    # A column's own name may not be bound to something else than its value.
    rows = [{"b_id": row["id"], **{name: row[name] for name in names}} for row in changed]
    session.execute(statement.values({name: bindparam(name) for name in names}), rows)


def _group_of(made: Document) -> Facets:
    return (made.kind, *[made.facets.get(name, "") for name in FACETS])


def _groups(session: Session, wanted: set[Facets]) -> dict[Facets, int]:
    """Return the ids of combinations of facets, made where they are new."""
    if not wanted:
        return {}
    names = ("kind", *FACETS)
    rows = [dict(zip(names, each, strict=True), count=0, newest=0) for each in sorted(wanted)]
    insert_missing(session, SearchGroupRow, rows)
    columns = [getattr(SearchGroupRow, name) for name in names]
    query = select(SearchGroupRow.id, *columns).where(tuple_(*columns).in_(sorted(wanted)))
    return {tuple(row[1:]): row[0] for row in session.execute(query)}


def _count(session: Session, old: Iterable[int], new: Iterable[tuple[int, int]]) -> None:
    """Move the counts of groups, from those of `old` to those of `new` (group, document).

    Always in the order of the groups' ids, so that two transactions never wait crosswise.
    """
    change: Counter[int] = Counter()
    newest: dict[int, int] = {}
    for group in old:
        change[group] -= 1
    for group, document in new:
        change[group] += 1
        newest[group] = max(newest.get(group, 0), document)
    for group in sorted(change):
        values: dict[Any, Any] = {SearchGroupRow.count: SearchGroupRow.count + change[group]}
        session.execute(update(SearchGroupRow).where(SearchGroupRow.id == group).values(values))
        if group in newest:
            later = (SearchGroupRow.id == group) & (SearchGroupRow.newest < newest[group])
            session.execute(update(SearchGroupRow).where(later).values(newest=newest[group]))
