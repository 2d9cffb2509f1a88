"""The traps that public tools have stepped into with Illumina folders, by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import BASECALLS, CASES, case, codes, illumina_run, mates, put

from labrelay.model.instrument import Known
from labrelay.parsers import illumina_reports
from labrelay.parsers.conversion import adapter_metrics, bcl2fastq_metrics, bcl_convert_metrics
from labrelay.parsers.lane_balance import hopping_metrics, unknown_of_report, unknown_of_stats
from labrelay.parsers.registry import read_run
from labrelay.parsers.samplesheet import read_sample_sheet

NOVASEQ_X = "20231215_LH00444_0031_B222WHFLT4"
I100 = "20260205_SH01038_0007_ASC2139476-SC3"
DONE = "Data/Secondary_Analysis_Complete.txt"


def novaseq_x(parent: Path, *files: str) -> Path:
    reads = mates("A_S1_L001", "Analysis/1/Data/BCLConvert/fastq")
    return illumina_run(
        parent, [*reads, *files], markers=("RTAComplete.txt", "CopyComplete.txt"), run_id=NOVASEQ_X, serial="LH00444"
    )


def test_the_copy_marker_of_the_run_says_nothing_of_an_onboard_conversion_that_ends_later(tmp_path: Path) -> None:
    root = novaseq_x(tmp_path)
    run = read_run(root)
    assert (run.completion.converted.value, run.completion.converted.evidence) == (Known.NO, "Analysis/1")
    put(root, f"Analysis/1/{DONE}")
    run = read_run(root)
    assert run.completion.converted.value is Known.YES
    assert (run.completion.copied.value, run.completion.copied.evidence) == (Known.NO, "Analysis/1")
    put(root, "Analysis/1/CopyComplete.txt")
    run = read_run(root)
    assert (run.completion.copied.value, run.completion.copied.evidence) == (Known.YES, "CopyComplete.txt")
    assert codes(run) == []


def test_reads_that_the_manifest_lists_and_that_are_not_there_have_not_arrived(tmp_path: Path) -> None:
    root = novaseq_x(tmp_path, f"Analysis/1/{DONE}", "Analysis/1/CopyComplete.txt")
    names = ["A_S1_L001_R1_001", "A_S1_L001_R2_001", "B_S2_L001_R1_001"]
    rows = "".join(f"Data/BCLConvert/fastq/{name}.fastq.gz\tabc\n" for name in names)
    put(root, "Analysis/1/Manifest.tsv", rows + "Data/summary.json\tdef\n../../../etc/passwd\tx\n")
    run = read_run(root)
    (problem,) = [p for p in run.problems if p.code == "COUNT_MISMATCH"]
    assert "lists 1 file of reads that is not there" in problem.message
    assert "B_S2_L001_R1_001" in problem.message
    assert run.completion.copied.value is Known.NO
    put(root, "Analysis/1/Data/BCLConvert/fastq/B_S2_L001_R1_001.fastq.gz")
    assert read_run(root).completion.copied.value is Known.YES


@pytest.mark.parametrize(("settings", "told"), [("", 1), ("[Settings]\nOverrideCycles,Y151;I12;N151\n", 0)])
def test_a_recipe_of_two_reads_tells_that_no_sample_has_its_second(tmp_path: Path, settings: str, told: int) -> None:
    sheet = f"{settings}[Data]\nSample_ID,index\nA,ACGT\nB,TTTT\n"
    first = [mates(stem)[0] for stem in ("A_S1_L001", "B_S2_L001")]
    run = read_run(illumina_run(tmp_path, first, sheet))
    found = [p for p in run.problems if p.code == "MATE_MISSING"]
    assert [p.path for p in found] == first[:told]
    assert all("none of 2 R1 files has its R2" in p.message for p in found)


def test_a_miseq_i100_has_a_hyphen_in_its_flow_cell_and_its_index_reads_first(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, run_id=I100, serial="SH01038", sheet=None)
    put(
        root,
        "RunInfo.xml",
        f'<RunInfo Version="7"><Run Id="{I100}" Number="7"><Flowcell>BXA66715-2010</Flowcell>'
        "<Instrument>SH01038</Instrument><Date>2026-02-05T14:25:57Z</Date><Reads>"
        '<Read Number="1" NumCycles="10" IsIndexedRead="Y" IsReverseComplement="N"/>'
        '<Read Number="2" NumCycles="10" IsIndexedRead="Y" IsReverseComplement="N"/>'
        '<Read Number="3" NumCycles="151" IsIndexedRead="N" IsReverseComplement="N"/></Reads>'
        '<FlowcellLayout LaneCount="1"/></Run></RunInfo>',
    )
    run = read_run(root)
    assert (run.run_id, run.flow_cell, run.instrument_model) == (I100, "BXA66715-2010", "MiSeq i100")
    assert [(read.cycles, read.is_index) for read in run.reads] == [(10, True), (10, True), (151, False)]
    assert run.position is None
    assert not {"ID_MISMATCH", "AMBIGUOUS_DATE"} & set(codes(run))


def test_a_folder_named_like_one_run_that_holds_another_is_told_once(tmp_path: Path) -> None:
    root = illumina_run(
        tmp_path, mates("A_S1_L001"), markers=("RTAComplete.txt", "CopyComplete.txt"),
        run_id="230602_A00291_0481_BHKT2KDMXY", serial="A00291",
    )  # fmt: skip
    root = root.rename(tmp_path / "230602_A00291_0400_BHKT2KDMAA")
    run = read_run(root)
    assert (run.run_id, run.folder_name) == ("230602_A00291_0481_BHKT2KDMXY", "230602_A00291_0400_BHKT2KDMAA")
    assert codes(run) == ["ID_MISMATCH"]


@pytest.mark.parametrize("number", [(147, 148), (100, 101)])
def test_a_run_number_one_apart_from_the_id_is_told_and_the_id_is_used(tmp_path: Path, number: tuple[int, int]) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"), run_id=f"140211_M00612_0{number[1]}_000000000-A7M8N")
    text = (root / "RunInfo.xml").read_text()
    put(root, "RunInfo.xml", text.replace(f'Number="{number[1]}"', f'Number="{number[0]}"'))
    run = read_run(root)
    assert (run.run_id.split("_")[2], codes(run)) == (f"0{number[1]}", ["ID_MISMATCH"])


def test_parameters_of_another_run_in_the_folder_are_told(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    put(root, "RunParameters.xml", "<RunParameters><RunID>140211_M00612_0148_X</RunID></RunParameters>")
    assert codes(read_run(root)) == ["ID_MISMATCH"]


def test_four_indexes_of_one_10x_sample_are_one_sample_and_the_same_index_twice_is_an_error() -> None:
    rows = "".join(f"{lane},10x,{index}\n" for lane in (1, 2) for index in ("AAAA", "CCCC", "GGGG", "TTTT"))
    head = "[BCLConvert_Data]\nLane,Sample_ID,Index\n"
    sheet = read_sample_sheet((head + rows).encode(), "s", 2)
    assert ({s.sample_id for s in sheet.samples}, len(sheet.samples), sheet.problems) == ({"10x"}, 8, ())
    twice = read_sample_sheet((head + rows + "2,10x,TTTT\n").encode(), "s", 2)
    assert [(p.code, p.line) for p in twice.problems] == [("DUPLICATE_SAMPLE", 11)]


def test_the_rows_of_one_sample_are_one_sample_of_the_run() -> None:
    run = case("illumina-bclconvert-363-hybrid-sheet")
    assert len(run.samples) == 8
    assert run.sample_labels == ("PRJ200438_LPRJ200438", "PRJ200439_LPRJ200439")


def test_adapters_are_counted_in_the_columns_of_every_version() -> None:
    old = b"Lane,Sample_ID,R1_AdapterBases,R1_SampleBases,R2_AdapterBases,R2_SampleBases,# Reads\n1,A,1,9,3,7,5\n"
    new = b"Lane,Sample_ID,ReadNumber,AdapterBases,SampleBases,% Adapter Bases\n1,A,1,1,9,x\n1,A,2,3,7,y\n"
    for report in (old, new):
        assert [(m.name, m.value, m.scope) for m in adapter_metrics(report, "r")] == [
            ("adapter_percent", 20, "A, lane 1")
        ]
    assert adapter_metrics(b"Lane,Sample_ID,AdapterBases,SampleBases\n1,A,0,0\n", "r") == []


def test_hopped_indexes_are_the_pairs_of_no_sample_and_a_lone_sample_has_none() -> None:
    head = b"Lane,SampleID,index,index2,# Reads,% of Hopped Reads,% of All Reads\n"
    rows = b"1,A,AC,GT,60,,0.1\n1,B,GG,TT,30,,0.1\n1,,AC,TT,6,0.6,0.1\n1,,GG,GT,4,0.4,0.1\n2,A,AC,GT,5,,0.1\n"
    assert [(m.value, m.scope) for m in hopping_metrics(head + rows, "r")] == [(10, "lane 1")]
    assert hopping_metrics(b"", "r") == []


def test_a_report_beyond_reason_is_a_warning_and_the_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(illumina_reports, "_CAP", 100)
    root = illumina_run(tmp_path, mates("A_S1_L001", "out"))
    put(root, "out/Reports/Demultiplex_Stats.csv", "Lane,SampleID,# Reads\n" + "1,A,5\n" * 100)
    run = read_run(root)
    assert (codes(run, "error"), codes(run, "warning")) == ([], ["TOO_LARGE"])


REPORTS = [path.read_bytes()[:20_000] for path in sorted(CASES.rglob("*.csv")) if "Reports" in path.parts]
STATS = (CASES / "illumina-bcl2fastq-stats-json/Stats/Stats.json").read_bytes()


@given(st.sampled_from([*REPORTS, STATS]), st.data())
def test_damaged_reports_of_converters_never_raise(real: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(real)))
    damaged = real[:place] + data.draw(st.binary(max_size=20)) + real[place + data.draw(st.integers(0, 200)) :]
    bcl_convert_metrics((damaged, "d"), (damaged, "q"))
    bcl2fastq_metrics(damaged, "s")
    unknown_of_stats(damaged)
    unknown_of_report(damaged, "u")
    adapter_metrics(damaged, "a")
    hopping_metrics(damaged, "h")


@given(st.sampled_from([path.read_bytes() for path in sorted(CASES.rglob("SampleSheet.csv"))[:8]]), st.data())
def test_damaged_real_sheets_are_read_or_told(real: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, min(len(real), 2_000)))
    damaged = real[:place] + data.draw(st.binary(max_size=20)) + real[place + data.draw(st.integers(0, 40)) : 4_000]
    sheet = read_sample_sheet(damaged, "SampleSheet.csv", 8)
    assert sheet.samples or sheet.problems


def test_base_calls_of_two_lanes_beside_reads_are_left_with_one_word(tmp_path: Path) -> None:
    raw = [f"{BASECALLS}/L00{lane}/C{cycle}.1/L00{lane}_1.cbcl" for lane in (1, 2) for cycle in range(1, 20)]
    run = read_run(illumina_run(tmp_path, [*raw, *mates("A_S1_L001")]))
    assert codes(run) == ["RAW_BASECALLS_LEFT"]
