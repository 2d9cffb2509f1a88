from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known
from labrelay.parsers.checksums import parse_checksums
from labrelay.parsers.fastq_names import pair_reads
from labrelay.parsers.registry import read_run
from labrelay.parsers.sample_list import read_sample_list

A, B = "0" * 31 + "a", "0" * 31 + "b"


def delivery(root: Path, sums: str | None = None, samples: str | None = "Sample,Project\nS1,p\nS2,q\n") -> Path:
    for name in ("S1_LIB1_HXX_L3", "S2_LIB2_HXX_L3"):
        for read in (1, 2):
            put(root, f"raw/{name}_{read}.fq.gz")
    if sums is not None:
        put(root, "raw/MD5.txt", sums)
    if samples is not None:
        put(root, "samples.csv", samples)
    return root


def all_sums(form: str = "{md5}  {name}\n") -> str:
    names = [f"{stem}_{read}.fq.gz" for stem in ("S1_LIB1_HXX_L3", "S2_LIB2_HXX_L3") for read in (1, 2)]
    return "".join(form.format(md5=f"{n:032x}", name=name) for n, name in enumerate(names, 1))


@pytest.mark.parametrize(
    "form",
    [
        "{md5}  {name}\n",
        "{md5} *{name}\n",
        "{md5}  {name}\r\n",
        "{md5}\t{name}\n",
        "MD5 ({name}) = {md5}\n",
        "{md5}  ./{name}\n",
        "{md5}  raw/{name}\n",
        "{md5}  /data/customer/raw/{name}\n",
        "{md5} *D:\\out\\raw\\{name}\r\n",
        "{name},{md5}\n",
        "{md5}  {name}   \n\n# a comment\n",
    ],
)
def test_every_dialect_of_an_md5_list_is_attached(tmp_path: Path, form: str) -> None:
    run = read_run(delivery(tmp_path, all_sums(form)))
    reads = [file for file in run.files if file.role is FileRole.READS]
    assert [file.md5 for file in reads] == [f"{n:032x}" for n in range(1, 5)]
    assert (run.completion.copied.value, run.completion.copied.evidence) == (Known.YES, "raw/MD5.txt")
    assert codes(run) == ["RUN_ID_FROM_FOLDER"]


def test_a_delivery_gives_samples_pairs_and_a_run_named_like_its_folder(tmp_path: Path) -> None:
    run = read_run(delivery(tmp_path / "X204SC", all_sums()))
    assert (run.platform, run.run_id, run.folder_name) == ("delivery", "X204SC", "X204SC")
    assert [(s.sample_id, s.project, s.line) for s in run.samples] == [("S1", "p", 2), ("S2", "q", 3)]
    assert [(p.first.sample, p.second.sample, p.first.lane) for p in pair_reads(run.files).pairs] == [
        ("S1", "S1", 3),
        ("S2", "S2", 3),
    ]
    roles = {file.path: file.role for file in run.files}
    assert roles["raw/MD5.txt"] is FileRole.CHECKSUMS
    assert roles["samples.csv"] is FileRole.SAMPLE_SHEET


def test_a_listed_file_that_is_missing_refuses_the_delivery(tmp_path: Path) -> None:
    run = read_run(delivery(tmp_path, all_sums() + f"{A}  S3_1.fq.gz\n"))
    (problem,) = [p for p in run.problems if p.severity.value == "error"]
    assert (problem.code, problem.path, problem.line) == ("LISTED_FILE_MISSING", "raw/MD5.txt", 5)
    assert run.completion.copied.value is Known.NO


def test_a_file_without_md5_is_told(tmp_path: Path) -> None:
    run = read_run(delivery(tmp_path, all_sums().splitlines()[0]))
    assert codes(run, "warning").count("FILE_WITHOUT_MD5") == 3


def test_two_sums_for_one_file_are_refused(tmp_path: Path) -> None:
    run = read_run(delivery(tmp_path, all_sums() + f"{A}  S1_LIB1_HXX_L3_1.fq.gz\n"))
    assert codes(run, "error") == ["MD5_CONFLICT"]


def test_a_list_that_arrived_before_its_files_is_a_refused_delivery(tmp_path: Path) -> None:
    put(tmp_path, "MD5.txt", all_sums())
    run = read_run(tmp_path)
    assert run.platform == "delivery"
    assert codes(run, "error") == ["LISTED_FILE_MISSING"] * 4 + ["NO_READS"]


def test_one_list_a_file_is_understood(tmp_path: Path) -> None:
    put(tmp_path, "a.bam")
    put(tmp_path, "a.bam.md5", A + "\n")
    (reads,) = [file for file in read_run(tmp_path).files if file.role is FileRole.ALIGNMENT]
    assert reads.md5 == A


