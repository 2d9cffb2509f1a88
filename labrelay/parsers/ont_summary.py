"""`final_summary_*.txt`: what MinKNOW says of a run when it has written all of its files, as `key=value` lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.text import decode, lines, to_datetime, to_int, warning

_MOST_LINES = 500
# MinKNOW's words for a field that was left empty.
_NOTHING = ("", "no_sample", "no_group", "-")
KINDS = ("fastq", "bam", "fast5", "pod5")


@dataclass(frozen=True)
class FinalSummary:
    """The fields of one final_summary file, by key; a key that stands twice has its last value.

    Attributes:
        path: Of the file.
        fields: As text.
    """

    path: str
    fields: dict[str, str]

    def text(self, key: str) -> str | None:
        """Return a field, or None when it is not there, empty, or MinKNOW's word for empty."""
        value = self.fields.get(key, "")
        return None if value in _NOTHING else value

    def time(self, key: str) -> datetime | None:
        """Return a time, zone-aware when the field has a zone."""
        value = self.text(key)
        return to_datetime(value) if value else None

    @property
    def kit(self) -> str | None:
        """The library kit: the third part of `script:flow cell:kit`."""
        parts = (self.text("protocol") or "").split(":")
        return parts[2] or None if len(parts) > 2 else None

    @property
    def flow_cell_type(self) -> str | None:
        """The flow cell's product code: the second part of `script:flow cell:kit`."""
        parts = (self.text("protocol") or "").split(":")
        return parts[1] or None if len(parts) > 1 else None

    def written(self, kind: str) -> int | None:
        """Return how many files of a kind (`fastq`, `bam`, `fast5`, `pod5`) were written in all; None when not told."""
        return to_int(self.fields.get(f"{kind}_files_in_final_dest"))

    def elsewhere(self) -> Iterator[tuple[str, int]]:
        """Give kind and number of files that were written to the fallback place, as the disk was full or away."""
        for kind in KINDS:
            count = to_int(self.fields.get(f"{kind}_files_in_fallback"))
            if count:
                yield kind, count


def parse_final_summary(data: bytes, path: str) -> tuple[FinalSummary, list[Problem]]:
    """Return the fields of a final_summary file and what is odd about it.

    Comments (`#`) and empty lines are passed over; of a key that stands twice the last line counts (`REPEATED_KEY`),
    because MinKNOW appends.

    Args:
        data: The whole file.
        path: For messages.
    """
    text, found = decode(data, path)
    problems = list(found)
    fields: dict[str, str] = {}
    for number, line in enumerate(lines(text)[:_MOST_LINES], 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, sign, value = (part.strip() for part in line.partition("="))
        if not sign or not key:
            what = f"{printable(line, 60)!r} is no `key=value` line and was left out"
            problems.append(warning("BAD_LINE", what, path, number))
            continue
        if key in fields and fields[key] != value:
            what = f"{printable(key, 60)} was {printable(fields[key], 60)} above and is {printable(value, 60)} here"
            problems.append(warning("REPEATED_KEY", f"{what}; the last one is used", path, number))
        fields[key] = value
    if not fields:
        problems.append(warning("EMPTY_SUMMARY", "it says nothing, so the end of the run is not known from it", path))
    return FinalSummary(path, fields), problems
