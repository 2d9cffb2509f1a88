"""What has been read of one folder so far: its listing, its small files on demand, and all that is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from labrelay.model.problem import Problem
from labrelay.parsers.listing import SMALL, Entry, Listing, read_small
from labrelay.parsers.text import warning


@dataclass
class Reading:
    """A folder at work: what cannot be read becomes a problem and then is as if it were not there."""

    listing: Listing
    problems: list[Problem] = field(default_factory=list)

    def data(self, entry: Entry | None, cap: int = SMALL, *, needed: bool = True) -> bytes | None:
        """Return the bytes of a small file; None when there is none, or when it cannot be read, which is told.

        Args:
            entry: The file.
            cap: Most bytes that are taken.
            needed: False for one without which the folder can be taken: what is wrong with it is a warning.
        """
        if entry is None:
            return None
        found = read_small(self.listing.root, entry.path, cap)
        if isinstance(found, Problem):
            self.problems.append(found if needed else warning(found.code, found.message, found.path))
            return None
        return found