def test_one_name_in_two_folders_is_told_apart_by_the_folder_in_the_list(tmp_path: Path) -> None:
    put(tmp_path, "p1/r_1.fq.gz")
    put(tmp_path, "p2/r_1.fq.gz")
    put(tmp_path, "md5.txt", f"{A}  /srv/out/p1/r_1.fq.gz\n{B}  /srv/out/p2/r_1.fq.gz\n")
    run = read_run(tmp_path)
    assert {f.path: f.md5 for f in run.files if f.role is FileRole.READS} == {"p1/r_1.fq.gz": A, "p2/r_1.fq.gz": B}


def test_a_name_that_two_files_have_is_given_to_neither(tmp_path: Path) -> None:
    put(tmp_path, "p1/r_1.fq.gz")
    put(tmp_path, "p2/r_1.fq.gz")
    put(tmp_path, "md5.txt", f"{A}  r_1.fq.gz\n")
    run = read_run(tmp_path)
    assert codes(run, "error") == ["LISTED_FILE_MISSING"]
    assert {file.md5 for file in run.files} == {None}


def test_a_name_that_leads_out_of_the_folder_finds_nothing(tmp_path: Path) -> None:
    put(tmp_path, "secret.fq.gz")
    put(tmp_path, "run/a.fq.gz")
    put(tmp_path, "run/md5.txt", f"{A}  a.fq.gz\n{B}  ../secret.fq.gz\n")
    assert codes(read_run(tmp_path / "run"), "error") == ["LISTED_FILE_MISSING"]


def test_malformed_lines_come_with_their_place() -> None:
    listed, problems = parse_checksums(f"file md5\n{A}  ok\n{A[:30]}  short\n{A}{A}  sha256\n".encode(), "md5.txt")
    assert [(item.name, item.line) for item in listed] == [("ok", 2)]
    assert [(p.code, p.severity.value, p.line) for p in problems] == [
        ("BAD_CHECKSUM_LINE", "warning", 1),
        ("BAD_CHECKSUM_LINE", "error", 3),
        ("BAD_CHECKSUM_LINE", "error", 4),
    ]


def test_a_list_with_columns_of_files_says_whose_they_are(tmp_path: Path) -> None:
    for name in ("x7_R1.fastq.gz", "x7_R2.fastq.gz"):
        put(tmp_path, name)
    put(
        tmp_path,
        "list.tsv",
        "sample\tfastq_1\tfastq_2\npatient 1\tx7_R1.fastq.gz\tx7_R2.fastq.gz\nother\tgone_R1.fastq.gz\t\n",
    )
    run = read_run(tmp_path)
    assert {f.sample for f in run.files if f.role is FileRole.READS} == {"patient 1"}
    assert [(p.code, p.line) for p in run.problems if p.severity.value == "error"] == [("LISTED_FILE_MISSING", 3)]


def test_a_row_twice_and_a_file_of_two_samples_are_refused() -> None:
    rows = read_sample_list(b'sample,file\nA,1.fq\nA,1.fq\nB,1.fq\n,2.fq\n"C,3.fq\nD,4.fq,more\n', "list.csv")
    assert [(p.code, p.line) for p in rows.problems] == [
        ("DUPLICATE_SAMPLE", 3),
        ("FILE_OF_TWO_SAMPLES", 4),
        ("NO_SAMPLE_ID", 5),
        ("BAD_ROW", 6),
        ("BAD_ROW", 7),
    ]


def test_one_sample_in_two_lanes_is_no_duplicate() -> None:
    rows = read_sample_list(b"sample,lane,barcode\nA,1,ACGT-TTTT\nA,2,ACGT-TTTT\n", "list.csv")
    assert rows.problems == ()
    assert [(s.lane, s.barcode) for s in rows.samples] == [(1, "ACGT+TTTT"), (2, "ACGT+TTTT")]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"sample,project\n"])
def test_an_empty_list_is_refused(data: bytes) -> None:
    assert [p.code for p in read_sample_list(data, "list.csv").problems] == ["EMPTY_SHEET"]


def test_an_illumina_sheet_may_be_the_list(tmp_path: Path) -> None:
    run = read_run(delivery(tmp_path, samples="[Data]\nSample_ID,index\nS1,ACGT\nS2,TTTT\n"))
    assert (run.platform, [s.barcode for s in run.samples]) == ("delivery", ["ACGT", "TTTT"])


