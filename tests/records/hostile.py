"""Names that a sample sheet could hold and that no document may run, and what the documents' readers see."""

from __future__ import annotations

import csv
import io
import zipfile
from html.parser import HTMLParser
from xml.etree import ElementTree

NAMES = (
    '<script>alert(1)</script>"',
    "=cmd()|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "-2+3",
    "\tTAB",
    "\u202egnp.exe",
    "line\none",
    "../../etc/passwd",
    "Größe µ 試料 🧬",
    "{{ 7 * 7 }}{% raw %}",
    "a|b`c`[d](http://evil.example/x.png)",
    '"><img src=http://evil.example/x.png onerror=alert(1)>',
    "&lt;b&gt; ]]> -->",
)
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read_csv(content: bytes) -> list[list[str]]:
    """Return the rows as a program reads them."""
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def read_xlsx(content: bytes) -> list[list[str | float | None]]:
    """Return the first sheet's cells; a formula would be an error, there is none to be had."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        shared = [
            "".join(t.text or "" for t in item.iter(f"{MAIN}t"))
            for item in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        ]
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    assert not list(sheet.iter(f"{MAIN}f"))
    assert not list(sheet.iter(f"{MAIN}hyperlink"))
    rows: list[list[str | float | None]] = []
    for row in sheet.iter(f"{MAIN}row"):
        cells: list[str | float | None] = []
        for cell in row:
            value = cell.findtext(f"{MAIN}v")
            text = None if value is None else shared[int(value)] if cell.get("t") == "s" else float(value)
            column = column_of(cell.get("r") or "A1")
            cells += [None] * (column - len(cells)) + [text]
        rows.append(cells)
    return rows


def column_of(reference: str) -> int:
    """Return the column of a cell reference, from 0."""
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = number * 26 + ord(letter) - 64
    return number - 1


class Page(HTMLParser):
    """What a browser's parser makes of a page: every tag with its attributes, and the text inside each kind of tag."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in self.VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    @property
    def names(self) -> list[str]:
        """The tags in order."""
        return [tag for tag, _ in self.tags]
