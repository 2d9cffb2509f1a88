"""What a converter is told, from a recipe and a sheet."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_bcl import run_info

from labrelay.parsers.illumina_runinfo import parse_run_info
from labrelay.parsers.read_masks import structure_of
from labrelay.parsers.samplesheet import read_sample_sheet
from labrelay.steps.demultiplex_plan import Given, plan_of

INDEX, TURNED = 'IsIndexedRead="Y"', 'IsIndexedRead="Y" IsReverseComplement="Y"'
DUAL = ((151, ""), (10, INDEX), (10, TURNED), (151, ""))


def given(sheet: str, recipe: tuple[tuple[int, str], ...] = DUAL, lanes: tuple[int, ...] = (1, 2)) -> Given:
    info, _ = parse_run_info(run_info("261128_LH00001_0009_AFLOW", recipe, len(lanes)).encode(), "RunInfo.xml")
    assert info is not None
    data = sheet.encode()
    return Given(info, read_sample_sheet(data, "s.csv"), data, "s.csv", lanes)


def lanes_of(sheet: str, recipe: tuple[tuple[int, str], ...] = DUAL) -> list[Any]:
    plan, problems = plan_of(given(sheet, recipe), "picard")
    assert problems == []
    assert plan is not None
    return list(plan.document["lanes"])  # type: ignore[arg-type]


def wrong(sheet: str, converter: str = "picard", recipe: tuple[tuple[int, str], ...] = DUAL) -> list[str]:
    plan, problems = plan_of(given(sheet, recipe), converter)
    assert plan is None
    return [f"{problem.code} {problem.message}" for problem in problems]


def test_shorter_indexes_leave_the_cycles_of_the_adapter_out_on_the_side_where_the_instrument_reads_them() -> None:
    one, two = lanes_of("[Data]\nSample_ID,index,index2\na,ACGTACGT,AAAACCCC\nb,TTTTGGGG,GGGGTTTT\n")
    assert (one["lane"], two["lane"], one["structure"]) == (1, 2, "151T8B2S2S8B151T")
    assert [sample["read_as"] for sample in one["samples"]] == [["ACGTACGT", "GGGGTTTT"], ["TTTTGGGG", "AAAACCCC"]]
    assert [sample["file"] for sample in one["samples"]] == ["a_S1", "b_S2"]


def test_a_lane_of_its_own_and_the_masks_of_a_row_are_followed() -> None:
    sheet = (
        "[BCLConvert_Settings]\nOverrideCycles,Y151;I10;N10;Y151\n[BCLConvert_Data]\n"
        "Lane,Sample_ID,Index,OverrideCycles\n2,a,ACGTACGTAA,\n1,b,ACGT,N5Y146;I4N6;N10;Y151\n"
    )
    one, two = lanes_of(sheet)
    assert (one["structure"], one["indexes"], one["samples"][0]["file"]) == ("5S146T4B6S10S151T", 1, "b_S2")
    assert (two["structure"], two["turned"]) == ("151T10B10S151T", [False])


def test_one_sample_without_an_index_has_the_whole_lane() -> None:
    (one, _) = lanes_of("[Data]\nSample_ID,index\na,\n")
    assert (one["structure"], one["indexes"], one["mates"]) == ("151T10S10S151T", 0, 2)


def test_four_indexes_of_one_sample_may_be_alike_and_go_into_one_file() -> None:
    (one, _) = lanes_of("[Data]\nSample_ID,index\na,AAAAAAAA\na,AAAAAAAT\nb,GGGGGGGG\n")
    assert [sample["file"] for sample in one["samples"]] == ["a_S1", "a_S1", "b_S2"]
    assert len({sample["prefix"] for sample in one["samples"]}) == 3


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        ("[Data]\nSample_ID,index\na,AAAAAAAA\nb,CCCCCC\n", "BAD_MASK lane 1 .* several lengths"),
        ("[Data]\nSample_ID,index\na,SI-GA-A1\nb,CCCCCC\n", "NO_INDEX a has the index 'SI-GA-A1', which is no seq"),
        ("[Data]\nLane,Sample_ID,index\n3,a,AAAAAAAA\n", "LANE_MISSING .* no base calls of lane 3"),
        ("[Data]\nSample_ID,index\na b,AAAAAAAA\n", "BAD_SAMPLE_ID 'a b'"),
        ("[Data]\nSample_ID,index\na,AAAANAAA\n", "BAD_INDEX the index of a"),
        ("[Data]\nSample_ID,index\na,AAAAAAAAAAAA\n", "BAD_MASK .* index of a is longer"),
        ("[Data]\nSample_ID,index\na,AAAAAAAA\nb,AAAAAATT\n", "INDEX_COLLISION a and b in lane 1 differ in 2 bases"),
        (
            "[Settings]\nOverrideCycles,U8Y143;I10;I10;Y151\n[Data]\nSample_ID,index,index2\na,AAAAAAAAAA,CCCCCCCCCC\n",
            "BAD_MASK .* has a UMI",
        ),
        (
            "[Settings]\nOverrideCycles,Y151;I10;I10;Y151\n[Data]\nSample_ID,index\na,AAAAAAAAAA\n",
            "INDEX_LENGTH the index of a is shorter",
        ),
    ],
)
def test_what_picard_cannot_do_or_nobody_should_is_refused_with_what_to_do(sheet: str, words: str) -> None:
    import re

    told = wrong(sheet)
    assert re.match(words, told[0]), told


def test_of_masks_bcl_convert_judges_itself_and_of_collisions_we_do() -> None:
    umi = "[Settings]\nOverrideCycles,U8Y143;I10;I10;Y151\n[Data]\nSample_ID,index,index2\na,AAAAAAAAAA,CCCCCCCCCC\n"
    plan, problems = plan_of(given(umi), "bcl-convert")
    assert (plan is not None, problems) == (True, [])
    assert "INDEX_COLLISION" in wrong("[Data]\nSample_ID,index\na,AAAAAAAA\nb,AAAAAATT\n", "bcl-convert")[0]


@pytest.mark.parametrize("mask", ["Y151;I10;I10", "Y150;I10;I10;Y151", "Y151;I10;I10;*", "Y75N1Y75;I10;I10;Y151", ""])
def test_a_mask_that_is_not_the_runs_is_said_to_be_so(mask: str) -> None:
    info = given("[Data]\nSample_ID,index\na,AAAAAAAA\n").info
    assert isinstance(structure_of(mask, info.reads), str)
