"""Sanger traces: real files (their curves cut out), and what is missing or wrong in others."""

from __future__ import annotations

import struct
import tracemalloc
from datetime import datetime
from pathlib import Path

from run_folders import CASES, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known
from labrelay.parsers.abif import parse_abif
from labrelay.parsers.registry import read_run

CASE = CASES / "sanger-ab1"
Tag = tuple[bytes, int, int, bytes]


def abif(*tags: Tag) -> bytes:
    """Return a file with tags of (name, number, type, value)."""
    body, directory = b"", b""
    for name, number, kind, value in tags:
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(">i", 128 + len(body))
        body += value if len(value) > 4 else b""
        directory += struct.pack(">4siHHii4si", name, number, kind, 1, len(value), len(value), place, 0)
    where = 128 + len(body)
    head = b"ABIF" + struct.pack(">H4siHHiiii", 101, b"tdir", 1, 1023, 28, len(tags), 28 * len(tags), where, 0)
    return head.ljust(128, b"\0") + body + directory


def pascal(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def test_a_real_trace_gives_sample_time_machine_well_and_length() -> None:
    trace, problems = parse_abif((CASE / "310.ab1").read_bytes(), "310.ab1")
    assert trace is not None
    assert (trace.sample, trace.bases, trace.well, trace.machine) == ("D11F", 868, "C5", "ABI PRISM 310")
    assert trace.started == datetime(2009, 2, 19, 1, 19, 30)
    assert (trace.model, problems) == ("ABI 310", [])
    assert trace.personal == {"comment": "removed"}


def test_qualities_that_are_all_zero_are_none() -> None:
    trace, _ = parse_abif((CASE / "310.ab1").read_bytes(), "310.ab1")
    assert trace is not None
    assert trace.mean_quality is None


def test_a_trace_without_a_sample_is_called_by_its_file_and_a_false_one_is_left_out() -> None:
    run = read_run(CASE)
    assert {f.path: (f.role, f.sample) for f in run.files} == {
        "310.ab1": (FileRole.MEASUREMENT, "D11F"),
        "fake.ab1": (FileRole.OTHER, None),
        "no_smpl1.ab1": (FileRole.MEASUREMENT, "no_smpl1"),
    }
    assert codes(run) == ["EMPTY_SAMPLE_NAME", "NOT_ABIF", "RUN_ID_FROM_FOLDER"]
    assert {(m.scope, m.value) for m in run.qc if m.name == "bases"} == {("310.ab1", 868), ("no_smpl1.ab1", 164)}
    assert run.completion.acquired.value is Known.UNKNOWN


def test_a_file_that_is_no_trace_at_all_is_refused() -> None:
    assert codes(read_run(CASE / "fake.ab1"), "error") == ["NO_TRACES"]


def test_five_bases_and_a_name_that_is_not_ascii_are_read(tmp_path: Path) -> None:
    small = abif(
        (b"SMPL", 1, 18, pascal("Müller 3".encode("latin-1"))),
        (b"PBAS", 1, 2, b"ACGTN"),
        (b"PCON", 1, 2, bytes([10, 20, 30, 40, 0])),
        (b"RunN", 1, 19, b"Run_7\0"),
        (b"RUND", 1, 10, struct.pack(">hBB", 2026, 1, 5)),
        (b"RUNT", 1, 11, bytes([14, 10, 21, 0])),
        (b"LANE", 1, 4, struct.pack(">h", 12)),
    )
    put(tmp_path, "plate/a.ab1", small)
    put(tmp_path, "plate/b.ab1", small)
    run = read_run(tmp_path / "plate")
    assert run.run_id == "Run_7"
    assert [sample.sample_id for sample in run.samples] == ["Müller 3"]
    assert {(m.scope, m.name): m.value for m in run.qc}["a.ab1", "mean_quality"] == 20
    assert run.raw["a.ab1"]["lane"] == "12"
    assert (run.started, run.completion.acquired.value) == (datetime(2026, 1, 5, 14, 10, 21), Known.YES)
    assert codes(run) == []


def test_a_file_that_was_cut_is_told_and_gives_what_is_left() -> None:
    whole = (CASE / "310.ab1").read_bytes()
    trace, problems = parse_abif(whole[:200], "x")
    assert (trace, [problem.code for problem in problems]) == (None, ["TRUNCATED"])
    impossible = abif((b"PBAS", 1, 2, b"ACGTN" * 100)).replace(
        struct.pack(">ii", 500, 500), struct.pack(">ii", 500, 2**30)
    )
    trace, problems = parse_abif(impossible, "x")
    assert trace is not None
    assert [problem.code for problem in problems] == ["TRUNCATED"]


def test_a_date_that_there_is_not_is_none() -> None:
    trace, _ = parse_abif(
        abif((b"RUND", 1, 10, struct.pack(">hBB", 2026, 13, 5)), (b"RUNT", 1, 11, bytes([14, 10, 21, 0]))), "x"
    )
    assert trace is not None
    assert trace.started is None


def test_many_entries_that_point_to_one_long_piece_cost_nothing() -> None:
    long = abif(*[(b"%04d" % number, 1, 2, b"x") for number in range(4000)], (b"SMPL", 1, 2, b"A" * 1_000_000))
    place = long.index(b"A" * 1000)
    long = long.replace(b"\0\0\0\1\0\0\0\1x\0\0\0", struct.pack(">iii", 1_000_000, 1_000_000, place))
    tracemalloc.start()
    trace, _ = parse_abif(long, "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert trace is not None
    assert peak < 20_000_000
