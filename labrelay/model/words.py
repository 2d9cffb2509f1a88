"""Numbers with their nouns, and lists that are cut, as people read them: `1 workflow run`, `a, b and 1,200 more`."""

from __future__ import annotations

from collections.abc import Sequence

from labrelay.model.names import printable


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Return a number with its noun: `no` is never said, `0 files` is.

    Args:
        number: How many; thousands are separated.
        noun: Of one: `workflow run`.
        several: Of all other numbers; the noun with an `s` when not given.
    """
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first of many names, fit to be shown, and how many there are beside them: `a, b and 3 more`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return printable(", ".join(names[:most]), 200) + more
