"""Our parts in the text of an eLabFTW experiment: one table each, known by its caption. Pure.

eLabFTW cleans what it is given (ids, classes and comments go), and its editor writes the markup anew whenever somebody
saves. So a part is found by the words of its caption, and its digest is that of its cells' words and links, not of its
markup. All text outside these tables belongs to people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote

from markupsafe import Markup, escape

from labrelay.model.canonical import digest
from labrelay.records.eln.port import LINKS, RESULTS, STATUS, LinksPart, ResultsPart, StatusPart

CAPTIONS = {STATUS: "Labrelay: status", RESULTS: "Labrelay: results", LINKS: "Labrelay: links"}
MOST_ROWS = 5000  # a text may have about 4 MB; the whole table goes along as a file
Row = tuple[str, ...]


@dataclass
class FoundTable:
    """A table in a text: where it begins and ends, and what its caption and cells say; a link follows its words."""

    start: int
    end: int = 0
    caption: str = ""
    rows: list[Row] = field(default_factory=list)


def tables(body: str) -> list[FoundTable]:
    """Return the outermost tables of a text, in order; one that never ends is none."""
    reader = _Reader(body)
    reader.feed(body)
    reader.close()
    return [found for found in reader.found if found.end]


def part_digest(body: str, part: str) -> str | None:
    """Return the digest of a part as it stands in a text, of all its copies; None when it is not there."""
    rows = [found.rows for found in tables(body) if found.caption == CAPTIONS[part]]
    return _digest(rows) if rows else None


def part_text(body: str, part: str) -> str:
    """Return a part as it stands in a text, as plain lines."""
    rows = [row for found in tables(body) if found.caption == CAPTIONS[part] for row in found.rows]
    return "\n".join(" | ".join(row) for row in rows)


def digest_of(part: StatusPart | ResultsPart | LinksPart) -> str:
    """Return the digest that `part_digest` finds while nobody changes the part."""
    return _digest([_rows(part)])


def with_part(body: str, part: StatusPart | ResultsPart | LinksPart) -> str:
    """Return a text with the part in its place; at the end if it has none yet. Copies of it go."""
    made = _html(part)
    there = [found for found in tables(body) if found.caption == CAPTIONS[part.name]]
    if not there:
        return f"{body.rstrip()}\n\n{made}\n".lstrip("\n")
    for copy in reversed(there[1:]):
        body = body[: copy.start] + body[copy.end :]
    return body[: there[0].start] + made + body[there[0].end :]


def _rows(part: StatusPart | ResultsPart | LinksPart) -> list[Row]:
    """Return a part's table as `_Reader` would read it, its head first."""
    if isinstance(part, StatusPart):
        lines = [(line.subject, line.state, line.text, line.at or "") for line in part.lines]
        return _flat([("About", "State", "Why", "Since"), *lines])
    if isinstance(part, LinksPart):
        return _flat([("Link",), *((f"{link.title} {unquote(link.url)}",) for link in part.links)])
    head = ("Sample", "Metric", "Value", "Unit", "Verdict", "Workflow", "Result", "Note")
    judged: list[Sequence[str]] = []
    for each in part.judgements:
        note = f"{each.computed.value} by the thresholds; {each.by or 'a person'}: {each.reason}" if each.reason else ""
        judged.append((each.sample, "Verdict", "", "", each.verdict.word, each.workflow, each.run, note))
    for row in part.rows:
        value = "" if row.value is None else f"{row.value:.12g}"
        judged.append((row.sample, row.label, value, row.unit, row.verdict.word, row.workflow, row.run, ""))
    more = judged[MOST_ROWS:]
    rest = (
        [(f"{len(more)} more rows in the attached table, {digest([list(row) for row in more])[:12]}",)] if more else []
    )
    return _flat([head, *judged[:MOST_ROWS], *rest])


def _html(part: StatusPart | ResultsPart | LinksPart) -> str:
    """Return a part's table; without blank lines, so that it is one block in a text of Markdown as well."""
    head, *rows = _rows(part)
    lines = [_tr("th", map(escape, head))]
    if isinstance(part, LinksPart):
        anchor = Markup('<a href="{}">{}</a>')
        lines += [_tr("td", [anchor.format(link.url, " ".join(link.title.split()))]) for link in part.links]
    else:
        lines += [_tr("td", map(escape, row)) for row in rows]
    caption = Markup("<caption>{}</caption>").format(CAPTIONS[part.name])
    return f'<table border="1">\n{caption}\n' + "\n".join(lines) + "\n</table>"


def _tr(tag: str, cells: Iterable[Markup]) -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _flat(rows: Iterable[Sequence[str]]) -> list[Row]:
    return [tuple(" ".join(cell.split()) for cell in row) for row in rows]


def _digest(copies: Sequence[Sequence[Row]]) -> str:
    return digest([[list(row) for row in rows] for rows in copies])


class _Reader(HTMLParser):
    """Reads tables with their places; a table inside a cell is text of that cell."""

    def __init__(self, body: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[FoundTable] = []
        self._body, self._depth = body, 0
        self._lines = [0]
        for place, sign in enumerate(body):
            if sign == "\n":
                self._lines.append(place + 1)
        self._words: list[str] | None = None  # of the cell or caption that is open
        self._row: list[str] | None = None
        self._href: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
            if self._depth == 1:
                self.found.append(FoundTable(self._place()))
        elif self._depth == 1 and tag == "tr":
            self._end_row()
            self._row = []
        elif self._depth == 1 and tag in ("td", "th", "caption"):
            self._end_cell()
            self._words = []
        elif tag == "a":
            self._href = dict(attrs).get("href")
        elif tag in ("br", "p", "div", "li") and self._words is not None:
            self._words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._depth:
            self._depth -= 1
            if self._depth == 0:
                self._end_row()
                self.found[-1].end = self._body.index(">", self._place()) + 1
        elif self._depth == 1 and tag == "tr":
            self._end_row()
        elif self._depth == 1 and tag == "caption" and self._words is not None:
            self.found[-1].caption = self._said()
            self._words = None
        elif self._depth == 1 and tag in ("td", "th"):
            self._end_cell()
        elif tag == "a" and self._href is not None:
            if self._words is not None:
                self._words.append(f" {unquote(self._href)} ")
            self._href = None

    def handle_data(self, data: str) -> None:
        if self._words is not None:
            self._words.append(data)

    def _place(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def _said(self) -> str:
        return " ".join("".join(self._words or []).split())

    def _end_cell(self) -> None:
        if self._words is not None and self._row is not None:
            self._row.append(self._said())
        self._words = None

    def _end_row(self) -> None:
        self._end_cell()
        if self._row:
            self.found[-1].rows.append(tuple(self._row))
        self._row = None
