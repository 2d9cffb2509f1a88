"""What Prefect's pages show of a batch: one table of its runs and one report, both safe for text from outside.

A sample's name is whatever somebody typed. The pages render Markdown, tables too, so every cell is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from labrelay.flows.rows import RunRow
from labrelay.model.names import printable
from labrelay.model.qc import Verdict
from labrelay.model.states import RunState

# What Prefect's pages act on in a cell (its tables are Markdown too, with HTML, pictures and bare links). They show
# numeric character references as they stand, so a sign is made plain by a backslash, and only where it would act:
# a cell should stay readable as raw data.
ACTS = re.compile(
    r"""[\\`*\[\]<>|~@]            # code, emphasis, links, pictures, HTML, columns, mail addresses
      | (?<![^\W_])_ | _(?![^\W_]) # emphasis; an underscore inside a word is nothing
      | :(?=//) | (?<=www)\.       # bare links
      | (?<=^)[-+\#=]             # lists and headings
    """,
    re.VERBOSE | re.IGNORECASE,
)
NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
REFERENCE = re.compile(r"&(?=#?\w+;)")
LIMIT = 300
MAX_BYTES = 4_000_000  # Prefect takes 5 MiB
MARKS = {Verdict.PASS: "pass", Verdict.WARN: "**warn**", Verdict.FAIL: "**fail**", Verdict.NONE: "–"}
Table = list[dict[str, str]]


def cell(text: object) -> str:
    """Return text from outside as a Markdown (table) cell that shows exactly this text, on one line.

    Links, pictures, code, HTML and line breaks in it stay text; what is longer than 300 characters is cut.
    """
    shown = printable(" ".join(str(text).split()), LIMIT)
    plain = NUMBERED.sub(r"\1\\\2", ACTS.sub(r"\\\g<0>", shown))
    return REFERENCE.sub("&amp;", plain) or "–"


def run_table(rows: Iterable[RunRow]) -> Table:
    """Return the table of a batch; rows with trouble stand first, and what exceeds the size is counted, not sent."""
    ordered = sorted(rows, key=lambda row: (not row.failed, row.verdict is not Verdict.FAIL, row.subject))
    return fitting([_table_row(row) for row in ordered])


def fitting(table: Table) -> Table:
    """Return the table, cut to what Prefect stores; its last row then says how many are missing."""
    size, kept = 0, 0
    for row in table:
        size += len(json.dumps(row)) + 2
        if size > MAX_BYTES:
            break
        kept += 1
    if kept == len(table):
        return table
    more = dict.fromkeys(table[0], "")
    more[next(iter(more))] = f"… and {len(table) - kept:,} more: labrelay status"
    return [*table[:kept], more]


def _table_row(row: RunRow) -> dict[str, str]:
    return {
        "sample": cell(row.subject),
        "workflow": cell(row.workflow),
        "state": cell(_state(row)),
        "verdict": MARKS[row.verdict],
        "metrics": cell(", ".join(row.metrics)),
        "reason": cell(row.reason),
        "workflow run": cell(row.run_id),
    }


def _state(row: RunRow) -> str:
    if row.state is RunState.COMPLETE:
        return "complete" if row.recorded else "complete, not recorded yet"
    return row.state.value.lower().replace("_", " ")


def report(
    title: str,
    counts: Mapping[str, int],
    waits: Sequence[tuple[str, str]],
    rows: Sequence[RunRow],
    page: str | None = None,
) -> str:
    """Return the Markdown report of a batch: counts, what needs a person, and where each result lies.

    Args:
        title: The heading.
        counts: Words and numbers, such as `files stored`: 12; zeros are left out.
        waits: (what, why) of everything that needs a person.
        rows: The workflow runs.
        page: Where in the home the page of the instrument run lies.
    """
    told = [f"**{number:,}** {words}" for words, number in counts.items() if number]
    lines = [f"# {cell(title)}", "", ", ".join(told) or "Nothing was to be done.", ""]
    lines += [f"What the instrument wrote: {cell(page)}", ""] if page else []
    if waits:
        lines += ["## Needs you", "", "| what | why |", "| --- | --- |"]
        lines += [f"| {cell(what)} | {cell(why)} |" for what, why in waits[:LIMIT]]
        lines += ["", f"… and {len(waits) - LIMIT:,} more", ""] if len(waits) > LIMIT else [""]
    if rows:
        lines += ["## Workflow runs", "", "| sample | verdict | state | result |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {cell(r.subject)} | {MARKS[r.verdict]} | {cell(_state(r))} | {_result(r)} |" for r in rows[:LIMIT]
        ]
        lines += ["", f"… and {len(rows) - LIMIT:,} more", ""] if len(rows) > LIMIT else [""]
    return "\n".join(lines)


def _result(row: RunRow) -> str:
    where = f"results/{row.result_path}" if row.state is RunState.COMPLETE else f"labrelay runs show {row.run_id}"
    return cell(where)


def artifact_key(*parts: str) -> str:
    """Return an artifact's key: lower-case letters, digits and dashes; the same batch has the same key."""
    text = "-".join(parts).lower()
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text).split())


def publish(key: str, table: Table, markdown: str, description: str) -> None:
    """Write a batch's report and, when it has rows, its table. Cost: two requests."""
    create_markdown_artifact(markdown, key=f"{key}-report", description=description)
    if table:
        create_table_artifact([dict(row) for row in table], key=key, description=description)
