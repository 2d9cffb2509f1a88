"""Error rates by PhiX, and qualities by bin, of real instruments: as Illumina's own library computes them.

The expected numbers come from interop 1.9.0 (`py_interop_summary.summarize_run_metrics`) on the same files, once, in an
environment of its own; versions that no real file here has were written from a real one and given to it, too. It keeps
rates as 32-bit floats, and so the numbers agree to six places.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from interop_files import MISEQ, NEXTSEQ, QUALITY, STORED, interop_codes, run_of, stored, told
from run_folders import put

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers.interop import check_length
from labrelay.parsers.interop_errors import ERRORS
from labrelay.parsers.registry import read_run

NOVASEQ = "novaseq6000-2024"
RATE = "phix_error_percent"
ROW = struct.Struct("<HIHf")


def novaseq_run(tmp_path: Path, **files: bytes) -> InstrumentRun:
    root = tmp_path / "240802_A01934_0156_AHJF77DRX5"
    put(root, "RunInfo.xml", gzip.decompress((STORED / f"{NOVASEQ}.RunInfo.xml.gz").read_bytes()))
    for name, data in files.items():
        put(root, f"InterOp/{name}.bin", data)
    return read_run(root)


def rates(run: InstrumentRun) -> dict[str, float | None]:
    return {scope: value for (name, scope), value in told(run).items() if name == RATE}


def rows() -> list[tuple[int, int, int, float]]:
    return list(ROW.iter_unpack(stored(ERRORS, NOVASEQ)[2:]))


def written(found: list[tuple[int, int, int, float]]) -> bytes:
    return b"\4\x0c" + b"".join(ROW.pack(*row) for row in found)


def as_version(version: int) -> bytes:
    """Return the real file, which is of version 4, as version 5 or 6 has it: with shares of adapters."""
    if version == 4:
        return stored(ERRORS, NOVASEQ)
    head = b"\5\x10" if version == 5 else b"\6\x14" + struct.pack("<HH", 2, 4) + b"ACGTTTGA"
    return head + b"".join(ROW.pack(*row) + struct.pack("<ff", 0.5, 0.25)[: 4 * (version - 4)] for row in rows())


@pytest.mark.parametrize("version", [4, 5, 6])
def test_error_rates_are_those_that_illuminas_library_computes(tmp_path: Path, version: int) -> None:
    run = novaseq_run(tmp_path, ErrorMetricsOut=as_version(version))
    found = rates(run)
    assert found["run"] == pytest.approx(0.2994961440563202, abs=1e-7)
    assert found["read 1"] == pytest.approx(0.2891705334186554, abs=1e-7)
    assert found["read 2"] == pytest.approx(0.3098217248916626, abs=1e-7)
    # The library has a lane's rate for each read, and here they count alike.
    assert found["lane 1"] == pytest.approx((0.3039129376411438 + 0.3267498314380646) / 2, abs=1e-7)
    assert found["lane 2"] == pytest.approx((0.274428129196167 + 0.2928936183452606) / 2, abs=1e-7)
    assert interop_codes(run) == []


def test_error_rates_of_older_instruments_are_read_and_their_missing_last_cycle_is_no_fault(tmp_path: Path) -> None:
    run = run_of(tmp_path, NEXTSEQ, ErrorMetricsOut=stored(ERRORS, "nextseq500-2016"))
    found = rates(run)
    assert found["run"] == found["read 1"] == pytest.approx(0.27236756682395935, abs=1e-7)
    lanes = [0.25537779927253723, 0.3099302053451538, 0.2962976098060608, 0.23635946214199066]
    assert [found[f"lane {n}"] for n in range(1, 5)] == pytest.approx(lanes, abs=1e-7)
    assert interop_codes(run) == []


def test_without_phix_there_is_no_error_rate_and_never_0(tmp_path: Path) -> None:
    assert rates(novaseq_run(tmp_path / "1")) == {}
    run = novaseq_run(tmp_path / "2", ErrorMetricsOut=written([(*row[:3], math.nan) for row in rows()]))
    assert rates(run) == {"run": None, "read 1": None, "read 2": None}
    assert interop_codes(run) == []


def test_a_rate_that_is_no_number_is_left_out_of_its_tile_and_a_rate_of_0_counts(tmp_path: Path) -> None:
    cells = [(1, 1101, 1, 0.0), (1, 1101, 2, 1.0), (1, 1101, 3, math.nan), (1, 1102, 1, 3.5), (1, 1101, 151, 90.0)]
    run = novaseq_run(tmp_path, ErrorMetricsOut=written(cells))
    assert rates(run)["read 1"] == pytest.approx((0.5 + 3.5) / 2), "the last cycle of a read does not count"


def test_a_file_that_holds_the_first_read_only_gives_no_rate_of_the_run(tmp_path: Path) -> None:
    run = novaseq_run(tmp_path, ErrorMetricsOut=written([row for row in rows() if row[2] <= 151]))
    found = rates(run)
    assert (found["run"], found["read 2"]) == (None, None)
    assert found["read 1"] == pytest.approx(0.2891705334186554, abs=1e-7)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (stored(ERRORS, NOVASEQ)[:-5], "INTEROP_TRUNCATED", "7 of 12 bytes"),
        (b"", "INTEROP_TRUNCATED", "empty"),
        (b"\7" + stored(ERRORS, NOVASEQ)[1:], "INTEROP_UNKNOWN", "version 7 with records of 12 bytes"),
        (written([row for row in rows() if row[2] <= 300]), "INTEROP_INCOMPLETE_CYCLES", "cycle 300 of 327"),
        (written([*rows(), (3, 1101, 1, 0.1)]), "INTEROP_OTHER_RUN", "lane 3, and the flow cell has 2"),
        (written([*rows(), (1, 1101, 329, 0.1)]), "INTEROP_OTHER_RUN", "cycle 329, and RunInfo.xml plans 328"),
    ],
    ids=["cut", "empty", "unknown version", "ends early", "more lanes", "more cycles"],
)
def test_error_metrics_that_are_cut_or_of_another_run_give_none(
    tmp_path: Path, data: bytes, code: str, words: str
) -> None:
    run = novaseq_run(tmp_path, ErrorMetricsOut=data)
    (problem,) = [p for p in run.problems if p.code.startswith("INTEROP")]
    assert (problem.code, problem.path) == (code, "InterOp/ErrorMetricsOut.bin")
    assert words in problem.message
    assert rates(run) == {}


def test_error_metrics_of_another_instrument_are_not_those_of_a_run_of_one_lane(tmp_path: Path) -> None:
    run = run_of(tmp_path, MISEQ, ErrorMetricsOut=stored(ERRORS, "nextseq500-2016"))
    assert (interop_codes(run), rates(run)) == (["INTEROP_OTHER_RUN"], {})


@pytest.mark.parametrize("version", [7, 8, 9])
def test_binned_qualities_of_a_real_novaseq_are_those_that_illuminas_library_counts(
    tmp_path: Path, version: int
) -> None:
    data = stored(QUALITY, NOVASEQ)
    if version > 7:
        table = np.frombuffer(data, np.dtype([("place", "V8"), ("calls", "<u4", (3,))]), offset=13)
        wide = np.empty(len(table), np.dtype([("place", "V8"), ("calls", "<u8", (3,))]))
        wide["place"], wide["calls"] = table["place"], table["calls"]
        data = {8: b"\x08\x20", 9: b"\x09\x20\x00"}[version] + data[2:13] + wide.tobytes()
    run = novaseq_run(tmp_path, QMetricsOut=data)
    found = {scope: value for (name, scope), value in told(run).items() if name == "q30_percent"}
    assert found["run"] == pytest.approx(91.20616149902344, abs=1e-5)
    assert found["read 1"] == pytest.approx(91.83587646484375, abs=1e-5)
    assert found["index 2"] == pytest.approx(88.88249206542969, abs=1e-5)
    assert found["read 2"] == pytest.approx(90.8180923461914, abs=1e-5)
    assert interop_codes(run) == []


@pytest.mark.parametrize("head", [b"\x06\x14\x02\x00", b"\x06\x14\x03\x00\x04\x00", b"\x06\x0c"])
def test_a_header_that_does_not_fit_its_record_length_is_no_guess(head: bytes) -> None:
    layout, problems = check_length(ERRORS, head, 500, "e")
    assert layout is None
    assert [problem.code for problem in problems] == ["INTEROP_UNKNOWN"]
