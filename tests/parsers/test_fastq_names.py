from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.model.files import FileRole
from labrelay.model.instrument import RunFile
from labrelay.parsers.fastq_names import Pairing, is_read_file, name_reads, pair_reads, run_file
from labrelay.parsers.listing import Entry


def files(*paths: str) -> list[RunFile]:
    return [run_file(Entry(path, 1, 0, path.rpartition("/")[2]), name) for path, name in name_reads(paths).items()]


def pairing(*paths: str) -> Pairing:
    return pair_reads(files(*paths))


def pairs(*paths: str) -> list[tuple[str, str]]:
    return [(pair.first.path, pair.second.path) for pair in pairing(*paths).pairs]


@pytest.mark.parametrize(
    ("name", "sample", "lane", "read", "kind"),
    [
        ("NA12878_S1_L001_R1_001.fastq.gz", "NA12878", 1, 1, "reads"),
        ("NA12878_S12_R2_001.fastq.gz", "NA12878", None, 2, "reads"),
        ("a_S1_L001_R1_S7_L004_R2_001.fastq.gz", "a_S1_L001_R1", 4, 2, "reads"),
        ("x_L001_S3_L002_R1_001.fastq", "x_L001", 2, 1, "reads"),
        ("_S1_L001_R1_001.fastq.gz", None, 1, 1, "reads"),
        ("A_S1_L001_I1_001.fastq.gz", "A", 1, None, "index_reads"),
        ("Undetermined_S0_L002_R1_001.fastq.gz", None, 2, 1, "undetermined"),
        ("Undetermined_S0_L002_I1_001.fastq.gz", None, 2, None, "undetermined"),
        ("lib_ACGTAC-TTGGCC_L003_R1_001.fastq.gz", "lib", 3, 1, "reads"),
        ("lib_NoIndex_L003_R2_001.fastq.gz", "lib", 3, 2, "reads"),
        ("SRR7517490_1.fastq.gz", "SRR7517490", None, 1, "reads"),
        ("ERR123456.fastq.gz", "ERR123456", None, None, "reads"),
        ("S7_DHE1-1_HXX_L3_2.fq.gz", "S7_DHE1-1_HXX", 3, 2, "reads"),
        ("sample.R1.fastq.gz", "sample", None, 1, "reads"),
        ("sample_I2.fastq.gz", "sample", None, None, "index_reads"),
        (
            "m84140_231018_155043_s3.hifi_reads.bc1002.bam",
            "m84140_231018_155043_s3.hifi_reads.bc1002",
            None,
            None,
            "reads",
        ),
        ("FAP67897_pass_barcode07_5a21d8a6_0.fastq.gz", "barcode07", None, None, "reads"),
        ("patient_7.bam", "patient_7", None, None, "reads"),
        ("=cmd()_S1_L001_R1_001.fastq.gz", "=cmd()", 1, 1, "reads"),
    ],
)
def test_a_name_says_sample_lane_and_read(name: str, sample: str, lane: int, read: int, kind: str) -> None:
    found = name_reads([f"folder/{name}"])[f"folder/{name}"]
    assert (found.sample, found.lane, found.read, found.kind) == (sample, lane, read, kind)


@pytest.mark.parametrize(
    "name", ["a.fastq.gz.md5", "a.txt", "fastq", "a.bam.bai", "a.fastq.gz.tmp", "reads.fq.gz.part"]
)
def test_what_is_no_file_of_reads_has_no_name(name: str) -> None:
    assert name_reads([name]) == {}
    assert not is_read_file(name)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("_S1_L001_R1_001.fastq.gz", "_S1_L001_R2_001.fastq.gz"),
        ("a_S1_R1_001.fastq.gz", "a_S1_R2_001.fastq.gz"),
        ("SRR7517490_1.fastq.gz", "SRR7517490_2.fastq.gz"),
        ("a_1.fq.gz", "a_2.fq.gz"),
        ("a_R1.fastq", "a_R2.fastq"),
        ("a.1.fastq.gz", "a.2.fastq.gz"),
        ("a_R1_trimmed.fastq.gz", "a_R2_trimmed.fastq.gz"),
        ("a_L1_1.fq.gz", "a_L1_2.fq.gz"),
    ],
)
def test_mates_are_found_in_every_pattern(first: str, second: str) -> None:
    assert pairs(second, first) == [(first, second)]


