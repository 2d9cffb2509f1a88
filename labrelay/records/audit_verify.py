"""Verifying an audit trail with nothing but Python's standard library: this file alone, on any machine.

    python audit_verify.py --sqlite labrelay.sqlite --anchors objects/audit/anchors
    labrelay audit export | python audit_verify.py --jsonl - --anchors anchors

It imports nothing of the code that writes the trail and follows the format that docs/audit.md describes. Memory does
not grow with the rows; of anchors it keeps about 200 bytes each. Exit code: 0 whole, 1 something was found, 2 your
mistake.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

GENESIS = "0" * 64
FORMAT = "labrelay-audit-anchor/1"
COLUMNS = ("seq", "at", "actor", "action", "entity_id", "detail", "previous", "hash")
LONGEST_LINE = 1 << 20
LARGEST_ANCHOR = 4096


def _refuse(name: str) -> object:
    raise ValueError(name)


# Made once: `json.dumps` and `json.loads` would make their own for each row.
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
DECODER = json.JSONDecoder(parse_constant=_refuse)


class Row(NamedTuple):
    """A row as it was read; `wrong` says what its writer would never have written."""

    seq: int
    at: Any
    actor: Any
    action: Any
    entity_id: Any
    detail: Any
    previous: Any
    hash: Any
    wrong: str | None = None


class Anchor(NamedTuple):
    """What an anchor says: the row `seq` of the trail whose first row has the hash `chain` has this hash."""

    seq: int
    hash: str
    chain: str
    name: str


class Finding(NamedTuple):
    """Something that is not as it was written: the row that it is about, and the sentence."""

    seq: int
    text: str


@dataclass
class Trail:
    """One pass over a trail; the attributes are complete when `findings` has been read to its end.

    Attributes:
        rows: How many there were.
        chain: The hash of the first row, which tells one trail from another.
        head: Number and hash of the last row.
        anchored: The last row that an anchor confirms; a cut behind it cannot be seen.
    """

    rows: int = 0
    chain: str | None = None
    head: tuple[int, str] = (0, GENESIS)
    anchored: int = 0
    _others: dict[str, int] = field(default_factory=dict)

    def findings(self, rows: Iterable[Row], anchors: Iterable[Anchor] = ()) -> Iterator[Finding]:
        """Yield what was edited, removed, inserted, moved or cut, in the order of the rows."""
        waiting = deque(sorted(anchors))
        for row in rows:
            if self.chain is None:
                self.chain = str(row.hash)
                waiting = self._own(waiting)
            yield from self._place(row)
            yield from _content(row)
            yield from self._anchors(row, waiting)
            self.rows += 1
            self.head = (row.seq, str(row.hash))
        yield from self._left(waiting)

    def _own(self, anchors: deque[Anchor]) -> deque[Anchor]:
        """Return the anchors of this trail and count those of others."""
        for anchor in anchors:
            if anchor.chain != self.chain:
                self._others[anchor.chain] = self._others.get(anchor.chain, 0) + 1
        return deque(anchor for anchor in anchors if anchor.chain == self.chain)

    def _place(self, row: Row) -> Iterator[Finding]:
        last, previous = self.head
        if row.seq > last + 1:
            gap = f"row {last + 1} is" if row.seq == last + 2 else f"rows {last + 1} to {row.seq - 1} are"
            yield Finding(row.seq, f"{gap} missing")
        elif row.seq <= last:
            yield Finding(row.seq, f"row {row.seq} stands behind row {last}: it was moved or put in")
        if row.previous != previous:
            before = f"row {last}" if last else "the beginning"
            yield Finding(row.seq, f"row {row.seq} does not follow {before}: one of them is not what it was")

    def _anchors(self, row: Row, waiting: deque[Anchor]) -> Iterator[Finding]:
        while waiting and waiting[0].seq <= row.seq:
            anchor = waiting.popleft()
            if anchor.seq == row.seq and anchor.hash == row.hash:
                self.anchored = row.seq
            elif anchor.seq == row.seq:
                yield Finding(row.seq, f"row {row.seq} is not the row that was anchored ({anchor.name})")
            else:
                yield Finding(row.seq, f"row {anchor.seq} was anchored ({anchor.name}) and is not where it was")

    def _left(self, waiting: deque[Anchor]) -> Iterator[Finding]:
        last = self.head[0]
        if waiting:
            furthest = waiting[-1]
            yield Finding(
                last,
                f"the trail ends at row {last}, and row {furthest.seq} was anchored ({furthest.name}): its end was cut "
                "off, or an older database was put in its place",
            )
        for other, count in self._others.items():
            yield Finding(
                last,
                f"{count} of the anchors are of another trail ({other[:12]}…): this database was put in its place",
            )


def row_hash(row: Row) -> str:
    """Return the hash that a row has to carry, by the documented format."""
    value = [row.seq, row.at, row.actor, row.action, row.entity_id, row.detail, row.previous]
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: object) -> bytes:
    return ENCODER.encode(value).encode("utf-8", "surrogatepass")


def _content(row: Row) -> Iterator[Finding]:
    wrong = row.wrong
    if wrong is None and row.hash != row_hash(row):
        wrong = "its content has another hash"
    if wrong is not None:
        yield Finding(row.seq, f"row {row.seq} was changed after it was written: {wrong}")


def stored_row(values: Iterable[Any]) -> Row:
    """Return the row that a database holds: its columns in order, `detail` as the text that stands there."""
    row = Row(*values)
    try:
        detail = _parse(row.detail)
        spelled = json.dumps(detail) == row.detail
    except (TypeError, ValueError, RecursionError):
        return row._replace(wrong="its detail is no JSON")
    row = row._replace(detail=detail)
    if any(type(value) is not str for value in (row.at, row.actor, row.action, row.entity_id, row.previous, row.hash)):
        return row._replace(wrong="a column holds no text")
    return row if spelled else row._replace(wrong="its detail is spelled in another way")


def exported_row(line: bytes) -> Row | None:
    """Return the row of one line of an export, or None when the line is none."""
    try:
        told = _parse(line.decode())
        if not isinstance(told, dict) or set(told) != set(COLUMNS) or type(told["seq"]) is not int:
            return None
        row = Row(**told)
        return row if _canonical(told) + b"\n" == line else row._replace(wrong="its line is spelled in another way")
    except (ValueError, RecursionError):
        return None


def _parse(text: str) -> Any:
    return DECODER.decode(text)


class Unreadable(Exception):
    """The trail cannot be read from a place on, which is a finding and no mistake of the caller."""


def sqlite_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a SQLite database, which is opened for reading only.

    Raises:
        Unreadable: The database is damaged.
    """
    last = 0
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    # Bytes that are no UTF-8 belong to a changed row and must not end the look at the others.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        for values in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM audit_event ORDER BY seq"):  # noqa: S608
            row = stored_row(values)
            yield row
            last = row.seq
    except sqlite3.Error as error:
        raise Unreadable(f"the table audit_event cannot be read behind row {last}: {error}") from error
    finally:
        connection.close()


