"""Numbers with their nouns, as people read them: `1 workflow run`, `1,200 files`."""

from __future__ import annotations


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Return a number with its noun: `no` is never said, `0 files` is.

    Args:
        number: How many; thousands are separated.
        noun: Of one: `workflow run`.
        several: Of all other numbers; the noun with an `s` when not given.
    """
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"
