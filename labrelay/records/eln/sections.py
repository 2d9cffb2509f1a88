"""Our sections in a text that people write as well: found by their headings, replaced in place, the rest untouched.

A section begins with its heading and ends with its closing line. Where a person took the closing line away, it ends
behind the lines that look like ours, so that nothing of theirs is ever taken for ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from labrelay.records.eln.port import LINKS, RESULTS, STATUS

HEADINGS: Mapping[str, str] = {STATUS: "Status", RESULTS: "Results", LINKS: "Links"}
OTHER_HEADING = re.compile(r"#{1,2}\s")
MORE_NUMBERS = "more numbers stand in the attached table."
# What `render` and `cut` write: rows of tables, links, and how much was left out.
OUR_LINE = re.compile(
    rf"\s*$|\|.*\|\s*$|- \[.*\]\(<[^<>]*>\)\s*$|\d+ {re.escape(MORE_NUMBERS)}$|… and \d+ more lines\.$"
)


def opening(part: str) -> str:
    """Return the line that a part's section begins with."""
    return f"## Labrelay: {HEADINGS[part].lower()}"


def closing(part: str) -> str:
    """Return the line that a part's section ends with."""
    return f"*Labrelay: end of {HEADINGS[part].lower()}; what you write outside stays yours.*"


def body_of(text: str, part: str) -> str | None:
    """Return what stands in a part's section, or None when there is no such section."""
    lines = _lines(text)
    found = _span(lines, part)
    if found is None:
        return None
    start, end = found
    inside = lines[start + 1 : end]
    if inside and inside[-1].strip() == closing(part):
        inside = inside[:-1]
    return "\n".join(inside).strip()


def with_section(text: str, part: str, body: str) -> str:
    """Return the text with the part's section holding `body`: in place, else after our others, else at the end."""
    lines = _lines(text)
    made = [opening(part), "", *body.splitlines(), "", closing(part)]
    found = _span(lines, part)
    if found is not None:
        start, end = found
        after = lines[end:]
        return _joined(lines[:start], made, after)
    place = _place(lines, part)
    return _joined(lines[:place], made, lines[place:])


def digest(text: str) -> str:
    """Return the digest of a section's body; ends of lines and blank lines around it make no difference."""
    flat = "\n".join(line.rstrip() for line in _lines(text.strip()))
    return hashlib.sha256(flat.encode()).hexdigest()


def cut(text: str, limit: int) -> str:
    """Return the text with whole lines taken off its end until it fits, and a line that says so."""
    if len(text) <= limit:
        return text
    lines = text.splitlines()
    kept, size = 0, 40
    while kept < len(lines) and size + len(lines[kept]) + 1 <= limit:
        size += len(lines[kept]) + 1
        kept += 1
    return "\n".join([*lines[:kept], "", f"… and {len(lines) - kept} more lines."])


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _span(lines: list[str], part: str) -> tuple[int, int] | None:
    """Return the first line of a part's section and the one behind it."""
    start = next((i for i, line in enumerate(lines) if line.strip() == opening(part)), None)
    if start is None:
        return None
    end = next((i for i in range(start + 1, len(lines)) if OTHER_HEADING.match(lines[i])), len(lines))
    for place in range(start + 1, end):
        if lines[place].strip() == closing(part):
            return start, place + 1
    return start, next((i for i in range(start + 1, end) if not OUR_LINE.match(lines[i])), end)


def _place(lines: list[str], part: str) -> int:
    """Return where a new section goes: behind those of ours that come before it, or before those that come after."""
    order = list(HEADINGS)
    spans = {name: span for name in order if (span := _span(lines, name)) is not None}
    before = [spans[name][1] for name in order[: order.index(part)] if name in spans]
    after = [spans[name][0] for name in order[order.index(part) + 1 :] if name in spans]
    if before:
        return max(before)
    return min(after) if after else len(lines)


def _joined(before: list[str], made: list[str], after: list[str]) -> str:
    texts = ("\n".join(before).rstrip(), "\n".join(made), "\n".join(after).strip("\n"))
    return "\n\n".join(text for text in texts if text.strip())
