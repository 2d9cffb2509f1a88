"""Sheets that we write: told apart, masked and turned as the recipe wants it, and read back by our own reader."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import CASES

from labrelay.model.instrument import ReadSegment
from labrelay.parsers.illumina_runinfo import parse_run_info
from labrelay.parsers.index_check import Indexed, check_indexes
from labrelay.parsers.samplesheet import read_sample_sheet
from labrelay.parsers.samplesheet_write import (
    Orientation,
    Wanted,
    check,
    make_sheet,
    orientation_of,
    override_cycles,
    recipe_of_cycles,
    usable_sample_id,
)

DUAL = recipe_of_cycles("151,10,10,151") or ()
SINGLE = recipe_of_cycles("151,8,151") or ()


def recipe_in(case: str) -> tuple[ReadSegment, ...]:
    (path,) = [p for p in (CASES / case).rglob("RunInfo.xml") if "Reports" not in p.parts]
    info, _ = parse_run_info(path.read_bytes(), "RunInfo.xml")
    assert info is not None
    return info.reads


def codes(samples: list[Wanted], reads: tuple[ReadSegment, ...] = DUAL, mismatches: int = 1) -> list[str]:
    return [problem.code for problem in check(samples, reads, 8, mismatches)]


# ---- telling samples apart


@pytest.mark.parametrize(
    ("one", "other", "mismatches", "apart"),
    [
        (("AAAAAAAA", ""), ("AAAAAATT", ""), 1, False),
        (("AAAAAAAA", ""), ("AAAAATTT", ""), 1, True),
        (("AAAAAAAA", ""), ("AAAAATTT", ""), 2, False),
        (("AAAAAAAA", ""), ("AAAAAAAT", ""), 0, True),
        (("AAAAAAAA", ""), ("AAAAAAAA", ""), 0, False),
        (("AAAAAAAA", "CCCCCCCC"), ("AAAAAAAA", "CCCCCTTT"), 1, True),
        (("AAAAAAAA", "CCCCCCCC"), ("AAAAAATT", "CCCCCCTT"), 1, False),
        (("AAAAAA", ""), ("AAAAAATT", ""), 0, False),
    ],
)
def test_two_samples_are_apart_when_one_index_differs_in_more_than_twice_the_mismatches(
    one: tuple[str, str], other: tuple[str, str], mismatches: int, apart: bool
) -> None:
    found = check_indexes([Indexed("a", *one, ()), Indexed("b", *other, ())], mismatches)
    assert (not found.collisions) is apart
    assert (found.allowed >= mismatches) is apart


def test_samples_of_different_lanes_are_not_compared_and_those_of_all_lanes_are() -> None:
    one, two, all_lanes = Indexed("a", "ACGT", "", (1,)), Indexed("b", "ACGT", "", (2,)), Indexed("c", "ACGT", "", ())
    assert check_indexes([one, two], 1).collisions == ()
    assert [(c.first, c.second, c.lane) for c in check_indexes([one, two, all_lanes], 1).collisions] == [
        ("c", "a", 1),
        ("c", "b", 2),
    ]


@given(st.lists(st.tuples(st.text("ACGT", min_size=3, max_size=3), st.text("ACGT", min_size=3, max_size=3)),
                min_size=2, max_size=6), st.integers(0, 1))  # fmt: skip
def test_a_collision_is_exactly_a_read_that_two_samples_can_claim(pairs: list[tuple[str, str]], allowed: int) -> None:
    def claims(index: str, read: str) -> bool:
        return sum(a != b for a, b in zip(index, read, strict=True)) <= allowed

    reads = ["".join(bases) for bases in itertools.product("ACGT", repeat=3)]
    truth = set()
    for (place, one), (at, other) in itertools.combinations(enumerate(pairs), 2):
        both = [any(claims(one[part], r) and claims(other[part], r) for r in reads) for part in (0, 1)]
        if all(both):
            truth.add((str(place), str(at)))
    found = check_indexes([Indexed(str(n), *pair, ()) for n, pair in enumerate(pairs)], allowed)
    assert {(c.first, c.second) for c in found.collisions} == truth


def test_three_thousand_samples_of_one_lane_are_all_compared() -> None:
    bases = ["".join(each) for each in itertools.product("ACGT", repeat=6)][:3000]
    found = check_indexes([Indexed(b, b, b, ()) for b in [*bases, bases[0]]], 0)
    assert [(c.first, c.second) for c in found.collisions] == [("AAAAAA", "AAAAAA")]
    assert found.closest == 0


# ---- what forbids a sheet


def test_everything_that_forbids_a_sheet_comes_at_once() -> None:
    samples = [
        Wanted("A 1", "ACGTACGTACGT", "TTTT", (9,)),
        Wanted("B", "ACGN", "TTTT", (1,)),
        Wanted("b", "GGGG", "", ()),
        Wanted("Undetermined", "CCCC", "AAAA", (1,)),
    ]
    assert sorted(codes(samples)) == [
        "BAD_INDEX",
        "BAD_SAMPLE_ID",
        "BAD_SAMPLE_ID",
        "DUPLICATE_SAMPLE",
        "INDEX_LENGTH",
        "LANE_OUT_OF_RANGE",
        "MIXED_INDEXES",
        "NO_LANE",
    ]


def test_a_collision_names_both_samples_and_the_mismatches_that_would_do() -> None:
    samples = [Wanted("A", "AAAAAAAA"), Wanted("B", "AAAAAATT")]
    (problem,) = check(samples, SINGLE, None, 1)
    assert problem.code == "INDEX_COLLISION"
    assert "A and B differ in 2 bases" in problem.message
    assert "--mismatches 0 would tell all apart" in problem.message
    assert check(samples, SINGLE, None, 0) == []
    (same,) = check([Wanted("A", "AAAAAAAA"), Wanted("B", "AAAAAAAA")], SINGLE, None, 0)
    assert "change one of them" in same.message


def test_samples_without_an_index_need_a_lane_each() -> None:
    assert codes([Wanted("A")]) == []
    assert codes([Wanted("A"), Wanted("B")]) == ["NO_INDEX"]
    assert codes([Wanted("A", lanes=(1,)), Wanted("B", lanes=(2,))]) == []
    assert codes([Wanted("A", lanes=(1, 2)), Wanted("B", lanes=(2,))]) == ["NO_INDEX"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("S_1-a",), "S_1-a"), (("S 1", "S.1", "S1"), "S1"), (("=cmd", "-x", "ünd"), None), (("all", "x" * 101), None)],
)
def test_a_name_that_the_converter_does_not_take_gives_way_to_an_alias(
    names: tuple[str, ...], expected: str | None
) -> None:
    assert usable_sample_id(*names) == expected


# ---- masks and the second index


@pytest.mark.parametrize(
    ("case", "index", "index2", "expected"),
    [
        ("illumina-novaseq6000-2018-s2", 8, 8, "Y51;I8;I8;Y51"),
        ("illumina-novaseqx-2023-8lane", 8, 8, "Y151;I8N10;N2I8;Y151"),
        ("illumina-nextseq2000-bclconvert-zero-yield", 8, 0, "Y151;I8;N8;Y151"),
        ("illumina-miseq-2014-single-read-interop", 6, 0, "Y50;I6"),
        ("illumina-bclconvert-393-10x", 10, 10, "Y28;I10;I10;Y90"),
    ],
)
def test_masks_follow_the_recipe_of_real_runs(case: str, index: int, index2: int, expected: str) -> None:
    assert override_cycles(recipe_in(case), index, index2) == expected


def test_the_mask_of_a_published_sheet_is_the_one_that_we_derive() -> None:
    sheet = read_sample_sheet((CASES / "samplesheet-v2-tso500-cloud/standard-sheet-with-settings.csv").read_bytes(), "")
    (first, *_) = sheet.samples
    assert first.index is not None
    assert first.index2 is not None
    assert override_cycles(DUAL, len(first.index), len(first.index2)) == sheet.settings["OverrideCycles"]


def test_index_reads_that_come_first_have_their_masks_first() -> None:
    reads = tuple(ReadSegment(number=n, cycles=c, is_index=n < 3) for n, c in enumerate((10, 10, 151, 151), 1))
    assert override_cycles(reads, 10, 8) == "I10;I8N2;Y151;Y151"


@pytest.mark.parametrize(
    ("reads", "serial", "asked", "expected"),
    [
        (recipe_in("illumina-novaseqx-2023-8lane"), "LH00444", None, Orientation.FORWARD),
        (DUAL, "M04586", None, Orientation.FORWARD),
        (DUAL, "A00291", None, None),
        (DUAL, "NS500318", None, None),
        (DUAL, None, None, None),
        (DUAL, "A00291", Orientation.REVERSE_COMPLEMENT, Orientation.REVERSE_COMPLEMENT),
    ],
)
def test_the_orientation_of_the_second_index_is_known_or_asked_for_and_never_guessed(
    reads: tuple[ReadSegment, ...], serial: str | None, asked: Orientation | None, expected: Orientation | None
) -> None:
    found, reason = orientation_of(reads, serial, asked)
    assert found is expected
    assert reason


def test_turning_what_the_converter_turns_itself_is_doubted() -> None:
    _, reason = orientation_of(recipe_in("illumina-novaseqx-2023-8lane"), "LH00444", Orientation.REVERSE_COMPLEMENT)
    assert "turns it itself" in reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [("151,10,10,151", "151 10I 10I 151"), ("50,6", "50 6I"), ("28,10,90", "28 10I 90"), ("76", "76"),
     ("151,8,0,151", "151 8I 151"), ("151;8", None), ("0,8", None), ("1,2,3,4,5", None), ("151,-8", None)],
)  # fmt: skip
def test_a_recipe_in_numbers_is_understood_or_refused(text: str, expected: str | None) -> None:
    reads = recipe_of_cycles(text)
    told = None if reads is None else " ".join(f"{r.cycles}{'I' if r.is_index else ''}" for r in reads)
    assert told == expected


# ---- the file


def test_what_is_written_is_read_back_without_a_single_problem() -> None:
    samples = [
        Wanted("A1", "ACGTACGTAA", "TTTTCCCCAA", (1, 2), "prj"),
        Wanted("B-2", "TGCATGCATT", "GGGGAAAATT", (2,), "prj"),
    ]
    assert check(samples, DUAL, 2, 1) == []
    made = make_sheet("exp 1/é", samples, DUAL, Orientation.REVERSE_COMPLEMENT, 1)
    sheet = read_sample_sheet(made.text.encode(), "SampleSheet.csv", 2)
    assert (sheet.version, sheet.problems, len(sheet.samples)) == ("2", (), made.rows)
    assert [(s.sample_id, s.lane, s.index, s.index2, s.project) for s in sheet.samples] == [
        ("A1", 1, "ACGTACGTAA", "TTGGGGAAAA", "prj"),
        ("A1", 2, "ACGTACGTAA", "TTGGGGAAAA", "prj"),
        ("B-2", 2, "TGCATGCATT", "AATTTTCCCC", "prj"),
    ]
    assert sheet.header == {"FileFormatVersion": "2", "RunName": "exp-1-"}
    assert sheet.reads == {"Read1Cycles": 151, "Index1Cycles": 10, "Index2Cycles": 10, "Read2Cycles": 151}
    assert sheet.settings == {
        "BarcodeMismatchesIndex1": "1",
        "BarcodeMismatchesIndex2": "1",
        "OverrideCycles": "Y151;I10;I10;Y151",
    }


def test_indexes_of_several_lengths_have_their_masks_in_the_rows() -> None:
    samples = [Wanted("A", "ACGTACGTAA"), Wanted("B", "TGCATGCA")]
    made = make_sheet("e", samples, recipe_of_cycles("151,10") or (), None, 1)
    assert "OverrideCycles,Y" not in made.text
    assert "A,ACGTACGTAA,Y151;I10\nB,TGCATGCA,Y151;I8N2\n" in made.text
    assert "BCL Convert 4.1" in made.notes[0]
    assert "BarcodeMismatchesIndex2" not in made.text


def test_a_project_that_would_not_do_for_all_is_left_out_and_told() -> None:
    made = make_sheet("e", [Wanted("A", "ACGT", project="p 1")], SINGLE, None, 1)
    assert "Sample_Project" not in made.text
    assert "projects were left out" in made.notes[0]


NAMES = st.text("abcXYZ019-_", min_size=1, max_size=8).filter(lambda name: usable_sample_id(name) is not None)


@given(st.dictionaries(NAMES, st.tuples(st.text("ACGT", min_size=4, max_size=8), st.integers(1, 4)), min_size=1,
                       max_size=8))  # fmt: skip
def test_any_samples_that_pass_the_check_come_back_as_they_were(given_samples: dict[str, tuple[str, int]]) -> None:
    samples = [Wanted(name, index, "", (lane,)) for name, (index, lane) in given_samples.items()]
    if check(samples, SINGLE, 4, 0):
        return
    sheet = read_sample_sheet(make_sheet("e", samples, SINGLE, None, 0).text.encode(), "s", 4)
    assert sheet.problems == ()
    assert [(s.sample_id, s.index, s.lane) for s in sheet.samples] == [
        (w.sample_id, w.index, w.lanes[0]) for w in samples
    ]
