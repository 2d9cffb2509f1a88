from __future__ import annotations

import pytest
from run_folders import CASES, case, codes, illumina_run, put

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers.conversion import bcl2fastq_metrics, bcl_convert_metrics, scope_of
from labrelay.parsers.registry import read_run


def value(run: InstrumentRun, name: str, scope: str) -> float | None:
    (metric,) = [metric for metric in run.qc if (metric.name, metric.scope) == (name, scope)]
    return metric.value


def total_reads(run: InstrumentRun) -> float:
    return sum(metric.value or 0 for metric in run.qc if metric.name == "reads")


def test_reads_of_all_lanes_add_up_to_the_known_sum() -> None:
    assert total_reads(case("illumina-bclconvert-393-10x/210615_A00302_0309_AHY3CLDSXY")) == 11_558_990_434
    assert total_reads(case("illumina-bclconvert-363-hybrid-sheet")) == 2_959_251_939
    assert total_reads(case("illumina-nextseq2000-bclconvert-zero-yield/240131_VH00384_146_AACCHKLHV")) == 1_288_866_297


def test_percentages_come_from_counts_over_both_reads() -> None:
    run = case("illumina-bclconvert-393-10x/210615_A00302_0309_AHY3CLDSXY")
    scope = scope_of("S34863_GBC_Multiplex", 1)
    expected = 100 * (231205514 + 744033726) / (239532160 + 769924800)
    assert value(run, "q30_percent", scope) == pytest.approx(expected)
    assert value(run, "perfect_index_percent", scope) == pytest.approx(100 * 8365833 / 8554720)
    assert value(run, "mean_quality", scope) == pytest.approx((8725674957 + 28067026724) / (239532160 + 769924800))


def test_the_indexes_of_one_sample_are_summed_and_not_averaged() -> None:
    run = case("illumina-bclconvert-363-hybrid-sheet")
    scope = scope_of("PRJ200438_LPRJ200438", 4)
    assert value(run, "reads", scope) == 180943953 + 180532841 + 162132684 + 154347553
    assert not [metric for metric in run.qc if metric.name == "q30_percent"], "this version writes no yield"


def test_a_sample_without_reads_has_no_percentages_though_the_report_says_1_0000() -> None:
    run = case("illumina-nextseq2000-bclconvert-zero-yield/240131_VH00384_146_AACCHKLHV")
    scope = scope_of("AACCHKLHV_ACACTAAG-AACCGCGG", 1)
    assert value(run, "reads", scope) == 0
    assert value(run, "perfect_index_percent", scope) is None
    assert value(run, "q30_percent", scope) is None
    assert len({metric.scope for metric in run.qc if ", lane" in metric.scope}) == 380
    assert value(run, "samples_without_reads", "lane 1") == 189


def test_bcl2fastq_statistics_of_a_sample_with_four_indexes() -> None:
    run = case("illumina-bcl2fastq-stats-json")
    scope = scope_of("Sample_P7357_116", 8)
    assert value(run, "clusters_pf", "lane 8") == 335_045_679
    assert value(run, "reads", scope) == 301_359_022
    perfect = 74909646 + 67411264 + 74449851 + 65872292
    assert value(run, "perfect_index_percent", scope) == pytest.approx(100 * perfect / 301_359_022)
    assert value(run, "q30_percent", scope) == pytest.approx(100 * (37706348364 + 27757074015) / 91010424644)
    assert value(run, "reads", scope_of("Undetermined", 8)) == 33_686_657


def test_a_project_column_of_newer_versions_moves_nothing() -> None:
    report = b"Lane,SampleID,Sample_Project,Index,# Reads,# Perfect Index Reads\n1,A,p,ACGT,10,5\n"
    metrics, problems = bcl_convert_metrics((report, "Reports/Demultiplex_Stats.csv"), None)
    told = {metric.name: metric.value for metric in metrics if metric.scope == "A, lane 1"}
    assert told == {"reads": 10, "perfect_index_percent": 50}
    assert problems == []


def test_a_lane_without_any_index_has_no_perfect_ones() -> None:
    report = b"Lane,SampleID,Sample_Project,Index,# Reads,# Perfect Index Reads\n1,pool,p,,657929553,657929553\n"
    metrics, _ = bcl_convert_metrics((report, "r"), None)
    assert {metric.name for metric in metrics} == {"reads", "samples_without_reads"}


@pytest.mark.parametrize(
    "report",
    [b"", b"\0\0\0", b"nothing here", b"Lane,SampleID,# Reads\n1,A\n", b"Lane,SampleID,# Reads\nx,A,3\n"],
)
def test_a_broken_report_is_a_warning_and_gives_no_number(report: bytes) -> None:
    metrics, problems = bcl_convert_metrics((report, "Reports/Demultiplex_Stats.csv"), None)
    assert metrics == []
    assert "BAD_REPORT" in {problem.code for problem in problems}


def test_a_count_that_is_missing_or_no_number_does_not_become_0() -> None:
    report = b"Lane,SampleID,# Reads,# Perfect Index Reads\n1,A,,\n1,B,nan,-1\n"
    assert bcl_convert_metrics((report, "r"), None)[0] == []


@pytest.mark.parametrize(
    "stats",
    [b"", b"[1]", b'{"ConversionResults": 3}', b"[" * 100_000, b'{"RunId": ' + b"9" * 5_000 + b"}",
     b'{"ConversionResults":[{"LaneNumber":1,"DemuxResults":[{"SampleId":7,"NumberReads":true}]}]}'],
    ids=["empty", "list", "number", "deep", "huge number", "wrong types"],
)  # fmt: skip
def test_hostile_statistics_raise_nothing_and_give_no_number(stats: bytes) -> None:
    run_id, metrics, _ = bcl2fastq_metrics(stats, "Stats/Stats.json")
    assert (run_id, metrics) == (None, [])


def test_statistics_of_another_run_in_the_folder_are_refused(tmp_path) -> None:
    root = illumina_run(tmp_path, ["fastq/A_S1_R1_001.fastq.gz"])
    put(root, "fastq/Stats/Stats.json", (CASES / "illumina-bcl2fastq-stats-json/Stats/Stats.json").read_bytes())
    assert codes(read_run(root), "error") == ["WRONG_RUN"]
