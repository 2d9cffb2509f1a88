"""The tables about notebooks and people: what was heard from and written into entries, and verdicts that people set."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from labrelay.records.schema import Base, Json


class ElnEntryRow(Base):
    """What a notebook announced in one of its entries, the newest version, and whether it was taken over."""

    __tablename__ = "eln_entry"
    system: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    experiment_id: Mapped[str | None] = mapped_column(ForeignKey("experiment.id"), index=True)
    version: Mapped[str]
    content: Mapped[Json]  # the announcement as it was heard
    heard_at: Mapped[str]
    applied: Mapped[str | None]  # the version that was taken over
    problem: Mapped[str | None]  # why it was not, one sentence


class ElnPartRow(Base):
    """A part of an experiment's entry in a notebook: what we wrote, what was there, and whose it is.

    States: `ok`, `conflict` (a person changed it), `theirs` (left to people). The part `entry` is the entry itself,
    with the states `ok`, `locked`, `deleted`, `theirs`; its `wrote` is the identifier that it was made with.
    """

    __tablename__ = "eln_part"
    system: Mapped[str] = mapped_column(primary_key=True)
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiment.id"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    wrote: Mapped[str | None]  # digest of what we wrote and read back
    sending: Mapped[str | None]  # digest of what is being written: a killed process may have written it
    saw: Mapped[str | None]  # digest of what was there when we looked last
    text: Mapped[str | None]  # for people: the beginning of what a person wrote, or why the entry is closed
    at: Mapped[str]


class ElnCursorRow(Base):
    """How far a notebook was heard."""

    __tablename__ = "eln_cursor"
    system: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str]
    at: Mapped[str]
