"""The times that the files of one run tell, in order, though some have a zone and some have none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime


def in_order(told: Iterable[tuple[datetime | None, str | None]]) -> list[tuple[datetime, str | None]]:
    """Return the times that are known with the text that they were read from, the earliest first.

    A time without a zone is put where it would stand in UTC, because Python refuses to compare it with one that has.
    """
    known = [(when, text) for when, text in told if when is not None]
    return sorted(known, key=lambda pair: pair[0] if pair[0].tzinfo else pair[0].replace(tzinfo=UTC))
