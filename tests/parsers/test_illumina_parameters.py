"""RunParameters.xml in the dialect of each family of instruments, and the dates that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import CASES, case, codes, illumina_run, mates, put

from labrelay.parsers.illumina_models import finer_model, model_of_serial
from labrelay.parsers.illumina_parameters import MOST, RunParameters, parse_run_parameters
from labrelay.parsers.illumina_runinfo import parse_run_info
from labrelay.parsers.illumina_times import end_of_base_calling, start_of
from labrelay.parsers.personal import is_personal
from labrelay.parsers.registry import read_run

# Written for this test with the tags and values that these instruments write, where no real file may be shipped.
HISEQ = """<RunParameters><Setup><Flowcell>HiSeq Rapid Flow Cell v1</Flowcell><RunMode>RapidRun</RunMode>
<ApplicationName>HiSeq Control Software</ApplicationName><ApplicationVersion>2.2.38</ApplicationVersion>
<RunID>141110_D00267_0193_BHAMVRADXX</RunID><RunStartDate>141110</RunStartDate><ScannerID>D00267</ScannerID>
<ComputerName>HWI-D00267</ComputerName><RTAVersion>1.18.61</RTAVersion><Barcode>HAMVRADXX</Barcode>
<FCPosition>B</FCPosition><BaseSpaceSettings><Username>somebody@example.org</Username></BaseSpaceSettings>
</Setup></RunParameters>"""
NEXTSEQ_2000 = r"""<RunParameters><PlannedCycles><Read1>101</Read1><Index1>10</Index1></PlannedCycles>
<CompletedCycles><Read1>101</Read1><Index1>10</Index1></CompletedCycles>
<InstrumentSerialNumber>VH00120</InstrumentSerialNumber>
<ApplicationName>NextSeq 1000/2000 Control Software</ApplicationName>
<ApplicationVersion>1.1.0.27334</ApplicationVersion>
<FlowCellSerialNumber>AAACWM2M5</FlowCellSerialNumber><FlowCellMode>NextSeq 2000 P3</FlowCellMode>
<RtaVersion>3.6.14</RtaVersion><RunStartTime>2020-06-02T01:46:25.8840085Z</RunStartTime>
<RunEndTime>2020-06-03T00:58:01.1511824Z</RunEndTime><OutputFolder>\\nas\runs\200602</OutputFolder></RunParameters>"""
I100 = """<RunParameters><Application>MiSeqi100Series Control Software</Application>
<SystemSuiteVersion>1.1.0.26158</SystemSuiteVersion><OutputFolder>/mnt/usb/run</OutputFolder>
<InstrumentType>MiSeqi100Plus</InstrumentType><InstrumentSerialNumber>SH01140</InstrumentSerialNumber>
<RunId>20260312_SH01140_0005_ASC2177698-SC3</RunId><ConsumableInfo>
<ConsumableInfo><SerialNumber>SC2177698-SC3</SerialNumber><Type>DryCartridge</Type></ConsumableInfo>
<ConsumableInfo><SerialNumber>BXA66715-2010</SerialNumber><Type>FlowCell_1</Type><Name>5M</Name></ConsumableInfo>
</ConsumableInfo></RunParameters>"""


@dataclass(frozen=True)
class Told:
    model: str | None
    serial: str | None
    software: str | None
    flow_cell: str | None
    kind: str | None = None
    position: str | None = None
    ended: str | None = None


def parsed(text: str | bytes) -> RunParameters:
    return parse_run_parameters(text if isinstance(text, bytes) else text.encode(), "RunParameters.xml")[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HISEQ, Told("HiSeq", "D00267", "HiSeq Control Software 2.2.38, RTA 1.18.61", "HAMVRADXX",
                     "HiSeq Rapid Flow Cell v1", "B")),
        (NEXTSEQ_2000, Told("NextSeq 1000/2000", "VH00120",
                            "NextSeq 1000/2000 Control Software 1.1.0.27334, RTA 3.6.14", "AAACWM2M5",
                            "NextSeq 2000 P3", None, "2020-06-03T00:58:01.151182+00:00")),
        (I100, Told("MiSeq i100 Plus", "SH01140", "MiSeqi100Series Control Software 1.1.0.26158", "BXA66715-2010",
                    "5M")),
    ],
    ids=["HiSeq 2500", "NextSeq 2000", "MiSeq i100"],
)  # fmt: skip
def test_the_dialects_without_a_shipped_file_are_read(text: str, told: Told) -> None:
    found = parsed(text)
    ended = found.ended.isoformat() if found.ended else None
    assert told == Told(
        found.model, found.serial, found.software, found.flow_cell, found.flow_cell_type, found.position, ended
    )


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("illumina-iseq100-2022/20220912_FS10001773_27_BSE39218-1017",
         Told("iSeq 100", "FS10001773", "iSeq Control Software 2.0.0.661, RTA 2.12.6.0", "BSE39218-1017",
              ended="2022-09-13T18:30:21+00:00")),
        ("illumina-miseq-2014-single-read-interop/140211_M00612_0148_000000000-A7M8N",
         Told("MiSeq", "M00612", "MiSeq Control Software 2.3.0.3, RTA 1.18.42", "000000000-A7M8N",
              ended="2014-02-11T17:25:13")),
        ("illumina-miseq-2023/231108_M04586_0992_000000000-L7342",
         Told("MiSeq", "M04586", "MiSeq Control Software 3.1.0.13, RTA 1.18.54.4", "000000000-L7342",
              ended="2023-11-09T16:47:44")),
        ("illumina-nextseq500-2016-interop/160404_NS500318_0141_AHW37NBGXX",
         Told("NextSeq 500/550", "NS500318", "NextSeq Control Software 2.0.2.1, RTA 2.4.11", "HW37NBGXX",
              "NextSeq High")),
        ("illumina-novaseq6000-2018-s2/180619_A00291_0044_BH5WJJDMXX",
         Told("NovaSeq 6000", "A00291", "NovaSeq Control Software 1.4.0, RTA 3.3.3", "H5WJJDMXX", "S2", "B")),
        ("illumina-novaseq6000-empty-sheet/210601_A00291_0371_AHF2HCDRXY",
         Told("NovaSeq 6000", "A00291", "NovaSeq Control Software 1.7.5, RTA 3.4.4", "HF2HCDRXY", "SP", "A")),
        ("illumina-novaseqx-2023-8lane/231215_LH00444_0031_B222WHFLT4",
         Told("NovaSeq X Plus", "LH00444", "NovaSeqXSeries Control Software 1.2.0.28691", "222WHFLT4", "25B", "B")),
        ("illumina-hiseq4000-2016/160726_K00166_0120_BHCVH2BBXX",
         Told("HiSeq 3000/4000", "K00166", None, "HCVH2BBXX", None, "B")),
        ("samplesheet-hiseqx-legacy/150424_ST-E00214_0031_BH2WY7CCXX",
         Told("HiSeq X", "ST-E00214", None, "H2WY7CCXX", None, "B")),
    ],
    ids=lambda value: value.split("/")[0] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_real_folder_tells_software_flow_cell_side_and_end(path: str, told: Told) -> None:
    run = case(path)
    ended = run.ended.isoformat() if run.ended else None
    assert told == Told(run.instrument_model, run.instrument_serial, run.software, run.flow_cell, run.flow_cell_type,
                        run.position, ended)  # fmt: skip


def test_people_machines_and_folders_are_kept_apart_from_what_is_kept() -> None:
    found = parsed(HISEQ)
    assert set(found.personal) == {"Setup.ComputerName", "BaseSpaceSettings.Username"}
    assert found.raw["Setup.RunMode"] == "RapidRun"
    assert parsed(NEXTSEQ_2000).personal == {"OutputFolder": r"\\nas\runs\200602"}
    assert not {"OutputFolder", "Setup.ComputerName"} & set(found.raw)


def test_the_lots_of_all_reagents_are_kept_as_text() -> None:
    raw = case("illumina-novaseqx-2023-8lane/231215_LH00444_0031_B222WHFLT4").raw["RunParameters.xml"]
    assert (raw["Reagent.LotNumber"], raw["FlowCell.LotNumber"]) == ("20788826", "20792309")
    assert raw["ExperimentName"] == "PE150_25B_ComboB"
    assert len(raw) <= MOST


def test_an_investigator_of_the_sheet_is_personal_and_the_assay_is_not(tmp_path: Path) -> None:
    sheet = "[Header]\nInvestigator Name,A. Person\nAssay,TruSeq\n[Data]\nSample_ID,index\nA,ACGT\n"
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001"), sheet))
    assert run.personal == {"SampleSheet.csv: Investigator Name": "A. Person"}
    assert run.raw["SampleSheet.csv"] == {"Assay": "TruSeq"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Username", "sbsuser", True),
        ("ComputerName", "BS-DSFCONTROL05", True),
        ("OutputFolder", r"\\server\share", True),
        ("Anything", r"D:\Illumina", True),
        ("Anything", "mail me: a.b@c-d.example.org", True),
        ("NumberOfReuseRemaining", "1", False),
        ("Version", "novaseq_flu@NovaSeq_1.26.1", False),
        ("ExperimentName", "RU3284:::/locus/data/run_data//3270/3284", False),
    ],
)
def test_what_tells_of_people_or_machines_is_known_by_name_or_text(name: str, text: str, expected: bool) -> None:
    assert is_personal(name, text) is expected


def test_figures_of_the_instrument_become_quality_with_their_file() -> None:
    run = case("illumina-nextseq500-2016-interop/160404_NS500318_0141_AHW37NBGXX")
    told = {(metric.name, metric.source): metric.value for metric in run.qc}
    assert told["clusters_pf_percent", "RunCompletionStatus.xml"] == pytest.approx(93.07328)
    iseq = case("illumina-iseq100-2022/20220912_FS10001773_27_BSE39218-1017")
    assert ("q30_percent", 92.24359, "read 1") in [(m.name, m.value, m.scope) for m in iseq.qc]


def test_the_error_that_ended_a_run_is_told(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    status = "<RunCompletionStatus><RunStatus>RunErrored</RunStatus><RunError><Message>I/O failed</Message></RunError>"
    put(root, "RunCompletionStatus.xml", status + "</RunCompletionStatus>")
    (problem,) = [p for p in read_run(root).problems if p.code == "NOT_AS_PLANNED"]
    assert "RunErrored (I/O failed)" in problem.message


@pytest.mark.parametrize(
    ("serial", "model"),
    [("LH00444", "NovaSeq X"), ("VH00384", "NextSeq 1000/2000"), ("ST-E00266", "HiSeq X"), ("SN815", "HiSeq 2000/2500"),
     ("MN00123", "MiniSeq"), ("M04586", "MiSeq"), ("SH01038", "MiSeq i100"), ("ZZ9", None), (None, None)],
)  # fmt: skip
def test_a_serial_number_tells_the_model(serial: str | None, model: str | None) -> None:
    assert model_of_serial(serial) == model


def test_the_software_of_all_hiseqs_has_one_name_and_the_serial_tells_which() -> None:
    assert finer_model("HiSeq", "K00166") == "HiSeq 3000/4000"
    assert finer_model("NovaSeq X Plus", "LH00444") == "NovaSeq X Plus"


@pytest.mark.parametrize(
    ("run_id", "text", "expected", "code"),
    [
        ("210601_A00291_0371_AH", "6/1/2021 11:05:11 AM", "2021-06-01T11:05:11", None),
        ("210601_A00291_0371_AH", "1/6/2021 11:05:11", "2021-06-01T11:05:11", "AMBIGUOUS_DATE"),
        ("no-date-in-it", "1/6/2021 11:05:11", "2021-01-06T11:05:11", "AMBIGUOUS_DATE"),
        ("no-date-in-it", "1/16/2021 11:05:11", "2021-01-16T11:05:11", None),
        ("231215_LH00444_0031_B2", "2023-12-16T07:36:45Z", "2023-12-16T07:36:45+00:00", None),
        ("231215_LH00444_0031_B2", "2024-12-16T07:36:45Z", "2024-12-16T07:36:45+00:00", "AMBIGUOUS_DATE"),
    ],
)
def test_a_date_that_can_be_read_in_two_ways_is_decided_by_the_runs_id(
    run_id: str, text: str, expected: str, code: str | None
) -> None:
    from labrelay.parsers.text import to_datetime

    started, problems = start_of(run_id, to_datetime(text), text, "RunInfo.xml")
    assert started is not None
    assert started.isoformat() == expected
    assert [problem.code for problem in problems] == ([code] if code else [])


@pytest.mark.parametrize(
    ("text", "started", "expected"),
    [
        ("2/11/2014,17:25:13.217,Illumina RTA 1.18.42", "2014-02-11", "2014-02-11T17:25:13"),
        ("RTA 2.12.6.0 completed on 9/13/2022 11:30:08 AM", "2022-09-12", "2022-09-13T11:30:08"),
        ("3/2/2014,17:25:13.217,Illumina RTA 1.18.42", "2014-02-02", "2014-03-02T17:25:13"),
        ("12/2/2014,17:25:13.217,Illumina RTA 1.18.42", "2014-02-11", "2014-02-12T17:25:13"),
        ("12/30/2019,17:25:13.217,Illumina RTA 1.18.42", "2014-02-11", None),
        (" ", "2014-02-11", None),
    ],
)
def test_the_end_of_base_calling_is_read_from_the_marker(text: str, started: str, expected: str | None) -> None:
    ended = end_of_base_calling(text, datetime.fromisoformat(started))
    assert (ended.isoformat() if ended else None) == expected


def test_a_sheet_that_only_names_another_leads_to_that(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"), "C:\\sheets\\SampleSheet_real.csv\r\n")
    assert codes(read_run(root), "error") == ["MISSING_REFERENCE"]
    put(root, "SampleSheet_real.csv", "[Data]\nSample_ID,index\nA,ACGT\n")
    run = read_run(root)
    assert [sample.sample_id for sample in run.samples] == ["A"]
    assert codes(run) == ["REDIRECTED_SHEET"]


def test_a_copy_of_the_sheet_is_silent_and_one_with_other_samples_is_told(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    put(root, "SampleSheet.csv.0", (root / "SampleSheet.csv").read_bytes())
    assert codes(read_run(root)) == []
    put(root, "SampleSheet.csv.1", "[Data]\nSample_ID,index\nB,ACGT\n")
    assert [(p.code, p.path) for p in read_run(root).problems] == [("SHEETS_DIFFER", "SampleSheet.csv.1")]


def test_a_sheet_of_another_name_is_used_and_the_first_of_several_with_a_word(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"), sheet=None)
    put(root, "L7342_samplesheet.csv", "[Data]\nSample_ID,index\nA,ACGT\n")
    assert codes(read_run(root)) == []
    put(root, "M_SampleSheet.csv", "[Data]\nSample_ID,index\nA,ACGT\n")
    run = read_run(root)
    assert (codes(run), [s.sample_id for s in run.samples]) == (["SEVERAL_SHEETS"], ["A"])


@pytest.mark.parametrize(
    ("row", "words"),
    [("ACGTACGTACGTACGT,", "16 bases, more than its 12 cycles"), ("ACGT,ACGT", "an index 2, and the run has no such")],
)
def test_an_index_that_the_run_did_not_read_is_told_at_its_line(tmp_path: Path, row: str, words: str) -> None:
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001"), f"[Data]\nSample_ID,index,index2\nA,{row}\n"))
    (problem,) = run.problems
    assert (problem.code, problem.line) == ("INDEX_LENGTH", 3)
    assert words in problem.message


def test_a_read_of_no_cycles_in_a_version_2_sheet_is_told(tmp_path: Path) -> None:
    sheet = "[Header]\nFileFormatVersion,2\n[Reads]\nRead2Cycles,0\n[BCLConvert_Data]\nSample_ID,Index\nA,ACGT\n"
    assert codes(read_run(illumina_run(tmp_path, mates("A_S1_L001"), sheet))) == ["ZERO_CYCLES"]


REAL = sorted(p.read_bytes() for p in CASES.rglob("*") if p.name.lower() in ("runinfo.xml", "runparameters.xml"))


@given(st.integers(0, len(REAL) - 1), st.data())
def test_damaged_run_files_give_facts_or_problems_and_never_an_exception(which: int, data: st.DataObject) -> None:
    real = REAL[which]  # by its number: an example is printed when it fails
    place = data.draw(st.integers(0, len(real)))
    noise = data.draw(st.binary(max_size=20))
    damaged = real[:place] + noise + real[place + data.draw(st.integers(0, 40)) :]
    info, problems = parse_run_info(damaged, "RunInfo.xml")
    assert info is not None or problems
    parameters, _ = parse_run_parameters(damaged, "RunParameters.xml")
    assert all(len(text) <= 500 for text in parameters.raw.values())
