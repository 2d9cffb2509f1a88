"""The tables of the search index, which are made from the others and can be made anew at any time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from labrelay.records.schema import Base

FACETS = ("project", "assay", "experiment", "platform", "workflow", "state", "verdict", "stale", "role", "month")
DERIVED = frozenset({"search_group", "search_document", "search_dirty"})  # tables that are made from the others


class SearchGroupRow(Base):
    """One combination of facets, and how many things have it, so that facets are counted without reading the things."""

    __tablename__ = "search_group"
    __table_args__ = (UniqueConstraint("kind", *FACETS),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str]
    project: Mapped[str]
    assay: Mapped[str]
    experiment: Mapped[str]
    platform: Mapped[str]
    workflow: Mapped[str]
    state: Mapped[str]
    verdict: Mapped[str]
    stale: Mapped[str]
    role: Mapped[str]
    month: Mapped[str]
    count: Mapped[int]
    newest: Mapped[int] = mapped_column(BigInteger)  # at least the highest id of a document that has it


class SearchDocumentRow(Base):
    """What a search finds and shows of one thing; rewritten in the transaction that changes the thing."""

    __tablename__ = "search_document"
    __table_args__ = (
        Index("ix_search_document_kind_name_key_id", "kind", "name_key", "id"),
        Index("ix_search_document_group_id_id", "group_id", "id"),
    )
    # Those of a kind lie together, the newest last: an index that is read by id reads one kind.
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False
    )
    entity_id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    name: Mapped[str]
    name_key: Mapped[str]  # lower case, cut
    detail: Mapped[str]
    state: Mapped[str | None]
    at: Mapped[str]
    group_id: Mapped[int]
    body: Mapped[str]  # the words that are indexed


class SearchDirtyRow(Base):
    """A thing whose document is not up to date; written by triggers, empty after each transaction of ours."""

    __tablename__ = "search_dirty"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    entity_id: Mapped[str] = mapped_column(String(24), unique=True)
