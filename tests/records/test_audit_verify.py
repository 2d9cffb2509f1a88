"""A verifier that knows nothing of the writing code finds every change made to a trail of a thousand rows."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.canonical import canonical_json
from labrelay.records import anchors, audit, audit_guards, audit_verify
from labrelay.records.audit_verify import COLUMNS, Trail
from labrelay.records.database import Database
from labrelay.records.sqlite import sqlite_url
from labrelay.stores.folder import FolderObjectStore

ROWS, ANCHORED = 1000, 950
PROGRAM = Path(audit_verify.__file__)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trail of 1,000 rows, its triggers gone, and two anchors."""
    folder = tmp_path_factory.mktemp("trail")
    db, store = Database(sqlite_url(folder / "trail.sqlite")), FolderObjectStore(folder / "objects")
    db.ensure()
    for stop in (500, ANCHORED, ROWS):
        with db.write() as session:
            for number in range(audit.count(session) + 1, stop + 1):
                audit.record(session, "sample.corrected", f"smp_{number}", revision=number, reason=f"grün {number % 7}")
        if stop < ROWS:
            with db.read() as session:
                head = audit.head(session)
            assert head is not None
            anchors.put(store, head)
    with db.write() as session:
        for name in audit_guards.SQLITE:
            session.connection().exec_driver_sql(f"DROP TRIGGER {name}")
    db.close()
    return folder


