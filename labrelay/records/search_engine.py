"""The one switch between the full-text indexes: FTS5 on SQLite, a `tsvector` column with a GIN index on Postgres.

Both get words that were cut by `search_words`, each where it stands, so that neighbouring words can be asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, column, select, table, text
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from labrelay.records.search_schema import SearchDocumentRow
from labrelay.records.search_words import is_facet

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

# Of these tables a change marks the thing as dirty: (table, columns whose change counts; none means all).
WATCHED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("experiment", ()),
    ("sample", ()),
    ("instrument_run", ("state", "folder", "flow_cell")),
    ("workflow_run", ("state", "verdict", "stale", "replaced_by", "recorded_at", "failure", "result_path")),
    ("file", ("role",)),
)
# What stands in the documents of other things as well: (table, columns, queries of those things' ids).
SHARED: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "experiment",
        ("name", "project"),
        (
            "SELECT id FROM sample WHERE experiment_id = NEW.id",
            "SELECT id FROM workflow_run WHERE experiment_id = NEW.id",
        ),
    ),
    (
        "sample",
        ("name", "assay", "project"),
        ("SELECT run_id FROM workflow_run_sample WHERE sample_id = NEW.id",),
    ),
)
KINDS = ("experiment", "sample", "instrument run", "workflow run", "file")
BEGINNINGS = 4  # beginnings of words up to so many letters are in the index themselves
OWN_NAMES = ("vector", "ix_search_document_vector")  # what PostgreSQL has beside the tables of the schema
_FTS = table("search_fts", column("rowid"), column("search_fts"))


def ids_of(kind: str) -> tuple[int, int]:
    """Return the first and the last id that documents of a kind may have."""
    place = KINDS.index(kind) + 1
    return place << 40, (place + 1 << 40) - 1


def kind_of(id: int) -> str:
    """Return the kind of a document by its id."""
    return KINDS[(id >> 40) - 1]


class Phrase(NamedTuple):
    """Words that stand one after the other; of the last one `open` asks for the beginning only."""

    words: tuple[str, ...]
    open: bool


class Indexed(NamedTuple):
    """What the index holds of a document."""

    id: int
    body: str


def create(connection: Connection) -> None:
    """Make the index and the triggers that mark what has changed, where they are missing."""
    make = _create_sqlite if connection.dialect.name == "sqlite" else _create_postgres
    for statement in make():
        connection.execute(text(statement))


def found(
    session: Session, kinds: Sequence[str], facets: Sequence[str], phrases: Sequence[Phrase], limit: int
) -> list[tuple[int, int]]:
    """Return (document, group) of what is of these kinds and has all facets and all phrases, by falling id.

    Args:
        session: Where.
        kinds: Neighbours among `KINDS`, in their order; the newest of a kind come first, the last kind before others.
        facets: Words that stand for facets.
        phrases: At least one.
        limit: At most so many; the indexes are read no further.
    """
    first, last = ids_of(kinds[0])[0], ids_of(kinds[-1])[1]
    if _on_sqlite(session):
        asked = " AND ".join([*facets, *(_fts_phrase(phrase) for phrase in phrases)])
        query = select(SearchDocumentRow.id, SearchDocumentRow.group_id)
        query = query.select_from(_FTS).join(SearchDocumentRow, SearchDocumentRow.id == _FTS.c.rowid)
        # By the index's own order, so that it stops at the limit instead of collecting all first.
        query = query.where(_FTS.c.search_fts.op("MATCH")(asked), _FTS.c.rowid.between(first, last))
        query = query.order_by(_FTS.c.rowid.desc())
    else:
        asked = " & ".join([*facets, *(_ts_phrase(phrase) for phrase in phrases)])
        query = select(SearchDocumentRow.id, SearchDocumentRow.group_id)
        query = query.where(SearchDocumentRow.id.between(first, last))
        # A cast takes the words as they are; `to_tsquery` would cut them once more, in its own way.
        vector, words = _postgres_types()
        matched = column("vector", vector).bool_op("@@")(sql_cast(asked, words))
        query = query.where(matched).order_by(SearchDocumentRow.id.desc())
    return [(row[0], row[1]) for row in session.execute(query.limit(limit))]


def remove(session: Session, old: Sequence[Indexed]) -> None:
    """Take documents out of the index, before their rows change."""
    if old and _on_sqlite(session):
        statement = text("INSERT INTO search_fts (search_fts, rowid, body) VALUES ('delete', :id, :body)")
        session.execute(statement, [each._asdict() for each in old])


def put(session: Session, new: Sequence[Indexed]) -> None:
    """Index documents whose rows are written."""
    if not new:
        return
    if _on_sqlite(session):
        statement = text("INSERT INTO search_fts (rowid, body) VALUES (:id, :body)")
        session.execute(statement, [each._asdict() for each in new])
        return
    statement = text("UPDATE search_document SET vector = CAST(:vector AS tsvector) WHERE id = :id")
    session.execute(statement, [{"id": each.id, "vector": _vector(each.body)} for each in new])


def _postgres_types() -> tuple[type[TSVECTOR], type[TSQUERY]]:
    from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR  # a tenth of what a command on SQLite imports

    return TSVECTOR, TSQUERY


def _on_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _fts_phrase(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"{" *" if phrase.open else ""}'


def _ts_phrase(phrase: Phrase) -> str:
    *before, last = phrase.words
    short = f"'~{last}'" if len(last) <= BEGINNINGS else f"'{last}':*"
    quoted = [*(f"'{word}'" for word in before), short if phrase.open else f"'{last}'"]
    return f"({' <-> '.join(quoted)})"


def _vector(body: str) -> str:
    """Return the words with their places, and their beginnings at the same ones, as FTS5 keeps them by itself.

    A short beginning is then one entry of the index, of which the planner knows how frequent it is.
    """
    entries = []
    for place, word in enumerate(body.split(" "), 1):
        begins = () if is_facet(word) else range(1, min(BEGINNINGS, len(word)) + 1)
        entries += [f"'{word}':{place}", *(f"'~{word[:length]}':{place}" for length in begins)] if word else []
    return " ".join(entries)


def _create_sqlite() -> Iterator[str]:
    yield (
        "CREATE VIRTUAL TABLE IF NOT EXISTS search_fts USING fts5("
        "body, content='search_document', content_rowid='id', tokenize='unicode61 remove_diacritics 0', "
        f"prefix='{' '.join(str(length) for length in range(1, BEGINNINGS + 1))}')"
    )
    mark = "INSERT OR IGNORE INTO search_dirty (entity_id) VALUES ({row}.id);"
    for name, columns in WATCHED:
        of = f" OF {', '.join(columns)}" if columns else ""
        for verb, event, row in (
            ("insert", "INSERT", "NEW"),
            ("update", f"UPDATE{of}", "NEW"),
            ("delete", "DELETE", "OLD"),
        ):
            trigger = f"CREATE TRIGGER IF NOT EXISTS search_{name}_{verb} AFTER {event} ON {name}"
            yield f"{trigger} BEGIN {mark.format(row=row)} END"
    for name, columns, others in SHARED:
        changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
        marks = " ".join(f"INSERT OR IGNORE INTO search_dirty (entity_id) {query};" for query in others)
        yield (
            f"CREATE TRIGGER IF NOT EXISTS search_{name}_shared AFTER UPDATE OF {', '.join(columns)} ON {name} "
            f"WHEN {changed} BEGIN {marks} END"
        )


def _create_postgres() -> Iterator[str]:
    yield "ALTER TABLE search_document ADD COLUMN IF NOT EXISTS vector tsvector"
    yield "CREATE INDEX IF NOT EXISTS ix_search_document_vector ON search_document USING gin (vector)"
    yield (
        "CREATE OR REPLACE FUNCTION labrelay_search_mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'DELETE' THEN INSERT INTO search_dirty (entity_id) VALUES (OLD.id) ON CONFLICT DO NOTHING; "
        "ELSE INSERT INTO search_dirty (entity_id) VALUES (NEW.id) ON CONFLICT DO NOTHING; END IF; "
        "RETURN NULL; END $$"
    )
    for name, columns in WATCHED:
        of = f" OF {', '.join(columns)}" if columns else ""
        yield f"DROP TRIGGER IF EXISTS search_{name} ON {name}"
        yield (
            f"CREATE TRIGGER search_{name} AFTER INSERT OR UPDATE{of} OR DELETE ON {name} "
            "FOR EACH ROW EXECUTE FUNCTION labrelay_search_mark()"
        )
    for name, columns, others in SHARED:
        changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
        marks = " ".join(f"INSERT INTO search_dirty (entity_id) {query} ON CONFLICT DO NOTHING;" for query in others)
        yield (
            f"CREATE OR REPLACE FUNCTION labrelay_search_mark_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {marks} RETURN NULL; END $$"
        )
        yield f"DROP TRIGGER IF EXISTS search_{name}_shared ON {name}"
        yield (
            f"CREATE TRIGGER search_{name}_shared AFTER UPDATE OF {', '.join(columns)} ON {name} "
            f"FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION labrelay_search_mark_{name}()"
        )