def test_the_longest_sample_name_wins_as_prefix(tmp_path: Path) -> None:
    for name in ("S1_x.bam", "S1_A_x.bam", "S10.bam"):
        put(tmp_path, name)
    put(tmp_path, "samples.csv", "sample,project\nS1,p\nS1_A,p\n")
    run = read_run(tmp_path)
    assert {f.path: f.sample for f in run.files if f.role is FileRole.ALIGNMENT} == {
        "S1_x.bam": "S1",
        "S1_A_x.bam": "S1_A",
        "S10.bam": "S10",
    }
    assert codes(run) == ["READS_WITHOUT_SAMPLE", "RUN_ID_FROM_FOLDER"]


def test_plain_files_are_reads_and_unassigned(tmp_path: Path) -> None:
    for name in ("a_1.fq.gz", "a_2.fq.gz", "b.cram", "b.cram.crai", "notes.pdf", "core"):
        put(tmp_path, name)
    run = read_run(tmp_path)
    assert (run.platform, run.samples) == ("reads", ())
    assert {f.path: f.role.value for f in run.files} == {
        "a_1.fq.gz": "reads", "a_2.fq.gz": "reads", "b.cram": "alignment", "b.cram.crai": "other", "notes.pdf": "other"
    }  # fmt: skip
    assert codes(run) == ["FILES_LEFT_OVER", "NO_SAMPLE_SHEET", "RUN_ID_FROM_FOLDER"]
    assert [file.path for file in pair_reads(run.files).singles] == ["b.cram"]


@pytest.mark.parametrize("name", ["a.fastq.bz2", "a.fastq.ora", "a.sra", "a.pod5"])
def test_reads_in_another_form_are_not_left_out_in_silence(tmp_path: Path, name: str) -> None:
    put(delivery(tmp_path, all_sums()), name)
    assert codes(read_run(tmp_path), "error") == ["UNSUPPORTED_READS"]


@given(st.binary(max_size=300))
def test_any_bytes_as_lists_raise_nothing(data: bytes) -> None:
    rows = read_sample_list(data, "list.csv")
    assert rows.samples or rows.problems
    listed, _ = parse_checksums(data, "md5.txt")
    assert all(len(item.md5) == 32 for item in listed)


def test_a_lone_mate_is_taken_with_a_warning_that_its_other_half_is_missing(tmp_path: Path) -> None:
    for name in ("a_1.fq.gz", "a_2.fq.gz", "b_1.fq.gz", "c_2.fq.gz", "d_R1.fastq", "patient_7.fq.gz"):
        put(tmp_path, name)
    run = read_run(tmp_path)
    missing = {p.path: p.message for p in run.problems if p.code == "MATE_MISSING"}
    assert list(missing) == ["b_1.fq.gz", "c_2.fq.gz", "d_R1.fastq"]
    assert missing["b_1.fq.gz"].startswith("it looks like R1 and its R2 is missing")
    assert missing["c_2.fq.gz"].startswith("it looks like R2 and its R1 is missing")


def test_a_delivery_of_single_reads_is_not_said_to_lack_mates(tmp_path: Path) -> None:
    for name in ("a_R1.fastq.gz", "b_R1.fastq.gz"):
        put(tmp_path, name)
    assert "MATE_MISSING" not in codes(read_run(tmp_path))


def test_a_sheet_of_two_reads_tells_that_all_second_mates_are_missing(tmp_path: Path) -> None:
    put(
        tmp_path,
        "SampleSheet.csv",
        "[Header]\nIEMFileVersion,5\n[Reads]\n151\n151\n[Data]\nSample_ID,index\na,ACGTAC\n",
    )
    put(tmp_path, "a_S1_L001_R1_001.fastq.gz")
    (problem,) = [p for p in read_run(tmp_path).problems if p.code == "MATE_MISSING"]
    assert str(problem).startswith("a_S1_L001_R1_001.fastq.gz: the run has two reads and its R2 is missing; ")
    put(tmp_path, "SampleSheet.csv", "[Header]\nIEMFileVersion,5\n[Reads]\n151\n[Data]\nSample_ID,index\na,ACGTAC\n")
    assert "MATE_MISSING" not in codes(read_run(tmp_path))


def test_without_a_list_the_names_of_the_files_say_the_samples(tmp_path: Path) -> None:
    run = read_run(delivery(tmp_path, all_sums(), samples=None))
    assert run.sample_labels == ("S1_LIB1_HXX", "S2_LIB2_HXX")
    (problem,) = [p for p in run.problems if p.code == "NO_SAMPLE_SHEET"]
    assert "unassigned" not in problem.message


def test_a_listed_sample_without_reads_and_reads_without_a_list_are_both_samples(tmp_path: Path) -> None:
    put(tmp_path, "extra_1.fq.gz")
    run = read_run(delivery(tmp_path, all_sums(), samples="Sample,Project\nS1,p\nS2,q\nS3,q\n"))
    assert run.sample_labels == ("S1", "S2", "S3", "extra_1")