@pytest.mark.parametrize(
    "names",
    [
        ("a_S1_L001_R1_001.fastq.gz", "b_S2_L001_R2_001.fastq.gz"),
        ("a_S1_L001_R1_001.fastq.gz", "a_S1_L002_R2_001.fastq.gz"),
        ("p/a_S1_L001_R1_001.fastq.gz", "q/a_S1_L001_R2_001.fastq.gz"),
        ("a_S1_L001_R1_001.fastq.gz", "a_S1_L001_R2_002.fastq.gz"),
        ("a_S1_L001_R1_001.fastq.gz", "a_S2_L001_R2_001.fastq.gz"),
        ("a_R1.fastq.gz", "a_R2.fastq"),
    ],
    ids=["samples", "lanes", "projects", "chunks", "sample numbers", "compression"],
)
def test_no_pair_spans_two(names: tuple[str, str]) -> None:
    found = pairing(*names)
    assert found.pairs == ()
    assert [problem.code for problem in found.problems] == ["LONE_R2"]
    assert [file.path for file in found.left_over] == [names[1]]


def test_a_lone_second_read_is_an_error_and_a_lone_first_read_is_single() -> None:
    found = pairing("a_S1_L001_R2_001.fastq.gz", "b_S2_L001_R1_001.fastq.gz")
    assert [(problem.code, problem.path) for problem in found.problems] == [("LONE_R2", "a_S1_L001_R2_001.fastq.gz")]
    assert [file.path for file in found.singles] == ["b_S2_L001_R1_001.fastq.gz"]


def test_numbered_samples_without_mates_stay_samples() -> None:
    found = pairing("patient_2.fastq.gz", "patient_3.fastq.gz", "other_1.fastq.gz")
    assert [file.sample for file in found.singles] == ["other_1", "patient_2", "patient_3"]
    assert found.problems == ()


def test_three_reads_leave_the_mates_unknown() -> None:
    found = pairing(*(f"a_S1_L001_R{n}_001.fastq.gz" for n in (1, 2, 3)))
    assert (found.pairs, found.singles) == ((), ())
    assert [problem.code for problem in found.problems] == ["AMBIGUOUS_MATES"]


def test_index_and_undetermined_reads_are_left_over_and_no_mates() -> None:
    names = ["a_S1_L001_R1_001.fastq.gz", "a_S1_L001_R2_001.fastq.gz", "a_S1_L001_I1_001.fastq.gz",
             "Undetermined_S0_L001_R1_001.fastq.gz", "Undetermined_S0_L001_R2_001.fastq.gz"]  # fmt: skip
    found = pairing(*names)
    assert len(found.pairs) == 1
    assert {file.role for file in found.left_over} == {FileRole.INDEX_READS, FileRole.UNDETERMINED}
    assert found.problems == ()


def test_an_archive_run_with_orphans_is_a_pair_and_a_single() -> None:
    found = pairing("SRR12345_1.fastq.gz", "SRR12345_2.fastq.gz", "SRR12345.fastq.gz")
    assert (len(found.pairs), [file.path for file in found.singles]) == (1, ["SRR12345.fastq.gz"])


def test_the_order_of_files_changes_no_pair() -> None:
    names = ["a_1.fq.gz", "a_2.fq.gz", "b_R1.fq", "b_R2.fq"]
    assert {tuple(pairs(*order)) for order in permutations(names)} == {
        (("a_1.fq.gz", "a_2.fq.gz"), ("b_R1.fq", "b_R2.fq"))
    }


STEM = st.text(st.sampled_from("aS1_L0R2-."), max_size=12)


@given(
    st.lists(
        st.tuples(STEM, st.sampled_from(["_S1_L001_R1_001", "_S1_L001_R2_001", "_R1", "_2", "_1", ""])), max_size=12
    )
)
def test_every_file_of_reads_is_somewhere_exactly_once(parts: list[tuple[str, str]]) -> None:
    names = {f"d/{stem}{tail}.fastq.gz" for stem, tail in parts if stem + tail}
    found = pairing(*sorted(names))
    placed = [file.path for pair in found.pairs for file in pair]
    placed += [file.path for file in (*found.singles, *found.left_over)]
    assert sorted(placed) == sorted(name_reads(sorted(names)))
    for pair in found.pairs:
        assert (pair.first.sample, pair.first.lane) == (pair.second.sample, pair.second.lane)
        assert (pair.first.read, pair.second.read) == (1, 2)
