"""What files of Nanopore signal tell of their run, by their own footer; a real file of MinKNOW, whole and damaged.

The expected facts are what Oxford Nanopore's library (pod5 0.3.49) gives for the same file.
"""

from __future__ import annotations

import gzip
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.model.problem import Problem
from labrelay.parsers.arrow import _buffers, _columns, first_rows
from labrelay.parsers.flatbuffer import Table
from labrelay.parsers.pod5 import SignalRun, _run_of, signal_run
from labrelay.parsers.registry import read_run

CASE = Path(__file__).parents[1] / "data" / "instruments" / "ont-final-summary-and-pod5"
NAME = "PAS23464_fail_barcode11_c3f8b1dd_5ed8849a_0.pod5"
REAL = gzip.decompress((CASE / f"{NAME}.gz").read_bytes())
OLD = gzip.decompress((CASE / "PAK00002_fail_barcode07_b7f7032d_0.pod5.gz").read_bytes())
TABLE = slice(5768, 13282)  # where the table of runs lies in it
EXPECTED = SignalRun(
    acquisition="5ed8849a0f6b8d388566af4955ce048a28f3fa09",
    run_id="c3f8b1dd-b844-4ac4-b9aa-f23ce19b8566",
    experiment="Is_PromethION_Working",
    sample="DoesThisWork",
    flow_cell="PAS23464",
    flow_cell_type="FLO-PRO114M",
    kit="sqk-nbd114-24",
    position="1F",
    device="PC24B212",
    device_type="PromethION 24",
    software="MinKNOW 23.11.7 (Bream 7.8.2, Core 5.8.6, Dorado 7.2.13+fba8e8925)",
    sample_rate=5000,
    started=datetime(2024, 2, 22, 15, 52, 33, 572000, tzinfo=UTC),
)


def told(folder: Path, data: bytes) -> SignalRun | Problem | None:
    (folder / "a.pod5").write_bytes(data)
    return signal_run(folder, "a.pod5")


def test_a_file_of_minknow_tells_its_run(tmp_path: Path) -> None:
    assert told(tmp_path, REAL) == EXPECTED


def test_a_file_older_than_the_table_of_runs_tells_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, OLD) is None


@pytest.mark.parametrize("kept", [0, 31, 1000, len(REAL) - 1])
def test_a_cut_file_is_told_with_what_to_do(tmp_path: Path, kept: int) -> None:
    found = told(tmp_path, REAL[:kept])
    assert isinstance(found, Problem)
    assert found.code == "BAD_POD5"
    assert found.path == "a.pod5"
    assert "copy it again" in found.message


def test_signal_alone_gives_the_run_its_id_flow_cell_and_start(tmp_path: Path) -> None:
    folder = tmp_path / "signal" / "pod5_fail"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(REAL)
    run = read_run(tmp_path / "signal")
    assert (run.run_id, run.flow_cell, run.started) == (EXPECTED.run_id, EXPECTED.flow_cell, EXPECTED.started)
    assert (run.instrument_model, run.instrument_serial) == ("PromethION 24", "PC24B212")
    assert run.units[0].facts["kit"] == "sqk-nbd114-24"


def test_control_files_are_believed_before_signal(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    summary = (CASE / "final_summary_PAK00383_564d5253.txt").read_text()
    (folder / "final_summary_PAK00383_564d5253.txt").write_text(summary)
    (folder / "pod5_pass").mkdir()
    (folder / "pod5_pass" / NAME).write_bytes(REAL[:500])
    run = read_run(folder)
    assert run.flow_cell == "PAK00383"
    assert "BAD_POD5" not in {problem.code for problem in run.problems}


def test_of_runs_that_were_merged_only_what_they_share_is_told() -> None:
    [row] = first_rows(REAL[TABLE], 5)
    assert row["flow_cell_id"] == "PAS23464"
    merged = _run_of([row, {**row, "sample_id": "another"}])
    assert (merged.sample, merged.flow_cell) == (None, "PAS23464")


def test_fields_that_hold_the_same_fields_over_and_over_are_refused_and_not_counted_for_ever() -> None:
    vtable = struct.pack("<8H", 16, 12, 0, 0, 4, 0, 0, 8)  # the kind at byte 4, the children at byte 8
    data = vtable
    for level in range(60):
        at = 16 + 28 * level
        after = at + 28
        children = struct.pack("<4I", 3, *(after - (at + 16 + 4 * each) for each in range(3)))
        data += struct.pack("<iBxxxI", at, 12, 4) + children
    data += struct.pack("<iBxxxI", len(data), 5, 0)
    with pytest.raises(ValueError, match="kind that is not known"):
        _buffers(Table(data, 16), iter(range(200)))


@pytest.mark.parametrize(("size", "why"), [(1000, "longer than all of its bytes"), (70_000, "longer than any is")])
def test_columns_that_all_name_one_long_text_are_refused(size: int, why: str) -> None:
    data = bytearray(REAL[TABLE])
    (length,) = struct.unpack("<i", data[-10:-6])
    tail = bytes(data[-10 - length :])
    footer = Table.root(tail[:length])
    schema = footer.table(1)
    assert schema is not None
    offset, head = struct.unpack_from("<qi", footer.data, footer.vector(3)[0])
    message = Table.root(bytes(data[offset + 8 : offset + head])).table(2)
    assert message is not None
    columns = [column for column in _columns(schema) if column.kind == 5]
    for column in columns:
        at = offset + 8 + message.vector(2)[0] + 16 * (column.buffer + 1)
        data[at : at + 32] = struct.pack("<4q", 2000, 8, 0, size)
    struct.pack_into("<ii", data, offset + head + 2000, 0, size)
    if size > 4000:
        data[-10 - length :] = bytes(size) + tail
    with pytest.raises(ValueError, match=why):
        first_rows(bytes(data), 16)


def test_a_name_of_many_kilobytes_is_refused() -> None:
    # A vtable of one field at byte 4, the table, and the text behind it.
    table = struct.pack("<4HiI", 6, 8, 4, 0, 8, 4)
    assert Table(table + struct.pack("<I", 2) + b"ab", 8).text(0) == "ab"
    with pytest.raises(ValueError, match="longer than any is"):
        Table(table + struct.pack("<I", 70_000) + bytes(70_000), 8).text(0)


@given(at=st.integers(0, len(REAL) - 1), value=st.binary(min_size=1, max_size=8), cut=st.integers(0, 60))
def test_a_changed_file_gives_a_run_or_a_problem(
    at: int, value: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = bytearray(REAL)
    changed[at : at + len(value)] = value
    found = told(tmp_path_factory.getbasetemp(), bytes(changed[: len(changed) - (cut if cut > 30 else 0)]))
    assert found is None or isinstance(found, SignalRun | Problem)


@given(at=st.integers(0, TABLE.stop - TABLE.start - 1), value=st.binary(min_size=1, max_size=8))
def test_a_changed_table_gives_rows_or_is_refused(at: int, value: bytes) -> None:
    changed = bytearray(REAL[TABLE])
    changed[at : at + len(value)] = value
    try:
        rows = first_rows(bytes(changed), 16)
    except ValueError:
        return
    assert len(rows) <= 16
