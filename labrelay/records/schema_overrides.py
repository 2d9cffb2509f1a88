"""The table of verdicts that people set on results."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from labrelay.records.schema import Base


class OverrideRow(Base):
    """A verdict that a person set on a result, numbered from 1; the newest counts, `computed` is what was judged."""

    __tablename__ = "verdict_override"
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    verdict: Mapped[str]
    computed: Mapped[str]
    reason: Mapped[str]
    at: Mapped[str]
    by: Mapped[str]
