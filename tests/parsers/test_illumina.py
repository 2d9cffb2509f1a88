from __future__ import annotations

import os
from pathlib import Path

import pytest
from run_folders import BASECALLS, RUN_ID, codes, illumina_run, mates, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, InstrumentRun, Known
from labrelay.parsers.fastq_names import pair_reads
from labrelay.parsers.registry import read_run

STATUS = """<RunCompletionStatus><CompletionStatus>{status}</CompletionStatus>
<PlannedRead1Cycles>151</PlannedRead1Cycles><CompletedRead1Cycles>{cycles}</CompletedRead1Cycles></RunCompletionStatus>"""
NOVASEQ = {"run_id": "210601_A00291_0371_AHF2HCDRXY", "serial": "A00291"}


def paths(run: InstrumentRun, *roles: FileRole) -> list[str]:
    return [file.path for file in run.files if file.role in roles]


def facts(completion: Completion) -> tuple[Known, Known, Known]:
    return completion.acquired.value, completion.copied.value, completion.converted.value


@pytest.mark.parametrize(
    "folder",
    [BASECALLS, "Alignment_1/20231109_120000/Fastq", "Analysis/1/Data/fastq", "Fastq", "out/projA", "."],
)
def test_reads_are_found_in_every_layout(tmp_path: Path, folder: str) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001", folder) + mates("Undetermined_S0_L001", folder))
    put(root, "Analysis/1/Data/Secondary_Analysis_Complete.txt")
    run = read_run(root)
    assert len(paths(run, FileRole.READS)) == len(paths(run, FileRole.UNDETERMINED)) == 2
    assert len(pair_reads(run.files).pairs) == 1
    assert codes(run) == []


