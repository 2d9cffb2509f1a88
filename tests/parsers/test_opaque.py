"""Formats that only their makers' programs read: recognised, kept whole with their side files, said to be opaque."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest
from run_folders import codes, put

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers import opaque
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.registry import detect, read_run
from labrelay.parsers.thermo_sidecar import parse_sidecar

THERMO = b"\x01\xa1F\0i\0n\0n\0i\0g\0a\0n\0" + bytes(100)
WIFF = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SIDECAR = {
    "FileProperties": [
        {"accession": "", "cvLabel": "", "name": "Creation date", "value": "02/27/2019 19:13:59"},
        {"name": "pathname", "value": r"C:\Users\jo\s1.raw"},
    ],
    "InstrumentProperties": [
        {
            "accession": "MS:1000494",
            "cvLabel": "MS",
            "name": "Thermo Scientific instrument model",
            "value": "Q Exactive",
        },
        {"accession": "MS:1000529", "cvLabel": "MS", "name": "instrument serial number", "value": "SN 0815"},
        {"name": "Software Version", "value": "2.8"},
    ],
    "MsData": [{"name": "Number of MS1 spectra", "value": "1431"}, {"name": "Number of MS2 spectra", "value": "9902"}],
}
SIDECAR_TEXT = r"""#FileProperties
pathname=C:\Users\jo\s1.raw
Creation date=02/27/2019 19:13:59
#InstrumentProperties
Instrument model=[MS, MS:1000494, Thermo Scientific instrument model, Q Exactive]
Instrument serial number=[MS, MS:1000529, instrument serial number, SN 0815]
Software version=[NCIT, NCIT:C111093, Software Version, 2.8]
#MsData
Number of MS1 spectra=1431
Number of MS2 spectra=9902
"""
KINDS = {
    "Thermo": ({"s1.raw": THERMO}, "a Thermo .raw file", "spectra"),
    "Bruker": ({"s1.d/analysis.tdf": b"x", "s1.d/1.m/a.method": b"x"}, "a Bruker .d folder", "spectra"),
    "Bruker FID": ({"s1.d/0_A1/1/fid": b"x"}, "a Bruker .d folder", "spectra"),
    "Agilent": ({"s1.D/AcqData/MSScan.bin": b"x", "s1.D/AcqData/a.xml": b"x"}, "an Agilent .d folder", "spectra"),
    "Waters": ({"s1.raw/_FUNC001.DAT": b"x", "s1.raw/_HEADER.TXT": b"x"}, "a Waters .raw folder", "spectra"),
    "Sciex": ({"s1.wiff": WIFF, "s1.wiff.scan": b"x"}, "a Sciex .wiff file", "spectra"),
    "Olympus": ({"s1.oir": b"OLYMPUSRAWFORMAT"}, "an Olympus .oir or .oib image", "image"),
    "Imaris": ({"s1.ims": b"\x89HDF\r\n\x1a\n" + bytes(50)}, "an Imaris .ims image", "image"),
    "Gatan": ({"s1.dm4": b"\0\0\0\4" + bytes(50)}, "a Gatan .dm3 or .dm4 image", "image"),
    "Velox": ({"s1.emd": b"\x89HDF\r\n\x1a\n" + bytes(50)}, "a Velox .emd image", "image"),
    "imzML": ({"s1.imzML": b"<mzML/>", "s1.ibd": b"x"}, "an imzML mass spectrometry image", "spectra"),
    "mzXML": ({"s1.mzXML": b"<mzXML/>"}, "an mzXML file, the older form of mzML", "spectra"),
}  # fmt: skip


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        put(root, path, data)
    return root


def roles(run: InstrumentRun) -> dict[str, tuple[str, str | None]]:
    return {file.path: (file.role.value, file.sample) for file in run.files}


@pytest.mark.parametrize(("files", "what", "role"), KINDS.values(), ids=KINDS)
def test_each_format_is_one_dataset_with_all_its_files(
    tmp_path: Path, files: dict[str, bytes], what: str, role: str
) -> None:
    root = folder(tmp_path / "batch 3", files)
    assert [found.platform for found in detect(root)] == ["opaque"]
    run = read_run(root)
    assert set(roles(run).values()) == {(role, "s1")}
    assert [unit.facts["format"] for unit in run.units] == [what]
    assert codes(run) == ["OPAQUE"]
    assert what in run.problems[0].message
    assert "reads it" in run.problems[0].message


def test_a_folder_that_is_itself_an_acquisition_can_be_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "s1.d", {"analysis.baf": b"x", "1.m/a": b"x"})
    run = read_run(root)
    assert (run.sample_labels, [unit.name for unit in run.units]) == (("s1",), ["s1.d"])


def test_many_acquisitions_in_one_folder_are_many_datasets_and_one_warning_a_format(tmp_path: Path) -> None:
    root = folder(tmp_path, {f"s{n}.raw": THERMO for n in range(5)} | {"w.raw/_FUNC001.DAT": b"x", "list.sld": b"x"})
    run = read_run(root)
    assert run.sample_labels == ("s0", "s1", "s2", "s3", "s4", "w")
    assert codes(run) == ["OPAQUE", "OPAQUE"]
    assert "(and 4 more)" in str([problem.message for problem in run.problems])


def test_two_acquisitions_of_one_name_are_two_datasets(tmp_path: Path) -> None:
    run = read_run(folder(tmp_path, {"mon/s1.raw": THERMO, "tue/s1.raw": THERMO}))
    assert run.sample_labels == ("mon_s1.raw", "tue_s1.raw")


def test_a_lone_wiff_and_an_imzml_without_its_spectra_are_refused(tmp_path: Path) -> None:
    run = read_run(folder(tmp_path, {"a.wiff": WIFF, "c.imzML": b"x"}))
    assert [(p.code, p.path) for p in run.problems if p.severity == "error"] == [
        ("MISSING_REFERENCE", "a.wiff"),
        ("MISSING_REFERENCE", "c.imzML"),
    ]


def test_empty_files_are_refused_and_other_first_bytes_told(tmp_path: Path) -> None:
    run = read_run(folder(tmp_path, {"a.ims": b"", "b.ims": b"something else", "c.raw": THERMO}))
    assert codes(run, "error") == ["ZERO_BYTE_FILE"]
    assert [p.path for p in run.problems if p.code == "UNUSUAL_CONTENT"] == ["b.ims"]


def test_a_raw_file_of_a_camera_alone_is_no_mass_spectrum(tmp_path: Path) -> None:
    assert detect(folder(tmp_path, {"IMG_1.raw": b"II*\0", "plain.d/readme": b"x"})) == []


@pytest.mark.parametrize("form", ["json", "txt"])
def test_notes_of_thermorawfileparser_give_the_runs_facts(tmp_path: Path, form: str) -> None:
    text = json.dumps(SIDECAR) if form == "json" else SIDECAR_TEXT
    run = read_run(folder(tmp_path, {"s1.raw": THERMO, f"s1-metadata.{form}": text.encode()}))
    assert (run.instrument_model, run.instrument_serial, run.software) == ("Q Exactive", "SN 0815", "2.8")
    assert (run.started, run.started_text) == (datetime(2019, 2, 27, 19, 13, 59), "02/27/2019 19:13:59")
    assert {metric.name: (metric.value, metric.scope) for metric in run.qc} == {
        "ms1_spectra": (1431, "s1"),
        "ms2_spectra": (9902, "s1"),
    }
    assert run.personal == {f"pathname s1-metadata.{form}": r"C:\Users\jo\s1.raw"}
    assert roles(run)[f"s1-metadata.{form}"] == ("run_metadata", None)


@pytest.mark.parametrize("data", [b"", b"[1, 2]", b'{"FileProperties": 3}', b"{", b"[" * 100_000])
def test_notes_that_are_none_refuse_nothing(data: bytes) -> None:
    sidecar, problems = parse_sidecar(data, "s1-metadata.json")
    assert (sidecar, [problem.code for problem in problems]) == (None, ["BAD_SIDECAR"])


def test_plain_images_between_them_are_datasets_of_their_own(tmp_path: Path) -> None:
    run = read_run(
        folder(tmp_path, {"gain.dm4": b"\0\0\0\4", "movie_1.tif": b"II*\0", "a.mrc": b"", "notes.txt": b"x"}), "opaque"
    )
    assert run.sample_labels == ("a", "gain", "movie_1")


def test_twenty_thousand_files_of_a_format_cost_little(tmp_path: Path) -> None:
    entries = tuple(Entry(name := f"s{n:06}.wiff2", 1, 0, name) for n in range(20_000))
    started = time.process_time()
    run = opaque.read(tmp_path, Listing(tmp_path, entries))
    assert time.process_time() - started < 8
    assert len(run.units) == 20_000
    assert len(run.problems) < 300


def test_a_better_known_platform_comes_first(tmp_path: Path) -> None:
    folder(tmp_path, {"s1.raw": THERMO, "s1.mzML": b"<mzML/>"})
    assert [found.platform for found in detect(tmp_path)] == ["mzml", "opaque"]
