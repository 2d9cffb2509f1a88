"""QC files of common tools, held against the numbers that stand in them, and how a lane was shared out."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import CASES, case, codes, illumina_run, mates, put

from labrelay.model.instrument import SheetSample
from labrelay.model.qc import QCMetric
from labrelay.parsers.lane_balance import Unknown, lane_metrics, reverse_complement, suspects, unknown_of_report
from labrelay.parsers.qc_fastqc import MAX_INFLATED
from labrelay.parsers.qc_files import read_qc, tool_of
from labrelay.parsers.registry import read_run

QC = CASES.parent / "qc"
ALIGNMENTS = CASES.parent / "alignments"
TENX = "illumina-bclconvert-393-10x/210615_A00302_0309_AHY3CLDSXY/Reports"


def values(name: str, scope: str | None = None) -> dict[str, float | None]:
    found = read_qc(name, (QC / name).read_bytes())
    wanted = scope or name.partition(".")[0]
    return {metric.name: metric.value for metric in found if metric.scope == wanted}


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        (QC / "SAMPLE.fastp.json", "fastp"),
        (QC / "fastqc_data.txt", "FastQC"),
        (QC / "empty_fastqc.zip", "FastQC"),
        (QC / "small.flagstat.txt", "samtools flagstat"),
        (QC / "Test1.stats.txt", "samtools stats"),
        (QC / "sample.idxstats.txt", "samtools idxstats"),
        (QC / "paired_end.coverage.tsv", "samtools coverage"),
        (CASES / "illumina-bcl2fastq-stats-json/Stats/Stats.json", "bcl2fastq"),
        (CASES / TENX / "Demultiplex_Stats.csv", "BCL Convert demultiplexing"),
        (CASES / TENX / "Quality_Metrics.csv", "BCL Convert quality"),
        (CASES / "element-bases2fastq-wgs/RunStats.json", "bases2fastq"),
        (CASES / "pacbio-ccs-report-versions/v4.2/ccs.report.txt", "ccs"),
        (CASES / "pacbio-ccs-report-versions/v5.0.0/ccs.report.json", "ccs"),
        (CASES / "pacbio-ccs-report-versions/v6.2.0/ccs.report.json", "ccs"),
        (CASES / TENX / "SampleSheet.csv", None),
        (ALIGNMENTS / "small.bam", None),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_a_file_is_known_by_its_content_whatever_its_name(path: Path, tool: str | None) -> None:
    data = path.read_bytes()
    assert tool_of(data) == tool
    found = read_qc("odd name", data)
    assert bool(found) is (tool is not None)
    assert {metric.source for metric in found} <= {"odd name"}


@pytest.mark.parametrize("name", ["v6.2.0/ccs.report.json", "v6.2.0/ccs.report.txt"])
def test_ccs_says_the_same_in_text_and_in_json(name: str) -> None:
    found = read_qc(name, (CASES / "pacbio-ccs-report-versions" / name).read_bytes(), "cell")
    told = {metric.name: metric.value for metric in found}
    assert (told["zmws"], told["zmws_passed"]) == (177, 104)
    assert {metric.source for metric in found} == {name}


def test_fastp_counts_both_mates_and_its_percentages_come_from_counts() -> None:
    told = values("SAMPLE.fastp.json")
    assert told["reads_before"] == 16_763_944
    assert told["kept_percent"] == pytest.approx(100 * 16_034_314 / 16_763_944)
    assert told["q30_percent_after"] == pytest.approx(94.1898, abs=1e-4)
    assert told["duplication_percent"] == pytest.approx(30.703)
    assert (told["low_quality_reads"], told["too_short_reads"]) == (695_022, 19_868)


def test_a_blank_without_reads_has_counts_of_0_and_no_percentages() -> None:
    told = values("PCRblank.fastp.json")
    assert told["reads_before"] == 0
    assert (told["kept_percent"], told["q30_percent_before"]) == (None, None)
    assert not {"gc_percent_before", "duplication_percent", "insert_size_peak"} & set(told)
    empty = values("empty_fastqc.zip", "empty")
    assert empty["reads"] == 0
    assert not {"gc_percent", "duplication_percent", "shortest_read"} & set(empty)


def test_fastqc_tells_counts_lengths_duplication_and_its_verdicts() -> None:
    told = values("fastqc_data.txt", "F1-1A_S1_R1_001")
    assert (told["reads"], told["gc_percent"]) == (18_529_595, 49)
    assert (told["shortest_read"], told["longest_read"]) == (35, 151)
    assert told["lowest_mean_quality"] == pytest.approx(34.9855, abs=1e-4)
    assert told["duplication_percent"] == pytest.approx(79.6966, abs=1e-4)
    assert told["fastqc_modules_failed"] == 2


def test_flagstat_makes_its_own_percentages_where_samtools_writes_nan() -> None:
    told = values("small.flagstat.txt")
    assert (told["records"], told["mapped"], told["mate_elsewhere"]) == (5414, 5350, 206)
    assert told["mapped_percent"] == pytest.approx(98.8179, abs=1e-4)
    assert told["proper_pair_percent"] == pytest.approx(100 * 5011 / 5401)
    assert values("low_quality_2.flagstat.txt")["proper_pair_percent"] == pytest.approx(32.15, abs=1e-2)


def test_flagstat_says_the_same_in_text_and_in_json() -> None:
    bam = str(ALIGNMENTS / "range.bam")
    text, other = (pysam.flagstat("-O", form, bam).encode() for form in ("default", "json"))
    told = {m.name: m.value for m in read_qc("range.flagstat", text)}
    assert told == {m.name: m.value for m in read_qc("range.json", other)}
    assert told["records"] == 112


def test_samtools_of_today_agrees_with_itself_over_its_four_reports() -> None:
    bam = str(ALIGNMENTS / "range.bam")
    reports = [tool(bam).encode() for tool in (pysam.flagstat, pysam.stats, pysam.idxstats)]
    assert [tool_of(report) for report in reports] == ["samtools flagstat", "samtools stats", "samtools idxstats"]
    mapped = [{m.name: m.value for m in read_qc("x", r, "x") if m.scope == "x"}["mapped_percent"] for r in reports]
    assert mapped[0] == pytest.approx(mapped[1]) == pytest.approx(mapped[2])
    coverage = {m.name for m in read_qc("x", pysam.coverage(bam).encode(), "x") if m.scope == "x"}
    assert coverage == {"breadth_1x_percent", "mean_depth"}


def test_stats_of_single_reads_have_no_insert_size() -> None:
    told = values("Test1.stats.txt")
    assert (told["reads"], told["mean_quality"]) == (101, 38.5)
    assert told["mapped_percent"] == pytest.approx(100 * 81 / 101)
    assert told["error_percent"] == pytest.approx(1.449275, abs=1e-5)
    assert "insert_size_mean" not in told
    assert told["proper_pair_percent"] is None


def test_breadth_and_depth_are_weighted_by_the_length_of_references() -> None:
    head = "#rname\tstartpos\tendpos\tnumreads\tcovbases\tcoverage\tmeandepth\tmeanbaseq\tmeanmapq\n"
    found = read_qc("x", (head + "a\t1\t900\t9\t900\t100\t10\t30\t60\nb\t1\t100\t0\t0\t0\t0\t0\t0\n").encode(), "s")
    assert {(m.name, m.scope): m.value for m in found} == {
        ("breadth_1x_percent", "s"): 90,
        ("mean_depth", "s"): 9,
        ("mean_depth", "s, a"): 10,
        ("mean_depth", "s, b"): 0,
    }


@pytest.mark.parametrize(
    ("name", "scope"),
    [("out/S1_fastqc.zip", "S1"), ("S1.sorted.bam.flagstat.txt", "S1.sorted"), ("a/S_1.fastp.json", "S_1"),
     (".json", ".json")],
)  # fmt: skip
def test_a_file_is_about_what_its_name_says_less_what_tools_append(name: str, scope: str) -> None:
    (metric, *_) = read_qc(name, (QC / "SAMPLE.fastp.json").read_bytes())
    assert metric.scope == scope


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_fastqc/fastqc_data.txt", content)
    return target.getvalue()


def test_a_zip_that_would_inflate_beyond_reason_is_not_inflated() -> None:
    real = (QC / "fastqc_data.txt").read_bytes()
    assert read_qc("x_fastqc.zip", zipped(real)) != []
    assert read_qc("x_fastqc.zip", zipped(real + bytes(MAX_INFLATED))) == []


REAL = [path.read_bytes()[:20_000] for path in sorted(QC.iterdir())]


@given(st.sampled_from(REAL), st.data())
def test_damaged_reports_give_numbers_or_nothing_and_never_an_exception(real: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(real)))
    damaged = real[:place] + data.draw(st.binary(max_size=30)) + real[place + data.draw(st.integers(0, 300)) :]
    for metric in read_qc("x", damaged):
        assert metric.value is None or abs(metric.value) < float("inf")


def test_numbers_that_no_tool_counts_to_are_no_numbers() -> None:
    huge = json.dumps({"summary": {"before_filtering": {"total_reads": 10**400, "total_bases": True}}}).encode()
    assert read_qc("x", huge) == []
    assert read_qc("x", b'{"before_filtering":' * 50_000) == []


# ---- lanes


def test_the_spread_of_a_lane_leaves_undetermined_reads_apart() -> None:
    reads = {("A", 1): 100, ("B", 1): 300, ("C", 1): 0, ("Undetermined", 1): 600, ("A", 2): None}
    told = {(m.name, m.scope): m.value for m in lane_metrics(reads, "r")}
    assert told["undetermined_percent", "lane 1"] == 60
    assert told["samples_without_reads", "lane 1"] == 1
    assert told["barcode_cv_percent", "lane 1"] == pytest.approx(93.541, abs=1e-3)
    assert ("undetermined_percent", "lane 2") not in told


def test_a_perfect_index_of_undetermined_reads_is_not_claimed() -> None:
    run = case("illumina-bclconvert-393-10x/210615_A00302_0309_AHY3CLDSXY")
    told = {metric.name for metric in run.qc if metric.scope == "Undetermined, lane 1"}
    assert "reads" in told
    assert "perfect_index_percent" not in told


def test_unknown_barcodes_of_both_converters_are_the_metrics_of_their_lane() -> None:
    run = case("illumina-bcl2fastq-stats-json")
    top = [(m.scope, m.value) for m in run.qc if m.name == "unknown_barcode_reads"]
    assert top[0] == ("CCCCCCCC, lane 8", 585_305)
    assert len(top) == 5
    report = b"Lane,index,index2,# Reads,% of Unknown Barcodes\n1,ACGT,,7,0.1\n1,GGGG,TTTT,9,0.2\n2,\n"
    assert unknown_of_report(report, "r")[0] == [Unknown(1, "ACGT", 7), Unknown(1, "GGGG+TTTT", 9)]


@pytest.mark.parametrize(
    ("barcode", "reads", "words"),
    [
        ("CCCC+GATC", 90, "is a sample missing from the sheet"),
        ("CCCC+GATC", 40, None),
        ("GGGG+GGGG", 900, None),
        ("AACC+CCTA", 90, "that of S1 the wrong way round"),
    ],
)
def test_an_unknown_barcode_as_large_as_a_sample_is_told_and_poly_g_is_not(
    barcode: str, reads: int, words: str | None
) -> None:
    samples = [SheetSample(sample_id="S1", lane=1, barcode="AACC+TAGG")]
    known = [QCMetric(name="reads", value=100, scope="S1, lane 1"), QCMetric(name="reads", value=9, scope="S1, lane 2")]
    found = suspects([Unknown(1, barcode, reads)], known, samples, "r")
    assert [words in problem.message for problem in found if words] == ([True] if words else [])
    assert bool(found) is bool(words)


def test_a_missing_sample_is_told_for_a_whole_folder(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001", "out"), "[Data]\nSample_ID,index\nA,ACGT\n")
    put(root, "out/Reports/Demultiplex_Stats.csv", "Lane,SampleID,# Reads\n1,A,50\n1,Undetermined,60\n")
    put(root, "out/Reports/Top_Unknown_Barcodes.csv", "Lane,index,index2,# Reads\n1,TTAG,,55\n")
    run = read_run(root)
    assert codes(run) == ["UNKNOWN_BARCODE"]
    assert [m.value for m in run.qc if m.name == "undetermined_percent"] == [pytest.approx(100 * 60 / 110)]


def test_the_other_strand_reads_backwards() -> None:
    assert reverse_complement("AACCGTn") == "nACGGTT"