def test_every_file_of_a_run_has_a_role_or_a_problem(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    raw = [f"{BASECALLS}/L001/C1.1/s_1_1101.bcl", f"{BASECALLS}/L001/s_1_1101.filter", "Data/Intensities/s.locs"]
    kept = ["InterOp/TileMetricsOut.bin", "Reports/Demultiplex_Stats.csv", "SampleSheet.csv.0", "RunParameters.xml"]
    for path in (*raw, *kept, "Thumbnail_Images/a.jpg", "Config/b.cfg", "odd.bin"):
        put(root, path, "<RunParameters/>" if path.endswith(".xml") else "Lane,SampleID\n")
    run = read_run(root)
    roles = {file.path: file.role for file in run.files}
    assert roles["InterOp/TileMetricsOut.bin"] is roles["RunParameters.xml"] is FileRole.RUN_METADATA
    assert roles["Reports/Demultiplex_Stats.csv"] is FileRole.CONVERSION_REPORT
    assert roles["SampleSheet.csv.0"] is FileRole.SAMPLE_SHEET
    told = {p.code: p.message for p in run.problems}
    assert told["RAW_BASECALLS_LEFT"].startswith("3 files")
    left = [p for p in run.problems if p.code == "FILES_LEFT_OVER"]
    assert [p.path for p in left] == [None, "Config", "Thumbnail_Images"]
    listed = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert listed - set(roles) == {*raw, "Thumbnail_Images/a.jpg", "Config/b.cfg", "odd.bin"}


def test_a_sample_without_reads_is_a_warning_at_its_line(tmp_path: Path) -> None:
    sheet = "[Data]\nSample_ID,index\nA,ACGT\nB,TTTT\nB,GGGG\n"
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001"), sheet))
    (problem,) = run.problems
    assert (problem.code, problem.severity.value) == ("SAMPLE_WITHOUT_READS", "warning")
    assert (problem.path, problem.line) == ("SampleSheet.csv", 4)


def test_a_lane_that_has_not_come_yet_is_told(tmp_path: Path) -> None:
    sheet = "[Data]\nLane,Sample_ID,index\n1,A,ACGT\n2,A,ACGT\n2,A,TTTT\n1,B,CCCC\n2,B,CCCC\n"
    root = illumina_run(tmp_path, mates("A_S1_L001") + mates("B_S2"), sheet)
    info = (root / "RunInfo.xml").read_text()
    put(root, "RunInfo.xml", info.replace('LaneCount="1"', 'LaneCount="2"'))
    (problem,) = read_run(root).problems
    assert (problem.code, problem.path, problem.line) == ("LANE_WITHOUT_READS", "SampleSheet.csv", 4)


def test_reads_without_a_sample_are_a_warning_and_stay(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001") + mates("X_S2_L001")))
    assert codes(run) == ["READS_WITHOUT_SAMPLE"]
    assert {file.sample for file in run.files if file.role is FileRole.READS} == {"A", "X"}


def test_a_lone_second_read_refuses_the_run(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path, [*mates("A_S1_L001"), f"{BASECALLS}/A_S1_L002_R2_001.fastq.gz"]))
    assert codes(run, "error") == ["LONE_R2"]


@pytest.mark.parametrize(
    ("sheet", "path", "sample"),
    [
        ("Sample_ID,Sample_Name,index\nid_1,name_1,ACGT\n", "name-1_S1_L001_R1_001.fastq.gz", "id_1"),
        ("Sample_ID,Sample_Name,index\nid_1,name_1,ACGT\n", "id_1_S1_L001_R1_001.fastq.gz", "id_1"),
        ("Sample_ID,Sample_Name,index\na,pool,ACGT\nb,pool,TTTT\n", "b/pool_S2_L001_R1_001.fastq.gz", "b"),
        ("Sample_ID,Sample_Name,index\na,pool,ACGT\nb,pool,TTTT\n", "pool_S2_L001_R1_001.fastq.gz", "pool"),
        ("Sample_ID,Sample_Name,index\na,b,ACGT\nb,a,TTTT\n", "a_S1_L001_R1_001.fastq.gz", "a"),
    ],
    ids=["reporter's dashes", "id", "folder of the id", "name of two samples", "crossed names"],
)
def test_a_file_is_given_the_sheets_id_when_that_is_clear(tmp_path: Path, sheet: str, path: str, sample: str) -> None:
    run = read_run(illumina_run(tmp_path, [f"{BASECALLS}/{path}"], "[Data]\n" + sheet))
    (reads,) = [file for file in run.files if file.role is FileRole.READS]
    assert reads.sample == sample


def test_a_second_conversion_of_the_same_reads_counts_once_and_is_told(tmp_path: Path) -> None:
    again = mates("A_S1_L001", "Analysis/2/Data/fastq")
    root = illumina_run(tmp_path, mates("A_S1_L001", "Analysis/10/Data/fastq") + again + mates("A_S1_L001"))
    put(root, "Analysis/10/Data/Secondary_Analysis_Complete.txt")
    run = read_run(root)
    assert paths(run, FileRole.READS) == mates("A_S1_L001", "Analysis/10/Data/fastq")
    assert [(p.path, p.severity.value) for p in run.problems if p.code == "SEVERAL_CONVERSIONS"] == [
        ("Analysis/2", "warning"),
        (BASECALLS, "warning"),
    ]


def test_two_conversions_in_named_folders_are_refused_because_nobody_can_know(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001", "first") + mates("A_S1_L001", "second")))
    assert codes(run, "error") == ["SEVERAL_CONVERSIONS"]


def test_two_parts_of_one_conversion_are_both_taken(tmp_path: Path) -> None:
    sheet = "[Data]\nSample_ID,index\nA,ACGT\nB,TTTT\n"
    parts = [
        *mates("A_S1", "p1"),
        *mates("Undetermined_S0", "p1"),
        *mates("B_S1", "p2"),
        *mates("Undetermined_S0", "p2"),
    ]
    run = read_run(illumina_run(tmp_path, parts, sheet))
    assert len(paths(run, FileRole.READS)) == 4
    assert codes(run) == []


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ((), (Known.UNKNOWN, Known.UNKNOWN)),
        (("RTAComplete.txt",), (Known.YES, Known.UNKNOWN)),
        (("RTAComplete.xml",), (Known.YES, Known.UNKNOWN)),
        (("SequenceComplete.txt",), (Known.YES, Known.UNKNOWN)),
        (("RTAComplete.txt", "CopyComplete.txt"), (Known.YES, Known.YES)),
        (("Basecalling_Netcopy_complete.txt",), (Known.YES, Known.YES)),
        (("Basecalling_Netcopy_complete_Read1.txt",), (Known.NO, Known.UNKNOWN)),
        (("RTARead1Complete.txt",), (Known.NO, Known.UNKNOWN)),
        (("Logs/RTAComplete.txt",), (Known.UNKNOWN, Known.UNKNOWN)),
    ],
)
def test_markers_state_acquisition_and_copy_apart(tmp_path: Path, markers: tuple[str, ...], expected: object) -> None:
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001"), markers=markers))
    assert facts(run.completion)[:2] == expected
    assert ("MARKER_MISSING" in codes(run)) is (expected[0] is not Known.YES)  # type: ignore[index]


