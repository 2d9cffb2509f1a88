"""Exports of bench instruments that are recognised and kept, and which library would read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import codes, put

from labrelay.parsers.registry import detect, read_run

HEADS = {
    "SoftMax Pro": "##BLOCKS= 4\nPlate:\tPlate01\t1.3\n".encode("utf-16"),
    "QuantStudio": b"* Block Type = 384-Well Block\r\n* Calibration Background is expired  = Yes\r\n",
    "xPONENT": b'"Program","xPONENT","","FlexMAP 3D"\n',
    "EnVision": b"Plate information \nPlate,Repeat,Barcode\n",
    "Kaleido": b"\xef\xbb\xbfEnSight Results from\nProtocol Name,foo\n",
    "MARS": b"User: USER,Path: C:\\Program Files,Test run no.: 4\n",
    "NanoDrop Eight": "Application:\tRNA\nSerial number:\t\t1234\nng/µL\n".encode(),
    "Qubit 4": "Run ID,Assay Name,Test Name,Test Date,Qubit® tube conc.\n".encode(),
    "Lunatic": b"Plate ID,Plate Position,Sample Name,Application\n",
}


@pytest.mark.parametrize(("name", "head"), HEADS.items(), ids=HEADS)
def test_an_export_is_known_by_its_first_lines_and_kept_whole(tmp_path: Path, name: str, head: bytes) -> None:
    put(tmp_path, "s1.csv", head)
    assert [found.platform for found in detect(tmp_path)] == ["bench"]
    run = read_run(tmp_path)
    assert ([(f.role.value, f.sample) for f in run.files], codes(run)) == ([("measurement", "s1")], ["OPAQUE"])
    assert f"an export of {name}" in run.problems[0].message
    assert "allotropy" in run.problems[0].message


def test_many_exports_of_one_kind_are_told_once_and_other_texts_are_left_alone(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path, f"s{number}.txt", HEADS["SoftMax Pro"])
    put(tmp_path, "readme.txt", b"see the ##BLOCKS= below")
    run = read_run(tmp_path)
    assert (run.sample_labels, codes(run)) == (("s0", "s1", "s2"), ["OPAQUE"])


def test_a_table_of_somebody_is_no_export(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", b"sample,well\nA,B\n")
    put(tmp_path, "empty.txt", b"")
    assert detect(tmp_path) == []
