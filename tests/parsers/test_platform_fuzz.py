"""Damaged files of microscopes, mass spectrometers and readers give a run with typed problems, never an exception."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrc_files import fei, mrc
from run_folders import CASES

from labrelay.parsers.epu_session import parse_image, parse_session
from labrelay.parsers.gen5_text import parse_gen5
from labrelay.parsers.mdoc import parse_mdoc
from labrelay.parsers.micrograph import micrograph_preview
from labrelay.parsers.mrc_header import parse_mrc_header
from labrelay.parsers.registry import read_run
from labrelay.parsers.thermo_sidecar import parse_sidecar

EPU = CASES / "cryoem-epu-session-2025"
EXPOSURE = "GridSquare_8999138/Data/FoilHole_9015883_Data_9017347_6_20250108_154915.xml"
SEEDS = {
    "a.mdoc": (CASES / "cryoem-serialem-mdoc" / "frame_set_multiple.mdoc").read_bytes(),
    "EpuSession.dm": (EPU / "EpuSession.dm").read_bytes()[:30_000],
    EXPOSURE: (EPU / "Images-Disc1" / EXPOSURE).read_bytes(),
    "a.mrc": mrc(bytes(60), (5, 4, 3), 0, extended=fei(), kind=b"FEI1"),
    "a.mrc.bz2": (CASES / "cryoem-mrc-emd3197" / "EMD-3197.map.bz2").read_bytes()[:5000],
    "a.mzML": (CASES / "mzml-chromatogram" / "mini.chrom.mzML").read_bytes(),
    "a.mzML.gz": (CASES / "mzml-chromatogram" / "mini_numpress.chrom.mzML.gz").read_bytes(),
    "a.txt": (CASES / "platereader-gen5" / "endpoint_stdcurve_singleplate.txt").read_bytes(),
    "a-metadata.json": b'{"FileProperties": [{"name": "Creation date", "value": "02/27/2019 19:13:59"}]}',
}
PLATFORMS = {"a.mdoc": "serialem", "EpuSession.dm": "epu", EXPOSURE: "epu", "a.mrc": "mrc", "a.mrc.bz2": "mrc"}
PLATFORMS |= {"a.mzML": "mzml", "a.mzML.gz": "mzml", "a.txt": "gen5", "a-metadata.json": "opaque"}
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["cut", "flip", "put", "repeat", "drop"]), st.binary(min_size=1, max_size=9)
    ),
    min_size=1,
    max_size=4,
)
WORDS = (
    b"1e999",
    b"-1",
    b"nan",
    b"9" * 5000,
    b"=",
    b"\t",
    b"[ZValue = 99999999999]",
    b"0001-01-01T00:00:00+14:00",
    b"\0",
)


def mutated(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Return `data` cut, with bytes turned, put in, repeated or left out at the given shares of its length."""
    for share, what, piece in edits:
        at = int(share * len(data))
        word = WORDS[piece[0] % len(WORDS)] if piece[-1] % 2 else piece
        if what == "cut":
            data = data[:at]
        elif what == "flip" and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ piece[0]]) + data[at + 1 :]
        elif what == "put":
            data = data[:at] + word + data[at:]
        elif what == "repeat":
            data = data[:at] + data[max(0, at - 50) : at] * piece[0] + data[at:]
        else:
            data = data[:at] + data[at + len(piece) :]
    return data


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_a_damaged_file_gives_a_run_with_its_problems(
    tmp_path: Path, name: str, edits: list[tuple[float, str, bytes]]
) -> None:
    target = tmp_path / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(mutated(SEEDS[name], edits))
    if PLATFORMS[name] == "opaque":
        (tmp_path / "a.raw").write_bytes(b"\x01\xa1F\0i\0n\0n\0i\0g\0a\0n\0")
    if PLATFORMS[name] == "gen5":
        (tmp_path / "b.txt").write_bytes(SEEDS[name])
    run = read_run(tmp_path, PLATFORMS[name])
    assert run.platform == PLATFORMS[name]
    assert type(run).model_validate_json(run.model_dump_json()) == run
    assert all(problem.code.isupper() and problem.message for problem in run.problems)
    if name == "a.mrc":
        micrograph_preview(target)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=2000))
def test_any_bytes_at_all_are_answered(data: bytes) -> None:
    parse_mdoc(data, "f")
    parse_session(data, "f")
    parse_image(data, "f")
    parse_gen5(data, "f")
    parse_mrc_header(data.ljust(1024, b"\0"), None, "f")
    parse_sidecar(data, "f-metadata.txt")


HOSTILE = {
    "many sections": ("a.mdoc", b"[ZValue = 1]\n" * 1_200_000),
    "one long line": ("a.mdoc", b"[T = " + b"x" * 15_000_000),
    "many fields": ("a.mdoc", b"".join(b"k%d = 1\n" % n for n in range(1_000_000))),
    "many wells": ("a.txt", b"Software Version\t3\nPlate Type\nResults\n\t1\t2\n" + b"A\t1\t2\n" * 600_000),
    "one long row": ("a.txt", b"Software Version\t3\nPlate Type\nResults\n\t1\t2\nA" + b"\t1" * 2_000_000),
    "many plates": ("a.txt", b"Software Version\t3\nPlate Type\n" + b"Plate Number\tP\n" * 300_000),
    "many groups": (
        "a.mzML",
        b"<mzML><referenceableParamGroup id='g'>" + b"<cvParam accession='a' name='b'/>" * 50_000
        + b"</referenceableParamGroup><sourceFile>" + b"<referenceableParamGroupRef ref='g'/>" * 50_000,
    ),
    "one long attribute": ("a.mzML", b"<mzML id='" + b"x" * 20_000_000),
    "half a tag again and again": ("a.mzML", b"<mzML><run><spectrumList>" + b"<spectrumList MS:1000511' " * 300_000),
    "many references": ("EpuSession.dm", b"<EpuSessionXml>" + b"<a Ref='1' Id='1'/>" * 90_000 + b"</EpuSessionXml>"),
    "a long name": ("a-metadata.txt", b"n" * 2_000_000 + b"=1"),
    "a bomb": ("a.mrc.gz", gzip.compress(bytes(50_000_000))),
}  # fmt: skip


@pytest.mark.parametrize(("name", "data"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_cost_little_time(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "a.raw").write_bytes(b"\x01\xa1F\0i\0n\0n\0i\0g\0a\0n\0")
    started = time.process_time()
    run = read_run(tmp_path)
    assert time.process_time() - started < 4, "a second on a machine that does nothing else"
    assert len(run.problems) < 50
    assert len(run.model_dump_json()) < 10_000_000
