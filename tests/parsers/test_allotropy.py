"""Exports that allotropy reads in a Python of its own: values by well and sample, device and time, as a run.

Here a small stand-in takes the library's place below our own program in the child process; `make test-allotropy` adds
what is at the end, with the real one.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from run_folders import CASES, codes, put

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.parsers.allotropy import MAX_EXPORTS, VARIABLE
from labrelay.parsers.allotropy_child import facts_of
from labrelay.parsers.registry import read_run

REAL = os.environ.get("LABRELAY_TEST_ALLOTROPY")
STAND_IN = """
import enum, json, runpy, sys, types
class AllotropeConversionError(Exception): pass
Vendor = enum.Enum("Vendor", ["READER", "MOLDEV_SOFTMAX_PRO"])
def allotrope_from_file(path, vendor):
    print("a warning of the library")
    text = open(path, encoding="utf-8").read()
    if "##broken" in text: raise AllotropeConversionError("Expected a line\\nand more")
    return json.loads(text.partition("\\n")[2])
for name, held in (("", str), (".exceptions", AllotropeConversionError), (".parser_factory", Vendor),
                   (".to_allotrope", allotrope_from_file)):
    sys.modules["allotropy" + name] = types.SimpleNamespace(**{held.__name__: held})
assert sys.argv[1] == "-I"
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def measured(well: str, sample: str, **told: Any) -> dict[str, Any]:
    setting = {"detector wavelength setting": {"value": 450.0, "unit": "nm"}}
    control = {"device control aggregate document": {"device control document": [setting]}}
    return control | {"sample document": {"location identifier": well, "sample identifier": sample}} | told


def document(*measurements: dict[str, Any], time: str = "2024-04-11T17:27:15+00:00") -> dict[str, Any]:
    held = {"measurement time": time, "measurement document": list(measurements)}
    return {
        "plate reader aggregate document": {
            "device system document": {
                "model number": "M2",
                "equipment serial number": "SN7",
                "device identifier": "N/A",
            },
            "data system document": {"software name": "Soft", "software version": "7", "UNC path": "/home/a.person/x"},
            "plate reader document": [
                {"measurement aggregate document": held | {"plate well count": {"value": 96, "unit": "#"}}}
            ],
        }
    }


def amount(value: object, unit: str = "mAU") -> dict[str, object]:
    return {"value": value, "unit": unit}


PLATE = document(measured("A1", "s1", absorbance=amount(2.1)), measured("A2", "s2", absorbance=amount(0)))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(VARIABLE, str(program))


def folder(tmp_path: Path, *texts: str) -> Path:
    root = tmp_path / "plates"
    for number, text in enumerate(texts):
        put(root, f"p{number}.txt", text)
    return root


def export(found: dict[str, Any], head: str = "##BLOCKS= 1") -> str:
    return f"{head}\n{json.dumps(found)}"


@pytest.mark.usefixtures("library")
def test_an_export_is_read_as_the_vendor_that_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path, export(PLATE, "any text"))
    run = read_run(root / "p0.txt", "allotropy:READER")
    assert (run.run_id, run.platform, run.instrument_model, run.instrument_serial) == (
        "p0",
        "allotropy:READER",
        "M2",
        "SN7",
    )
    assert [(m.name, m.scope, m.value, m.unit) for m in run.qc] == [
        ("absorbance_450", "well A01", 2.1, "mAU"),
        ("absorbance_450", "well A02", 0, "mAU"),
    ]
    assert run.plate is not None
    assert (run.plate.rows, run.plate.columns, run.plate.wells) == (8, 12, ("A01", "A02"))
    # allotropy writes UTC where an export tells no zone.
    assert run.started is not None
    assert (run.started.tzinfo, run.started_text) == (None, "2024-04-11T17:27:15+00:00")
    assert [(file.sample, file.role.value) for file in run.files] == [("p0", "measurement")]
    assert "a.person" not in run.model_dump_json()


@pytest.mark.usefixtures("library")
def test_recognised_exports_have_their_values_without_a_vendor_being_named(tmp_path: Path) -> None:
    later = document(measured("A1", "s1", absorbance=amount(1)), time="2024-04-12T08:00:00-07:00")
    run = read_run(folder(tmp_path, export(PLATE), export(later)))
    assert run.platform == "bench"
    assert [unit.name for unit in run.units] == ["p0", "p1"]
    assert {m.scope: m.value for m in run.qc}["export 2 well A01"] == 1
    assert codes(run) == []


@pytest.mark.usefixtures("library")
def test_what_allotropy_does_not_read_is_told_and_kept_whole(tmp_path: Path) -> None:
    run = read_run(folder(tmp_path, export(PLATE), export(PLATE, "##BLOCKS= 1 ##broken")))
    (problem,) = run.problems
    assert (problem.code, problem.path) == ("NOT_THIS_EXPORT", "p1.txt")
    assert "does not read it as MOLDEV_SOFTMAX_PRO: Expected a line; it is kept whole" in problem.message
    assert len(run.files) == 2
    with pytest.raises(RefusedInput, match="allotropy has no vendor MOLDEV; there are MOLDEV_SOFTMAX_PRO, READER"):
        read_run(tmp_path / "plates", "allotropy:MOLDEV")
    alone = read_run(folder(tmp_path / "2", export(PLATE, "##BLOCKS= 1 ##broken")))
    assert codes(alone) == ["OPAQUE"]
    assert alone.qc == ()


def test_without_the_library_a_vendor_is_a_mistake_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingTool, match="then LABRELAY_ALLOTROPY=DIR/bin/python"):
        read_run(folder(tmp_path, export(PLATE)), "allotropy:READER")
    assert codes(read_run(tmp_path / "plates")) == ["OPAQUE"]


@pytest.mark.usefixtures("library")
def test_very_many_exports_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.parsers.allotropy.MAX_EXPORTS", 2)
    run = read_run(folder(tmp_path, *[export(PLATE)] * 3))
    assert (codes(run), len(run.units), len(run.files)) == (["NOT_ALL_READ"], 2, 3)
    assert MAX_EXPORTS == 20


def test_a_value_that_is_none_stays_none_and_names_tell_what_was_measured() -> None:
    bead = {"analyte name": "IL-6", "assay bead count": amount(12, "#"), "x data cube": {"value": 1, "unit": "s"}}
    found = facts_of(
        document(
            measured("A1", "s", absorbance=amount(-0.0), error=amount(1)),
            measured("1", "s", absorbance=amount("OVRFLW")),
            measured("A3", "s", **{"analyte aggregate document": {"analyte document": [bead]}}),
        )
    )
    told = [(value["well"], value["name"], value["value"]) for value in found["values"]]
    # Minus zero is what allotropy writes for a value that is no number.
    assert told[:2] == [("A1", "absorbance", None), ("1", "absorbance", None)]
    assert ("A3", "assay bead count IL-6", 12) in told
    assert found["wells"] == 96


if REAL:

    def test_the_real_library_reads_of_gen5_what_our_own_reader_does(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, str(REAL))
        for path in sorted((CASES / "platereader-gen5").iterdir()):
            theirs = {(m.scope, m.value) for m in read_run(path, "allotropy:AGILENT_GEN5").qc}
            # Our reader has what Gen5 computed from the readings, too.
            ours = {(m.scope, m.value) for m in read_run(path, "gen5").qc}
            assert len(theirs) == 96
            assert theirs <= ours
