from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import CASES

from labrelay.model.problem import Severity
from labrelay.parsers.samplesheet import SampleSheet, read_sample_sheet

V1 = "[Header]\nIEMFileVersion,5\n\n[Reads]\n151\n101\n\n[Settings]\nAdapter,ACGT\n\n[Data]\n"


def read(text: str | bytes, lanes: int | None = None) -> SampleSheet:
    return read_sample_sheet(text if isinstance(text, bytes) else text.encode(), "SampleSheet.csv", lanes)


def found(sheet: SampleSheet) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.line) for problem in sheet.problems]


@pytest.mark.parametrize(
    ("name", "version", "rows", "ids"),
    [
        ("samplesheet-v1-variants/paired-end-single-index.csv", "1", 7, 7),
        ("samplesheet-v1-variants/paired-end-single-index-no-pad.csv", "1", 7, 7),
        ("samplesheet-v1-variants/paired-end-single-index-with-manifest.csv", "1", 7, 7),
        ("samplesheet-v1-variants/single-end-colliding-sample-ids.csv", "1", 44, 11),
        ("samplesheet-v2-tso500-cloud/tso500-cloud-settings.csv", "2", 4, 4),
        ("samplesheet-v2-tso500-cloud/standard-sheet-with-settings.csv", "2", 2, 2),
        ("illumina-bclconvert-363-hybrid-sheet/Reports/SampleSheet.csv", "2", 8, 2),
    ],
)
def test_a_real_sheet_loses_no_row(name: str, version: str, rows: int, ids: int) -> None:
    sheet = read((CASES / name).read_bytes())
    assert (sheet.version, len(sheet.samples), len({s.sample_id for s in sheet.samples})) == (version, rows, ids)
    assert sheet.problems == ()


def test_the_sections_of_a_cloud_sheet_are_all_kept() -> None:
    sheet = read((CASES / "samplesheet-v2-tso500-cloud/tso500-cloud-settings.csv").read_bytes())
    assert sheet.sections[:5] == ("Header", "Reads", "Sequencing", "BCLConvert_Settings", "BCLConvert_Data")
    assert len(sheet.sections) == 9
    assert sheet.reads == {"Read1Cycles": 151, "Read2Cycles": 151, "Index1Cycles": 10, "Index2Cycles": 10}
    assert sheet.settings["SoftwareVersion"] == "2.1.1"


def test_a_row_keeps_its_line_and_all_its_fields() -> None:
    sheet = read(V1 + "Lane,Sample_ID,Sample_Name,index,index2,Sample_Project\n1,A,alpha,ACGT,TGCA,p\n\n2,B,,GGGG,,\n")
    first, second = sheet.samples
    assert (first.sample_id, first.name, first.lane, first.index, first.index2) == ("A", "alpha", 1, "ACGT", "TGCA")
    assert (first.project, first.barcode, first.line) == ("p", "ACGT+TGCA", 13)
    assert (second.name, second.barcode, second.line) == (None, "GGGG", 15)
    assert (sheet.header, sheet.settings) == ({"IEMFileVersion": "5"}, {"Adapter": "ACGT"})
    assert sheet.reads == {"Read1Cycles": 151, "Read2Cycles": 101}


def test_the_table_before_version_1_needs_no_section() -> None:
    head = "FCID,Lane,SampleID,SampleRef,Index,Description,Control,Recipe,Operator,SampleProject\n"
    sheet = read(head + "C8T,1,A,hg19,ACGTAC-TTGGCC,d,N,R1,me,proj\nC8T,2,A,hg19,ACGTAC-TTGGCC,d,N,R1,me,proj\n")
    assert sheet.version == "before-1"
    assert [(s.sample_id, s.lane, s.index, s.index2, s.project) for s in sheet.samples] == [
        ("A", 1, "ACGTAC", "TTGGCC", "proj"),
        ("A", 2, "ACGTAC", "TTGGCC", "proj"),
    ]
    assert sheet.problems == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_line_ends_marks_and_two_byte_text_change_nothing(end: str, encoding: str) -> None:
    text = (V1 + "Sample_ID,index\nÄ1,ACGT\n").replace("\n", end)
    sheet = read(text.encode(encoding))
    assert [(s.sample_id, s.line) for s in sheet.samples] == [("Ä1", 13)]
    assert sheet.problems == ()


def test_windows_text_is_read_with_a_warning() -> None:
    sheet = read((V1 + "Sample_ID,index\nMüller,ACGT\n").encode("cp1252"))
    assert sheet.samples[0].sample_id == "Müller"
    assert found(sheet) == [("ENCODING_GUESSED", None)]


def test_trailing_commas_and_quoted_commas_are_no_cells_of_their_own() -> None:
    sheet = read('[Header],,,\nIndex Adapters,"IDT, set B",,\n[Data],,,\nSample_ID,index,,\nA,ACGT,,\n,,,\n,,,\n')
    assert sheet.header["Index Adapters"] == "IDT, set B"
    assert [s.sample_id for s in sheet.samples] == ["A"]
    assert sheet.problems == ()


