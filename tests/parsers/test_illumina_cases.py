"""Real run folders of nine instruments, held against facts that independent tools computed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from run_folders import case, codes

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known


@dataclass(frozen=True)
class Facts:
    path: str
    run_id: str
    flow_cell: str
    serial: str
    model: str
    date: str
    recipe: str
    lanes: int
    rows: int
    ids: int


CASES = [
    Facts("illumina-hiseq4000-2016/160726_K00166_0120_BHCVH2BBXX", "160726_K00166_0120_BHCVH2BBXX", "HCVH2BBXX",
          "K00166", "HiSeq 3000/4000", "2016-07-26T00:00:00", "151/8I/8I/151", 8, 96, 24),
    Facts("illumina-iseq100-2022/20220912_FS10001773_27_BSE39218-1017", "20220912_FS10001773_27_BSE39218-1017",
          "BSE39218-1017", "FS10001773", "iSeq 100", "2022-09-12T23:32:24+00:00", "151/8I/8I/151", 1, 1, 1),
    Facts("illumina-miseq-2013-dual-index-unfinished/131022_M00630_0101_000000000-A5Y02",
          "131022_M00630_0101_000000000-A5Y02", "000000000-A5Y02", "M00630", "MiSeq", "2013-10-22T00:00:00",
          "151/6I/151", 1, 0, 0),
    Facts("illumina-miseq-2014-single-read-interop/140211_M00612_0148_000000000-A7M8N",
          "140211_M00612_0148_000000000-A7M8N", "000000000-A7M8N", "M00612", "MiSeq", "2014-02-11T00:00:00",
          "50/6I", 1, 4, 4),
    Facts("illumina-miseq-2018-sheet-override/180430_M05898_0007_000000000-BR92R",
          "180430_M05898_0007_000000000-BR92R", "000000000-BR92R", "M05898", "MiSeq", "2018-04-30T00:00:00",
          "26/8I/8I/26", 1, 192, 192),
    Facts("illumina-miseq-2023/231108_M04586_0992_000000000-L7342", "231108_M04586_0992_000000000-L7342",
          "000000000-L7342", "M04586", "MiSeq", "2023-11-08T00:00:00", "151/12I/151", 1, 1, 1),
    Facts("illumina-nextseq500-2016-interop/160404_NS500318_0141_AHW37NBGXX", "160404_NS500318_0141_AHW37NBGXX",
          "HW37NBGXX", "NS500318", "NextSeq 500/550", "2016-04-04T00:00:00", "81/6I", 4, 0, 0),
    Facts("illumina-nextseq2000-bclconvert-zero-yield/240131_VH00384_146_AACCHKLHV", "240131_VH00384_146_AACCHKLHV",
          "AACCHKLHV", "VH00384", "NextSeq 1000/2000", "2024-01-31T15:30:32+00:00", "151/8I/8Ir/151", 2, 0, 0),
    Facts("illumina-novaseq6000-2018-s2/180619_A00291_0044_BH5WJJDMXX", "180619_A00291_0044_BH5WJJDMXX", "H5WJJDMXX",
          "A00291", "NovaSeq 6000", "2018-06-19T11:54:50", "51/8I/8I/51", 2, 36, 36),
    Facts("illumina-novaseq6000-empty-sheet/210601_A00291_0371_AHF2HCDRXY", "210601_A00291_0371_AHF2HCDRXY",
          "HF2HCDRXY", "A00291", "NovaSeq 6000", "2021-06-01T11:05:11", "51/8I/8I/51", 2, 0, 0),
    Facts("illumina-novaseqx-2023-8lane/231215_LH00444_0031_B222WHFLT4", "231215_LH00444_0031_B222WHFLT4",
          "222WHFLT4", "LH00444", "NovaSeq X Plus", "2023-12-16T07:36:45+00:00", "151/18I/10Ir/151", 8, 0, 0),
    Facts("illumina-bclconvert-363-hybrid-sheet", "201002_A01052_0023_BH5LWCDSXY", "H5LWCDSXY", "A01052",
          "NovaSeq 6000", "2020-10-02T13:32:09", "151/10I/10I/151", 4, 8, 2),
    Facts("illumina-bclconvert-393-10x/210615_A00302_0309_AHY3CLDSXY", "210615_A00302_0309_AHY3CLDSXY", "HY3CLDSXY",
          "A00302", "NovaSeq 6000", "2021-06-15T13:19:06", "28/10I/10I/90", 4, 4, 1),
    Facts("samplesheet-hiseqx-legacy/150424_ST-E00214_0031_BH2WY7CCXX", "150424_ST-E00214_0031_BH2WY7CCXX",
          "H2WY7CCXX", "ST-E00214", "HiSeq X", "2015-04-24T00:00:00", "151/8I/151", 8, 8, 8),
]  # fmt: skip


def recipe(run: InstrumentRun) -> str:
    marks = [("I" if r.is_index else "") + ("r" if r.reverse_complement else "") for r in run.reads]
    return "/".join(f"{read.cycles}{mark}" for read, mark in zip(run.reads, marks, strict=True))


@pytest.mark.parametrize("facts", CASES, ids=lambda facts: facts.path.split("/")[0])
def test_a_real_run_folder_gives_its_known_facts(facts: Facts) -> None:
    run = case(facts.path)
    assert (run.run_id, run.flow_cell, run.platform) == (facts.run_id, facts.flow_cell, "illumina")
    assert (run.instrument_serial, run.instrument_model) == (facts.serial, facts.model)
    assert run.started is not None
    assert run.started.isoformat() == facts.date
    assert (recipe(run), run.lanes) == (facts.recipe, facts.lanes)
    assert (len(run.samples), len({sample.sample_id for sample in run.samples})) == (facts.rows, facts.ids)


def test_a_run_without_marker_is_not_finished_and_its_number_is_not_trusted() -> None:
    run = case("illumina-miseq-2013-dual-index-unfinished/131022_M00630_0101_000000000-A5Y02")
    assert run.completion.acquired.value is Known.UNKNOWN
    assert run.completion.converted.value is Known.NO
    assert {"MARKER_MISSING", "ID_MISMATCH", "NO_SAMPLE_SHEET"} <= set(codes(run, "warning"))


def test_a_one_byte_marker_says_sequencing_done_and_nothing_about_the_copy() -> None:
    run = case("illumina-novaseqx-2023-8lane/231215_LH00444_0031_B222WHFLT4")
    assert (run.completion.acquired.value, run.completion.acquired.evidence) == (Known.YES, "RTAComplete.txt")
    assert run.completion.copied.value is Known.UNKNOWN
    assert "MARKER_MISSING" in codes(run, "warning")


def test_a_completion_status_as_planned_is_the_marker_of_a_nextseq() -> None:
    run = case("illumina-nextseq500-2016-interop/160404_NS500318_0141_AHW37NBGXX")
    assert run.completion.acquired.evidence == "RunCompletionStatus.xml"
    assert run.completion.acquired.value is Known.YES


def test_a_finished_job_without_a_single_fastq_is_refused() -> None:
    run = case("illumina-miseq-2014-single-read-interop/140211_M00612_0148_000000000-A7M8N")
    assert run.completion.converted.evidence == "CompletedJobInfo.xml"
    assert codes(run, "error") == ["NO_READS"]


def test_a_zero_byte_sheet_is_refused() -> None:
    run = case("illumina-novaseq6000-empty-sheet/210601_A00291_0371_AHF2HCDRXY")
    assert codes(run, "error") == ["EMPTY_SHEET"]


def test_nul_padding_and_an_index_of_n_are_read_and_told() -> None:
    run = case("illumina-iseq100-2022/20220912_FS10001773_27_BSE39218-1017")
    (sample,) = run.samples
    assert (sample.index, sample.index2, sample.barcode) == ("NNNNNNNN", None, None)
    assert "NUL_BYTES" in codes(run, "warning")
    assert run.started_text == "2022-09-12T16:32:24-07:00"


def test_the_control_files_of_a_real_run_have_their_roles() -> None:
    run = case("illumina-miseq-2014-single-read-interop/140211_M00612_0148_000000000-A7M8N")
    roles = {file.path: file.role for file in run.files}
    assert roles["SampleSheet.csv"] is FileRole.SAMPLE_SHEET
    assert roles["runParameters.xml"] is roles["RTAComplete.txt"] is FileRole.RUN_METADATA
    assert roles["CompletedJobInfo.xml"] is FileRole.CONVERSION_REPORT
    assert "FILES_LEFT_OVER" in codes(run), "the zero-byte file named like the run has no role"


def test_conversion_output_without_its_run_takes_the_id_from_the_report() -> None:
    run = case("illumina-bcl2fastq-stats-json")
    assert run.run_id == "170303_ST-E00266_0192_BHGYKCALXX"
    assert run.folder_name == "illumina-bcl2fastq-stats-json"