def exported_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield the rows of an export, one JSON object a line.

    Raises:
        Unreadable: A line is no row.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        row = exported_row(line)
        if row is None:
            raise Unreadable(f"line {number} of the export is no row of an audit trail")
        yield row


def anchor_of(name: str, content: bytes) -> Anchor | None:
    """Return what an anchor's file says, or None when it is none."""
    try:
        told = _parse(content.decode())
        if told["format"] != FORMAT or type(told["seq"]) is not int:
            return None
        return Anchor(told["seq"], str(told["hash"]), str(told["chain"]), name)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def anchor_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in a folder of anchors."""
    for file in sorted(folder.iterdir()):
        if file.suffix == ".json" and file.is_file():
            with file.open("rb") as opened:
                yield file.name, opened.read(LARGEST_ANCHOR)


def check(trail: Trail, rows: Iterable[Row], files: Iterable[tuple[str, bytes]] = ()) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with a trail and its anchors."""
    anchors = []
    for name, content in files:
        anchor = anchor_of(name, content)
        if anchor is None:
            yield f"{name} is no anchor: it was changed after it was written"
        else:
            anchors.append(anchor)
    try:
        for finding in trail.findings(rows, anchors):
            yield finding.text
    except Unreadable as broken:
        yield str(broken)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="audit_verify", description="Verify a Labrelay audit trail.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sqlite", type=Path, metavar="FILE", help="a database of Labrelay, or a copy of one")
    source.add_argument("--jsonl", metavar="FILE", help="what `labrelay audit export` wrote; - reads standard input")
    parser.add_argument("--anchors", type=Path, metavar="FOLDER", help="the anchors: objects/audit/anchors, or a copy")
    parser.add_argument("--head", metavar="SEQ:HASH", help="a head that was noted before, which has to be in the trail")
    asked = parser.parse_args(argv)
    for path in (asked.sqlite, asked.anchors, None if asked.jsonl in (None, "-") else Path(asked.jsonl)):
        if path is not None and not path.exists():
            parser.error(f"there is no {path}")
    if asked.head is not None and not asked.head.partition(":")[0].isdecimal():
        parser.error("a head is SEQ:HASH, as `labrelay audit verify` prints it")
    return asked


def _noted(rows: Iterable[Row], head: str | None, found: list[str]) -> Iterator[Row]:
    """Pass rows on and see that the head that somebody noted is among them."""
    met = head is None
    for row in rows:
        met = met or head == f"{row.seq}:{row.hash}"
        yield row
    if not met:
        found.append(f"the noted head {head} is not in the trail: its end was cut off, or it is another trail")


def _rows(asked: argparse.Namespace) -> Iterator[Row]:
    if asked.sqlite is not None:
        yield from sqlite_rows(asked.sqlite)
    elif asked.jsonl == "-":
        yield from exported_rows(sys.stdin.buffer)
    else:
        with Path(asked.jsonl).open("rb") as opened:
            yield from exported_rows(opened)


def main(argv: list[str] | None = None) -> int:
    """Verify what the command line names, say what was found, and return the exit code."""
    asked = _arguments(argv)
    trail, missed, count = Trail(), list[str](), 0
    files = anchor_files(asked.anchors) if asked.anchors is not None else ()
    for text in chain(check(trail, _noted(_rows(asked), asked.head, missed), files), missed):
        count += 1
        sys.stdout.write(f"{text}\n")
    sys.stdout.write(f"{summary(trail, count)}\n")
    return 1 if count else 0


def summary(trail: Trail, found: int) -> str:
    """Return what was looked at and how it is, in one line that can be noted."""
    rows = f"{trail.rows:,} row{'' if trail.rows == 1 else 's'}"
    state = "whole" if not found else f"NOT as written: {found:,} finding{'' if found == 1 else 's'}"
    anchored = f"anchored up to row {trail.anchored}" if trail.anchored else "no anchor: a cut end cannot be seen"
    return f"{rows}, {state}; {anchored}; head {trail.head[0]}:{trail.head[1]}"


if __name__ == "__main__":
    sys.exit(main())