@pytest.fixture
def trail(written: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a copy that a test may edit by hand."""
    shutil.copy(written / "trail.sqlite", tmp_path / "trail.sqlite")
    connection = sqlite3.connect(tmp_path / "trail.sqlite", isolation_level=None)
    yield connection
    connection.close()


def verify(written: Path, connection: sqlite3.Connection) -> list[str]:
    """Return what is found, through the connection that edited: reading the file again is another test's."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM audit_event ORDER BY seq")
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    files = audit_verify.anchor_files(written / "objects" / anchors.FOLDER)
    return list(audit_verify.check(Trail(), map(audit_verify.stored_row, rows), files))


def alone(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, list[str]]:
    """Run the verifier as a file of its own: no packages, no environment, not even this project on the path."""
    argv = [sys.executable, "-I", "-S", str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False, cwd="/")
    return done.returncode, (done.stdout + done.stderr).decode().splitlines()


def test_a_whole_trail_is_whole_to_a_python_without_packages(written: Path) -> None:
    code, said = alone("--sqlite", written / "trail.sqlite", "--anchors", written / "objects" / anchors.FOLDER)
    assert (code, len(said)) == (0, 1)
    assert said[0].startswith("1,000 rows, whole; anchored up to row 950; head 1000:")


def test_each_field_of_a_row_and_each_byte_of_it_counts(written: Path, trail: sqlite3.Connection) -> None:
    missed, tried = [], 0
    for seq in (1, 2, 499, 500, ANCHORED, ROWS - 1, ROWS):
        before = trail.execute(f"SELECT {', '.join(COLUMNS)} FROM audit_event WHERE seq = ?", (seq,)).fetchone()
        for column, value in list(zip(COLUMNS, before, strict=True))[1:]:
            for changed in single_byte_changes(value):
                edit(trail, seq, column, changed)
                tried += 1
                found = only_around(trail, seq)
                if not any(f"row {seq} was changed" in text or f"row {seq} does not" in text for text in found):
                    missed.append((seq, column, value, changed))
            edit(trail, seq, column, value)
    assert (tried, missed) == (tried, [])
    assert tried > 2000
    assert verify(written, trail) == []


def single_byte_changes(text: str) -> Iterator[bytes]:
    """Yield the text with each of its bytes changed in two ways, one dropped and one put in."""
    raw = text.encode()
    for place in range(len(raw)):
        for mask in (0x01, 0x20):
            yield raw[:place] + bytes([raw[place] ^ mask]) + raw[place + 1 :]
    yield raw[1:]
    yield raw + b" "


def edit(trail: sqlite3.Connection, seq: int, column: str, value: bytes | str) -> None:
    raw = value.encode() if isinstance(value, str) else value
    trail.execute(f"UPDATE audit_event SET {column} = CAST(? AS TEXT) WHERE seq = ?", (raw, seq))


def only_around(trail: sqlite3.Connection, seq: int) -> list[str]:
    """Verify three rows only, as if all before were whole: 2,000 passes over 1,000 rows would take minutes."""
    query = f"SELECT {', '.join(COLUMNS)} FROM audit_event WHERE seq BETWEEN ? AND ? ORDER BY seq"
    trail.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    looked = Trail()
    rows = [audit_verify.stored_row(row) for row in trail.execute(query, (max(1, seq - 1), seq + 1))]
    trail.text_factory = str
    if seq > 1:
        looked.head = (seq - 2, str(rows[0].previous))
    return [finding.text for finding in looked.findings(rows)]


def test_random_edits_of_any_row_are_found_and_the_row_is_named(written: Path, trail: sqlite3.Connection) -> None:
    chance = random.Random(5)
    for _ in range(40):
        seq, column = chance.randint(1, ROWS), chance.choice(COLUMNS[1:])
        (value,) = trail.execute(f"SELECT {column} FROM audit_event WHERE seq = ?", (seq,)).fetchone()
        edit(trail, seq, column, chance.choice(list(single_byte_changes(value))))
        found = verify(written, trail)
        assert any(f"row {seq} " in text for text in found), (seq, column, found)
        edit(trail, seq, column, value)
        trail.text_factory = str


def sealed(trail: sqlite3.Connection, seq: int, **changes: Any) -> None:
    """Write a row with other content and the hash that fits it, as somebody who has read the documentation would."""
    names = ", ".join(COLUMNS)
    (seq, at, actor, action, entity, detail, previous, _hash) = trail.execute(
        f"SELECT {names} FROM audit_event WHERE seq = ?", (seq,)
    ).fetchone()
    row = {"seq": seq, "at": at, "actor": actor, "action": action, "entity_id": entity, "detail": json.loads(detail)}
    row |= {"previous": previous} | changes
    row["hash"] = hashlib.sha256(canonical_json([row[name] for name in COLUMNS[:-1]]).encode()).hexdigest()
    values = [json.dumps(row[name]) if name == "detail" else row[name] for name in COLUMNS]
    trail.execute(f"INSERT OR REPLACE INTO audit_event ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def chained_anew(trail: sqlite3.Connection, first: int, **changes: Any) -> None:
    """Change a row and compute the chain of all that follow anew."""
    sealed(trail, first, **changes)
    for seq in range(first + 1, ROWS + 1):
        (previous,) = trail.execute("SELECT hash FROM audit_event WHERE seq = ?", (seq - 1,)).fetchone()
        sealed(trail, seq, previous=previous)


def shifted(trail: sqlite3.Connection) -> None:
    """Take out row 700 and move all behind it up by one."""
    trail.execute("DELETE FROM audit_event WHERE seq = 700")
    for seq in range(701, ROWS + 1):
        trail.execute("UPDATE audit_event SET seq = ? WHERE seq = ?", (seq - 1, seq))


def inserted(trail: sqlite3.Connection) -> None:
    trail.execute("UPDATE audit_event SET seq = 5000 WHERE seq = 1000")
    trail.execute("INSERT INTO audit_event SELECT 1000, at, actor, action, entity_id, detail, previous, 'x' || hash "
                  "FROM audit_event WHERE seq = 999")  # fmt: skip


CRIMES: dict[str, tuple[Callable[[sqlite3.Connection], object], str]] = {
    "a row is removed": (lambda t: t.execute("DELETE FROM audit_event WHERE seq = 321"), "row 321 is missing"),
    "rows are removed": (
        lambda t: t.execute("DELETE FROM audit_event WHERE seq BETWEEN 20 AND 30"),
        "rows 20 to 30 are missing",
    ),
    "the first row is removed": (lambda t: t.execute("DELETE FROM audit_event WHERE seq = 1"), "row 1 is missing"),
    "two rows are swapped": (
        lambda t: [
            t.execute("UPDATE audit_event SET seq = ? WHERE seq = ?", pair) for pair in ((-1, 7), (7, 8), (8, -1))
        ],
        "row 7 was changed",
    ),
    "a row is removed and the others move up": (shifted, "row 700 does not follow row 699"),
    "a row is put in": (inserted, "row 1000 does not follow row 999"),
    "a row is changed and hashed anew": (
        lambda t: sealed(t, 400, actor="os:somebody"),
        "row 401 does not follow row 400",
    ),
    "a row is changed and all behind it are chained anew": (
        lambda t: chained_anew(t, 400, actor="os:somebody"),
        "row 500 is not the row that was anchored",
    ),
    "the whole chain is another": (
        lambda t: chained_anew(t, 1, actor="os:somebody"),
        "2 of the anchors are of another trail",
    ),
    "the end is cut off": (
        lambda t: t.execute("DELETE FROM audit_event WHERE seq > 949"),
        "the trail ends at row 949, and row 950 was anchored",
    ),
    "everything is removed": (lambda t: t.execute("DELETE FROM audit_event"), "row 950 was anchored"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_what_was_done_by_hand_is_found(crime: str, written: Path, trail: sqlite3.Connection) -> None:
    commit, expected = CRIMES[crime]
    trail.execute("BEGIN")
    commit(trail)
    found = verify(written, trail)
    assert any(expected in text for text in found), found
    trail.execute("ROLLBACK")
    assert verify(written, trail) == []


def test_a_trail_cut_behind_its_last_anchor_is_whole_but_says_how_far_it_is_anchored_and_a_noted_head_finds_it(
    written: Path, trail: sqlite3.Connection, tmp_path: Path
) -> None:
    (head,) = trail.execute("SELECT hash FROM audit_event WHERE seq = 1000").fetchone()
    trail.execute("DELETE FROM audit_event WHERE seq > 990")
    asked = ("--sqlite", tmp_path / "trail.sqlite", "--anchors", written / "objects" / anchors.FOLDER)
    code, said = alone(*asked)
    assert (code, said[0][:48]) == (0, "990 rows, whole; anchored up to row 950; head 99")
    code, said = alone(*asked, "--head", f"1000:{head}")
    assert (code, said[0][:20]) == (1, "the noted head 1000:")


@pytest.fixture(scope="module")
def export(written: Path) -> list[bytes]:
    db = Database(sqlite_url(written / "trail.sqlite"))
    with db.read() as session:
        lines = [f"{canonical_json(row)}\n".encode() for row in audit.exported(session)]
    db.close()
    return lines


def test_an_export_is_verified_anywhere_and_each_byte_of_it_counts(export: list[bytes]) -> None:
    assert alone("--jsonl", "-", stdin=b"".join(export))[0] == 0
    chance, missed = random.Random(7), []
    for _ in range(300):
        seq = chance.randint(1, ROWS - 1)
        line = chance.choice(list(single_byte_changes(export[seq - 1].decode())))
        looked = Trail()
        looked.head = (seq - 1, json.loads(export[seq - 1])["previous"])
        text = line + export[seq]
        found = list(audit_verify.check(looked, audit_verify.exported_rows(io.BytesIO(text))))
        if not found:
            missed.append((seq, line))
    assert missed == []


def test_the_test_vector_of_the_documentation_is_true() -> None:
    text = (PROGRAM.parents[2] / "docs" / "audit.md").read_text()
    vector = text.partition("**Test vector.**")[2]
    (array,) = [line.strip() for line in vector.splitlines() if line.startswith("    [")]
    told = re.findall(r"`([0-9a-f]{64})`", vector)
    assert hashlib.sha256(array.encode()).hexdigest() == told[0]
    row = audit_verify.Row(*json.loads(array), told[0])
    assert (audit_verify.row_hash(row), row.previous) == (told[0], audit.GENESIS)
    assert audit.row_hash(row._asdict()) == told[0]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "row 5 stands behind row 6"),
        (lambda lines: [*lines[:4], lines[4], lines[4], *lines[5:]], "row 5 stands behind row 5"),
        (lambda lines: [*lines[:9], b'{"seq": 10}\n'], "line 10 of the export is no row"),
        (lambda lines: [*lines[:9], lines[9][:-1]], "spelled in another way"),
        (lambda lines: [*lines[:9], b"[" * 100_000 + b"\n"], "line 10 of the export is no row"),
        (lambda lines: [*lines[:9], b"x" * (1 << 21)], "line 10 of the export is no row"),
    ],
)
def test_lines_that_were_moved_doubled_or_broken_are_found(
    edit: Callable[[list[bytes]], list[bytes]], expected: str, export: list[bytes]
) -> None:
    code, said = alone("--jsonl", "-", stdin=b"".join(edit(export)))
    assert code == 1
    assert any(expected in line for line in said), said


def test_a_changed_or_invented_anchor_is_found(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anchors"
    shutil.copytree(written / "objects" / anchors.FOLDER, folder)
    first, second = sorted(folder.iterdir())
    told = json.loads(first.read_text())
    first.chmod(0o644)
    first.write_text(json.dumps(told | {"seq": 499}))
    second.chmod(0o644)
    second.write_text("nothing")
    code, said = alone("--sqlite", written / "trail.sqlite", "--anchors", folder)
    assert code == 1
    assert any("row 499 is not the row that was anchored" in line for line in said)
    assert any(f"{second.name} is no anchor" in line for line in said)


def test_a_damaged_database_is_a_finding_and_a_missing_one_a_mistake(written: Path, tmp_path: Path) -> None:
    raw = bytearray((written / "trail.sqlite").read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 8192] = b"\xff" * 8192
    (tmp_path / "damaged").write_bytes(raw)
    code, said = alone("--sqlite", tmp_path / "damaged")
    assert (code, len(said) > 1) == (1, True)
    assert alone("--sqlite", tmp_path / "none")[0] == 2


def test_memory_does_not_grow_with_the_rows(written: Path, export: list[bytes]) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import audit_verify; "
        "code = audit_verify.main(sys.argv[1:]); "
        # Not getrusage: its peak is that of the process which started this one, when that was larger.
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')); "
        "sys.stdout.write(f'{code} {peak}\\n')"
    )

    def peak(content: bytes) -> tuple[str, int]:
        argv = [sys.executable, "-I", "-S", "-c", program, str(PROGRAM.parent), "--jsonl", "-"]
        said = subprocess.run(argv, input=content, capture_output=True, check=True).stdout.split()
        return said[-2].decode(), int(said[-1])

    few, many = peak(b"".join(export[:10])), peak(b"".join(export) * 30)
    assert (few[0], many[0]) == ("0", "1")  # the same thousand rows again and again are no chain
    assert many[1] < few[1] * 1.5
