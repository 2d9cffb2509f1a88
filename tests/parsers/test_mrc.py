"""Headers of MRC files: modes, byte orders, old forms, and whether the file is as long as its header says."""

from __future__ import annotations

import gzip
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from mrc_files import fei, mrc
from run_folders import CASES, case, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known
from labrelay.parsers.mrc_header import MrcHeader, parse_mrc_header
from labrelay.parsers.registry import detect, read_run

EMD = CASES / "cryoem-mrc-emd3197" / "EMD-3197.map"
MODES = {0: 1.0, 1: 2.0, 2: 4.0, 3: 4.0, 4: 8.0, 6: 2.0, 12: 2.0, 16: 3.0, 101: 0.5}


def header_of(data: bytes, size: int | None = None) -> tuple[MrcHeader, list[str]]:
    header, problems = parse_mrc_header(data[:4096], len(data) if size is None else size, "x.mrc")
    assert header is not None
    return header, [problem.code for problem in problems]


def test_a_real_map_and_its_compressed_twin_give_their_known_facts() -> None:
    assert [found.platform for found in detect(CASES / "cryoem-mrc-emd3197")] == ["mrc"]
    run = case("cryoem-mrc-emd3197")
    for image in run.images:
        assert (image.size_x, image.size_y, image.size_z, image.pixel_type) == (20, 20, 20, "float")
        assert image.pixel_um == pytest.approx(0.00114)
    assert ([file.role for file in run.files], codes(run)) == ([FileRole.IMAGE] * 2, [])
    assert run.sample_labels == ("cryoem-mrc-emd3197",)
    assert run.raw["EMD-3197.map"]["space group"] == "1"
    alone = read_run(EMD)
    assert (alone.sample_labels, alone.completion.copied.value) == (("EMD-3197",), Known.YES)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "width"), MODES.items())
def test_each_mode_in_each_byte_order_has_its_length(mode: int, width: float, order: str) -> None:
    row = int(np.ceil(5 * width))
    data = mrc(bytes(row * 3 * 2), (5, 3, 2), mode, order)
    header, found = header_of(data)
    assert (header.expected, header.order, found) == (len(data), order, [])
    assert header_of(data, len(data) - 1)[1] == ["TRUNCATED"]
    assert header_of(data, len(data) + 1)[1] == ["SIZE_MISMATCH"]


def test_a_cut_file_is_refused_with_both_lengths(tmp_path: Path) -> None:
    put(tmp_path, "a.mrc", EMD.read_bytes()[:-100])
    run = read_run(tmp_path)
    [problem] = run.problems
    assert (problem.code, problem.path, problem.severity) == ("TRUNCATED", "a.mrc", "error")
    assert "32,924 of the 33,024 bytes" in problem.message
    assert (run.completion.copied.value, run.completion.copied.evidence) == (Known.NO, "a.mrc")
    put(tmp_path, "b.mrc", b"")
    assert codes(read_run(tmp_path), "error") == ["TRUNCATED", "TRUNCATED"]


def test_old_headers_without_the_mark_are_read_in_either_byte_order_and_with_3200_bytes() -> None:
    big = mrc(bytes(40), (5, 4, 1), 1, ">", stamp=False)
    data = mrc(bytes(40), (5, 4, 1), 1, stamp=False)
    assert (header_of(big)[0].order, header_of(data)[0].order) == (">", "<")
    longer = data[:1024] + bytes(3200 - 1024) + data[1024:]
    header, found = header_of(longer)
    assert (header.offset, found) == (3200, [])


def test_an_extended_header_of_fei_names_microscope_voltage_pixel_and_time(tmp_path: Path) -> None:
    data = mrc(bytes(20), (5, 4, 1), 0, cell=0.0, extended=fei(), kind=b"FEI1")
    header, found = header_of(data)
    assert header.fei is not None
    assert (header.fei.microscope, header.fei.serial, header.fei.software) == ("TITAN", "D3632", "EPU 3.9.1")
    assert (header.fei.volts, header.fei.tilt) == (300_000.0, 1.5)
    assert (header.offset, found) == (1024 + 768, [])
    assert header.pixel_um == pytest.approx(0.000106)
    put(tmp_path, "f.mrc", data)
    run = read_run(tmp_path)
    assert (run.instrument_model, run.started, codes(run)) == ("TITAN", datetime(2025, 1, 8, 12), [])


def test_bytes_that_imod_wrote_are_unsigned_unless_its_flag_says_otherwise() -> None:
    for flags, kind in ((0, "uint8"), (1, "int8")):
        data = bytearray(mrc(bytes(20), (5, 4, 1), 0))
        struct.pack_into("<2i", data, 152, 1146047817, flags)
        assert header_of(bytes(data))[0].pixel_type == kind
    assert header_of(mrc(bytes(20), (5, 4, 1), 0))[0].pixel_type == "int8"


def test_a_voxel_of_0_is_not_known_and_told(tmp_path: Path) -> None:
    put(tmp_path, "a.mrc", mrc(bytes(20), (5, 4, 1), 0, cell=0.0))
    run = read_run(tmp_path)
    assert (run.images[0].pixel_um, codes(run)) == (None, ["NO_PIXEL_SIZE"])


def test_stacks_movies_and_stacks_of_volumes_have_their_planes_in_the_right_place(tmp_path: Path) -> None:
    put(tmp_path, "movie.mrc", mrc(bytes(60), (5, 4, 3), 0))
    put(tmp_path, "volume.mrc", mrc(bytes(60), (5, 4, 3), 0, ispg=1))
    put(tmp_path, "volumes.mrc", mrc(bytes(120), (5, 4, 6), 0, ispg=401, mz=3))
    put(tmp_path, "particles.mrcs", mrc(bytes(60), (5, 4, 3), 0, ispg=1))
    planes = {image.name: (image.size_z, image.size_t) for image in read_run(tmp_path).images}
    assert planes == {"movie.mrc": (1, 3), "volume.mrc": (3, 1), "volumes.mrc": (3, 2), "particles.mrcs": (1, 3)}


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (struct.pack("<4i", 5, 4, 1, 77), "UNKNOWN_MODE"),
        (struct.pack("<4i", -5, 4, 1, 2), "BAD_HEADER"),
        (struct.pack("<4i", 1 << 23, 1 << 23, 1 << 23, 2), "BAD_HEADER"),
        (b"not an image at all", "BAD_HEADER"),
    ],
)
def test_what_is_no_header_is_told(head: bytes, code: str) -> None:
    header, problems = parse_mrc_header(head.ljust(1024, b"\0"), 2048, "x.mrc")
    assert (header, [problem.code for problem in problems]) == (None, [code])


def test_a_map_of_something_else_is_not_taken_for_one_and_gzip_is_looked_through(tmp_path: Path) -> None:
    put(tmp_path / "web", "bundle.js.map", b'{"version":3}')
    assert detect(tmp_path / "web") == []
    put(tmp_path / "gz", "a.mrc.gz", gzip.compress(EMD.read_bytes()))
    put(tmp_path / "gz", "broken.mrc.gz", b"no gzip")
    run = read_run(tmp_path / "gz")
    assert ([image.size_x for image in run.images], codes(run)) == ([20], ["TRUNCATED"])
    assert run.completion.copied.value is Known.NO
