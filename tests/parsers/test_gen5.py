"""Gen5's text exports: wells with values, wells without one, dates of two countries, several plates."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from run_folders import CASES, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers.gen5_text import parse_gen5
from labrelay.parsers.registry import detect, read_run

GEN5 = CASES / "platereader-gen5"
PLAIN = GEN5 / "abs450_96well_non_numeric_values.txt"
CURVE = GEN5 / "endpoint_stdcurve_singleplate.txt"
ROW = "A\t1.5\t2,5\tOD:600\n"


def export(date: str = "2024-02-03", clock: str = "17:05:06", rows: str = ROW) -> str:
    return (
        f"Software Version\t3.12.08\n\nPlate Number\tPlate 7\nDate\t{date}\nTime\t{clock}\nReader Type:\tSynergy 2\n"
        f"Reader Serial Number:\t00123\n\nProcedure Details\n\nPlate Type\t96 WELL PLATE\n\nResults\n\t1\t2\n{rows}"
    )


def value_of(run: InstrumentRun, name: str, scope: str) -> float | None:
    [metric] = [each for each in run.qc if (each.name, each.scope) == (name, scope)]
    return metric.value


def test_a_real_export_gives_its_wells_and_its_reader() -> None:
    run = read_run(PLAIN)
    assert (run.platform, run.instrument_model, run.instrument_serial) == ("gen5", "Synergy H1", None)
    assert (run.software, run.started) == ("Gen5 3.12.08", datetime(2024, 4, 11, 17, 27, 15))
    assert run.started_text == "4/11/2024 5:27:15 PM"
    assert run.plate is not None
    assert (run.plate.id, run.plate.rows, run.plate.columns, len(run.plate.wells)) == ("Plate 1", 8, 12, 96)
    assert (run.files[0].role, run.sample_labels) == (FileRole.MEASUREMENT, ("abs450_96well_non_numeric_values",))
    assert value_of(run, "abs450_450", "well A01") == 2.1
    assert value_of(run, "abs450_450", "well H12") == 2.5
    assert run.completion.acquired.value is Known.YES


def test_ovrflw_and_missed_are_no_numbers_and_never_0() -> None:
    run = read_run(PLAIN)
    for well in ("A08", "H01", "D12"):
        assert value_of(run, "abs450_450", f"well {well}") is None
    told = {each.line: each.message for each in run.problems if each.code == "NO_NUMBER"}
    assert list(told) == [31, 34]
    assert told[31].startswith("8 wells have OVRFLW and no number: A08, B07")
    assert codes(run) == ["AMBIGUOUS_DATE", "NO_NUMBER", "NO_NUMBER"]


def test_several_values_a_well_keep_their_names_and_the_layout_its_samples() -> None:
    [plate], problems = parse_gen5(CURVE.read_bytes(), CURVE.name)
    assert (len(plate.values), problems) == (288, ())
    assert (plate.layout["A01"], plate.layout["H03"], plate.layout["H12"]) == ("STD1", "BLK", "SPL6:4")
    run = read_run(CURVE)
    assert value_of(run, "630nmabsread_630", "well A01") == 3.337
    assert value_of(run, "blank_630nmabsread_630", "well A01") == 3.336
    assert value_of(run, "concentration", "well H12") == 115.184
    assert (run.instrument_model, run.started, codes(run)) == (None, datetime(2022, 10, 10, 21, 0, 4), [])


def test_folders_on_the_computer_of_the_reader_are_personal() -> None:
    run = read_run(PLAIN)
    assert list(run.personal.values()) == [r"C:\Users\Public\Documents\Protocols\20240411_abs450_96well.prt"]
    assert "C:" not in str(run.raw)


def test_a_folder_of_exports_has_a_part_a_plate_and_no_two_metrics_alike() -> None:
    assert [found.platform for found in detect(GEN5)] == ["gen5"]
    run = read_run(GEN5)
    assert [unit.kind for unit in run.units] == ["plate", "plate"]
    assert run.plate is None
    assert len({(metric.name, metric.scope) for metric in run.qc}) == len(run.qc) == 96 + 288


def test_a_file_of_two_plates_has_both(tmp_path: Path) -> None:
    second = export().partition("\n\n")[2].replace("Plate 7", "Plate 8").replace("1.5", "9")
    put(tmp_path, "a.txt", export() + "\n" + second)
    run = read_run(tmp_path)
    assert [unit.name for unit in run.units] == ["a Plate 7", "a Plate 8"]
    assert (value_of(run, "od_600", "plate 1 well A01"), value_of(run, "od_600", "plate 2 well A01")) == (1.5, 9)


@pytest.mark.parametrize(
    ("date", "clock", "expected", "code"),
    [
        ("2024-02-03", "17:05:06", "2024-02-03T17:05:06", []),
        ("03.02.2024", "17:05", "2024-02-03T17:05:00", []),
        ("25/02/2024", "12:00:00 AM", "2024-02-25T00:00:00", []),
        ("2/25/24", "12:30:00 PM", "2024-02-25T12:30:00", []),
        ("2/3/2024", "1:00:00 PM", "2024-02-03T13:00:00", ["AMBIGUOUS_DATE"]),
        ("31/31/2024", "", None, ["UNKNOWN_DATE"]),
        ("gestern", "", None, ["UNKNOWN_DATE"]),
        ("", "", None, []),
    ],
)
def test_dates_of_several_countries(
    tmp_path: Path, date: str, clock: str, expected: str | None, code: list[str]
) -> None:
    run = read_run(put(tmp_path, "a.txt", export(date, clock)))
    assert (run.started.isoformat() if run.started else None, codes(run)) == (expected, code)


def test_numbers_with_a_comma_utf_16_and_rows_beyond_z(tmp_path: Path) -> None:
    rows = "A\t1.5\t2,5\tOD:600\nAF\t\t-0.000\tOD:600\nB\tnan\t1e999\tOD:600\n"
    run = read_run(put(tmp_path, "a.txt", export(rows=rows).encode("utf-16")))
    found = {metric.scope: metric.value for metric in run.qc}
    assert found == {"well A01": 1.5, "well A02": 2.5, "well AF02": 0, "well B01": None, "well B02": None}
    assert (run.instrument_serial, codes(run)) == ("00123", ["NO_NUMBER", "NO_NUMBER"])


@pytest.mark.parametrize(("axis", "unit"), [("Time", "0:04:00"), ("Wavelength", "450")])
def test_a_table_over_time_or_wavelength_is_counted_and_told(tmp_path: Path, axis: str, unit: str) -> None:
    table = f"\nGrowth\n\n{axis}\tT\u00b0 OD:600\tA1\tH12\n" + f"{unit}\t37\t0.1\tOVRFLW\n" * 3 + "\n"
    run = read_run(put(tmp_path, "a.txt", export(rows="") + table))
    [problem] = run.problems
    assert (problem.code, problem.line) == ("NOT_READ", 18)
    assert f"the table Growth (3 points over {axis.lower()} of 2 wells)" in problem.message
    assert run.plate is not None
    assert (run.plate.wells, run.qc) == (("A01", "H12"), ())


def test_tables_without_the_word_results_are_read_and_one_without_a_label_is_called_by_its_title(
    tmp_path: Path,
) -> None:
    layout = "Layout\n\t1\t2\nA\tSTD1\tSPL1\tWell ID\n\n"
    tables = "660\n\t1\t2\nA\t0.044\t*0.356*\t660\n\nRatio\n\t1\t2\nA\t5\t<0.000\n"
    run = read_run(put(tmp_path, "a.txt", export(rows="").removesuffix("Results\n\t1\t2\n") + layout + tables))
    found = {(metric.name, metric.scope): metric.value for metric in run.qc}
    assert found == {
        ("660", "well A01"): 0.044,
        ("660", "well A02"): None,
        ("ratio", "well A01"): 5,
        ("ratio", "well A02"): None,
    }
    assert run.raw["a.txt"]["layout"] == "A01 STD1, A02 SPL1"
    assert codes(run) == ["NO_NUMBER", "NO_NUMBER"]


def test_an_export_without_a_table_of_wells_is_told(tmp_path: Path) -> None:
    assert codes(read_run(put(tmp_path, "a.txt", export(rows="")))) == ["NO_VALUES"]


def test_another_text_file_is_no_export(tmp_path: Path) -> None:
    put(tmp_path, "readme.txt", "Software Version\t3\nnothing of a reader\n")
    put(tmp_path, "b.txt", b"\x00\x01\x02")
    assert detect(tmp_path) == []
