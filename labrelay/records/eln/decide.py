"""What is to be done with one part of an entry: a three-way comparison of digests, without any IO.

What we want it to be, what we wrote last, and what is there now. A part that is as we wrote it may be written again;
one that a person changed is never overwritten; one that is missing is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What follows from the comparison."""

    NOTHING = "nothing"  # the notebook has no place for it, or it was left to people
    NOTE = "note"  # it is there as it should be: the records have to know that, no more
    WRITE = "write"
    CONFLICT = "conflict"  # a person changed it: shown, and settled by a person


@dataclass(frozen=True)
class Written:
    """What the records say of a part: the digest that we wrote last, and the one that a killed process may have."""

    wrote: str | None = None
    sending: str | None = None
    theirs: bool = False

    def is_ours(self, digest: str) -> bool:
        """Tell whether what is there was written by us."""
        return digest in (self.wrote, self.sending)


def decide(wanted: str | None, written: Written, there: str | None) -> Action:
    """Return what is to be done with a part.

    Args:
        wanted: The digest that it shall have; None when the notebook has no place for it.
        written: What the records say of it.
        there: The digest that it has now; None when it is not there.
    """
    if wanted is None or written.theirs:
        return Action.NOTHING
    if there == wanted:
        return Action.NOTE
    return Action.WRITE if there is None or written.is_ours(there) else Action.CONFLICT