def test_semicolons_of_a_european_spreadsheet_are_understood() -> None:
    sheet = read("[Header];;\nDate;1;\n[Data];;\nLane;Sample_ID;index\n1;A;ACGT\n")
    assert [(s.sample_id, s.lane) for s in sheet.samples] == [("A", 1)]
    assert found(sheet) == [("DELIMITER_GUESSED", None)]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0", b"\r\n\r\n", b"[Header]\n", b"[Data]\nSample_ID,index\n", b"[Data]\n"]
)
def test_a_sheet_without_samples_is_refused(data: bytes) -> None:
    assert [code for code, _ in found(read(data))] == ["EMPTY_SHEET"]


def test_one_sample_on_many_rows_is_no_duplicate() -> None:
    sheet = read("[Data]\nLane,Sample_ID,index\n1,A,ACGT\n1,A,TGCA\n2,A,ACGT\n")
    assert len(sheet.samples) == 3
    assert sheet.problems == ()


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("1,A,ACGT\n1,B,ACGT\n", 4),
        ("1,A,ACGT\n1,A,acgt\n", 4),
        ("1,A,ACGT\n2,B,ACGT\n,C,ACGT\n", 5),
        (",A,ACGT\n2,B,ACGT\n", 4),
        ("1,A,\n1,B,\n", 4),
    ],
)
def test_two_rows_that_claim_the_same_reads_are_an_error(rows: str, line: int) -> None:
    sheet = read("[Data]\nLane,Sample_ID,index\n" + rows)
    assert found(sheet) == [("DUPLICATE_SAMPLE", line)]
    assert "line 3" in sheet.problems[0].message


def test_the_same_index_in_two_lanes_is_no_duplicate() -> None:
    assert read("[Data]\nLane,Sample_ID,index\n1,A,ACGT\n2,B,ACGT\n").problems == ()


def test_all_problems_of_a_sheet_come_at_once_with_their_lines() -> None:
    text = '[Data]\nLane,Sample_ID,index\n5,A,ACGT\nx,B,CCCC\n1,,GGGG\n1,C,TTTT,stray\n1,D\x07,AAAA\n1,"E,TATA\n'
    assert sorted(found(read(text, lanes=4)), key=str) == [
        ("BAD_LANE", 4),
        ("EXTRA_CELLS", 6),
        ("LANE_OUT_OF_RANGE", 3),
        ("NO_SAMPLE_ID", 5),
        ("UNBALANCED_QUOTE", 8),
        ("UNSAFE_NAME", 7),
    ]


def test_an_unclosed_quote_does_not_swallow_the_rows_below() -> None:
    sheet = read('[Data]\nSample_ID,index\n"A,ACGT\nB,TTTT\nC,GGGG\n')
    assert [s.sample_id for s in sheet.samples][1:] == ["B", "C"]


def test_a_formula_or_a_path_as_sample_name_stays_a_name() -> None:
    sheet = read("[Data]\nSample_ID,index\n=cmd()|' /C calc'!A0,ACGT\n../../etc/passwd,TTTT\n")
    assert [s.sample_id for s in sheet.samples] == ["=cmd()|' /C calc'!A0", "../../etc/passwd"]


def test_an_unknown_section_is_kept_and_told() -> None:
    sheet = read("[Lab]\nfreezer,7\n[Data]\nSample_ID,index\nA,ACGT\n")
    assert sheet.unknown == {"Lab": ("freezer,7",)}
    assert found(sheet) == [("UNKNOWN_SECTION", 1)]
    assert sheet.problems[0].severity is Severity.WARNING


def test_rows_in_both_tables_are_told_and_the_newer_table_is_used() -> None:
    sheet = read("[Data]\nSample_ID,index\nOLD,ACGT\n[BCLConvert_Data]\nSample_ID,index\nNEW,ACGT\n")
    assert [s.sample_id for s in sheet.samples] == ["NEW"]
    assert found(sheet) == [("HYBRID_SHEET", 1)]


def test_an_index_set_name_is_kept_and_is_no_barcode() -> None:
    sample = read("[Data]\nSample_ID,index\nA,SI-GA-G6\n").samples[0]
    assert (sample.index, sample.barcode) == ("SI-GA-G6", None)


@pytest.mark.parametrize("data", [b"hello\nworld\n", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"<xml/>"])
def test_what_is_no_sheet_is_said_to_be_none(data: bytes) -> None:
    assert "NOT_A_SHEET" in [code for code, _ in found(read(data))]


def test_two_hundred_thousand_rows_of_one_index_take_seconds_at_most() -> None:
    rows = "".join(f"{lane},S{lane},ACGT\n" for lane in range(1, 100_000))
    assert len(read("[Data]\nLane,Sample_ID,index\n" + rows).samples) == 99_999


CELL = st.sampled_from(
    ["[Data]", "[Header]", "Sample_ID", "Lane", "index", ",", ";", "\t", "\n", "\r", '"', "\0", "A", "1", "é", "\ufeff"]
)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_sheet_or_problems_and_never_an_exception(data: bytes) -> None:
    sheet = read(data)
    assert sheet.samples or sheet.problems


@given(st.lists(CELL, max_size=60).map("".join), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_any_mixture_of_the_signs_of_a_sheet_is_read_or_reported(text: str, encoding: str) -> None:
    sheet = read(text.encode(encoding, "replace"), lanes=4)
    assert sheet.samples or [p for p in sheet.problems if p.severity is Severity.ERROR]
    assert all(sample.line is not None for sample in sheet.samples)