def test_a_novaseq_that_is_still_copying_is_told_from_one_that_is_done(tmp_path: Path) -> None:
    copying = illumina_run(tmp_path / "1", mates("A_S1_L001", "Fastq"), **NOVASEQ)  # type: ignore[arg-type]
    assert codes(read_run(copying)) == ["MARKER_MISSING"]
    put(copying, "CopyComplete.txt", b"")
    run = read_run(copying)
    assert (run.completion.copied.value, codes(run)) == (Known.YES, [])


def test_a_copy_marker_without_the_end_of_base_calling_contradicts(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path, mates("A_S1_L001"), markers=("CopyComplete.txt",)))
    assert "MARKER_CONTRADICTS" in codes(run)


@pytest.mark.parametrize(
    ("status", "cycles", "known", "expected"),
    [
        ("CompletedAsPlanned", 151, Known.YES, []),
        ("CompletedAsPlanned", 90, Known.NO, ["INCOMPLETE_CYCLES", "MARKER_CONTRADICTS", "NOT_AS_PLANNED"]),
        ("ExceptionEndedEarly", 151, Known.NO, ["MARKER_CONTRADICTS", "NOT_AS_PLANNED"]),
        ("", 151, Known.NO, ["MARKER_CONTRADICTS", "NOT_AS_PLANNED"]),
    ],
)
def test_a_status_other_than_planned_outweighs_the_marker(
    tmp_path: Path, status: str, cycles: int, known: Known, expected: list[str]
) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    put(root, "RunCompletionStatus.xml", STATUS.format(status=status, cycles=cycles))
    run = read_run(root)
    assert (run.completion.acquired.value, run.completion.acquired.evidence) == (known, "RunCompletionStatus.xml")
    assert codes(run) == expected


def test_the_tenth_onboard_conversion_is_newer_than_the_ninth(tmp_path: Path) -> None:
    root = illumina_run(
        tmp_path, mates("A_S1_L001", "Analysis/9/Data/fastq") + mates("A_S1_L001", "Analysis/10/Data/fastq")
    )
    put(root, "Analysis/9/Data/Secondary_Analysis_Complete.txt")
    run = read_run(root)
    assert (run.completion.converted.value, run.completion.converted.evidence) == (Known.NO, "Analysis/10")


def test_onboard_conversion_that_has_not_ended_is_no_conversion(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001", "Analysis/1/Data/fastq"))
    put(root, "Analysis/1/Data/Reports/Demultiplex_Stats.csv", "Lane,SampleID,# Reads\n1,A,5\n")
    assert facts(read_run(root).completion)[2] is Known.NO
    put(root, "Analysis/1/Data/Secondary_Analysis_Complete.txt")
    assert facts(read_run(root).completion)[2] is Known.YES


@pytest.mark.parametrize(
    "evidence",
    ["fastq/Logs/FastqComplete.txt", "fastq/Reports/Demultiplex_Stats.csv", "fastq/Stats/Stats.json",
     "CompletedJobInfo.xml", "Alignment_1/20231109_1/CompletedJobInfo.xml"],
)  # fmt: skip
def test_conversion_that_claims_its_end_without_reads_is_refused(tmp_path: Path, evidence: str) -> None:
    run = read_run(illumina_run(tmp_path, [evidence, *mates("Undetermined_S0_L001")]))
    assert run.completion.converted.evidence == evidence
    assert codes(run, "error") == ["NO_READS"]


def test_base_calls_alone_are_not_converted_and_not_refused(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path, [f"{BASECALLS}/L001/C1.1/s_1_1101.bcl.gz"]))
    assert run.completion.converted.value is Known.NO
    assert codes(run) == ["NOT_CONVERTED", "RAW_BASECALLS_LEFT"]


