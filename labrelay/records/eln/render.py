"""The parts of an entry as Markdown (CommonMark with tables), for notebooks whose entries are text.

Names come from outside: whatever Markdown or HTML would read as markup is escaped, and a cell is one line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from labrelay.model.names import printable
from labrelay.model.qc import Verdict
from labrelay.records.documents import number_text, unit_sign
from labrelay.records.eln.port import Judgement, LinksPart, ResultsPart, StatusPart
from labrelay.records.eln.sections import MORE_NUMBERS

LONGEST_CELL = 400
ROWS_SHOWN = 300  # numbers in a table; the whole table goes along as a file
MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~^$=:-])")
MARKS = {Verdict.PASS: "✔ pass", Verdict.WARN: "⚠ warn", Verdict.FAIL: "✘ fail", Verdict.NONE: "–"}


def markdown(part: StatusPart | ResultsPart | LinksPart) -> str:
    """Return a part as Markdown without a heading."""
    if isinstance(part, StatusPart):
        rows = [(line.subject, line.state, line.text, _minute(line.at)) for line in part.lines]
        return table(("What", "State", "", "UTC"), rows)
    if isinstance(part, LinksPart):
        return "\n".join(f"- [{escaped(link.title)}](<{_address(link.url)}>)" for link in part.links)
    return _results(part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; every cell is escaped."""
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    flat = printable(" ".join(text.split()), LONGEST_CELL)
    return MARKUP.sub(r"\\\1", flat).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def verdict_text(judgement: Judgement) -> str:
    """Return a verdict for people; one that a person set says so, with what was computed."""
    if judgement.verdict is judgement.computed and judgement.reason is None:
        return MARKS[judgement.verdict]
    who = f" by {judgement.by}" if judgement.by else ""
    return f"{MARKS[judgement.verdict]} (set{who}: {judgement.reason}; computed: {judgement.computed.value})"


def _results(part: ResultsPart) -> str:
    judged = [(j.sample, j.workflow, verdict_text(j), j.run) for j in part.judgements]
    numbers = [
        (r.sample, r.label, _number(r.value), unit_sign(r.unit), MARKS[r.verdict], r.run)
        for r in part.rows[:ROWS_SHOWN]
    ]
    texts = [table(("Sample", "Workflow", "Verdict", "Result"), judged)]
    if numbers:
        texts.append(table(("Sample", "Metric", "Value", "Unit", "Verdict", "Result"), numbers))
    if len(part.rows) > ROWS_SHOWN:
        texts.append(f"{len(part.rows) - ROWS_SHOWN} {MORE_NUMBERS}")
    return "\n\n".join(texts)


def _number(value: float | None) -> str:
    return "–" if value is None else number_text(value)


def _minute(at: str | None) -> str:
    return at[:16].replace("T", " ") if at else ""


def _address(url: str) -> str:
    """Return a URL that cannot end the angle brackets around it."""
    return "".join(f"%{ord(c):02X}" if c in "<>\\\n\r " else c for c in url)