def test_the_folder_name_is_kept_beside_the_id_inside(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001")).rename(tmp_path / "231108_M04586_0991_000000000-XXXXX")
    run = read_run(root)
    assert (run.run_id, run.folder_name) == (RUN_ID, "231108_M04586_0991_000000000-XXXXX")
    assert codes(run) == ["ID_MISMATCH"]


def test_the_reads_of_the_recipe_come_by_number_and_not_by_place(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path))
    assert [(read.number, read.cycles, read.is_index) for read in run.reads] == [
        (1, 151, False),
        (2, 12, True),
        (3, 151, False),
    ]


def test_the_sheet_that_made_the_reads_wins_over_the_one_in_the_run_folder(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("NEW_S1_L001", "out"), "[Data]\nSample_ID,index\nOLD,ACGT\n")
    put(root, "out/Reports/SampleSheet.csv", "[Data]\nSample_ID,index\nNEW,ACGT\n")
    run = read_run(root)
    assert [sample.sample_id for sample in run.samples] == ["NEW"]
    assert [(p.code, p.path) for p in run.problems] == [("SHEETS_DIFFER", "SampleSheet.csv")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "BAD_XML"),
        ("<RunInfo><Run/></RunInfo>", "NO_RUN_ID"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><RunInfo><Run Id="&a;"/></RunInfo>', "XML_REFUSED"),
        ('<RunInfo><Run Id="a&#27;[2J"/></RunInfo>', "BAD_XML"),
        ('<RunInfo><Run Id="a&#10;b"/></RunInfo>', "UNSAFE_NAME"),
    ],
)
def test_a_broken_run_info_refuses_the_folder(tmp_path: Path, content: str, code: str) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    put(root, "RunInfo.xml", content)
    run = read_run(root)
    assert codes(run, "error") == [code]
    assert run.run_id == root.name


def test_broken_run_parameters_are_a_warning(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    put(root, "runParameters.xml", "<RunParameters>")
    run = read_run(root)
    assert (codes(run, "error"), codes(run, "warning"), run.instrument_model) == ([], ["BAD_XML"], "MiSeq")


def test_all_problems_of_a_bad_folder_come_at_once(tmp_path: Path) -> None:
    root = illumina_run(
        tmp_path, [f"{BASECALLS}/X_S9_L001_R2_001.fastq.gz"], "[Data]\nLane,Sample_ID,index\n9,A,ACGT\n"
    )
    (root / BASECALLS / "A_S1_L001_R1_001.fastq.gz").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe")
    put(root, f"{BASECALLS}/A_S1_L001_R1_001.fastq.ora")
    put(root, f"{BASECALLS}/B_S2_L001_R1_001.fastq.gz", b"")
    run = read_run(root)
    assert codes(run, "error") == ["LANE_OUT_OF_RANGE", "LONE_R2", "NOT_A_REGULAR_FILE", "SYMLINK", "UNSUPPORTED_READS"]
    assert {"SAMPLE_WITHOUT_READS", "READS_WITHOUT_SAMPLE", "ZERO_BYTE_FILE"} <= set(codes(run, "warning"))


def test_reads_with_no_sample_in_their_name_are_paired_and_told(tmp_path: Path) -> None:
    run = read_run(illumina_run(tmp_path, mates("_S1_L001"), sheet=None))
    assert len(pair_reads(run.files).pairs) == 1
    assert codes(run) == ["EMPTY_SAMPLE_NAME", "EMPTY_SAMPLE_NAME", "NO_SAMPLE_SHEET"]


def test_a_suppliers_md5_list_beside_a_conversion_is_attached(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001", "fastq"))
    first, second = mates("A_S1_L001", "fastq")
    put(root, "fastq/md5sum.txt", f"{'a' * 32}  A_S1_L001_R1_001.fastq.gz\n")
    run = read_run(root)
    assert {f.path: f.md5 for f in run.files if f.role is FileRole.READS} == {first: "a" * 32, second: None}
    assert [(p.code, p.path) for p in run.problems] == [("FILE_WITHOUT_MD5", second)]
