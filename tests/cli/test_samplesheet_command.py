"""`labrelay samplesheet`, as a person types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Said
from tiny_run import TinyLab

from labrelay.parsers.samplesheet import read_sample_sheet

Command = Callable[..., Said]
RUN_INFO = Path(__file__).parents[1] / "data/instruments/illumina-novaseqx-2023-8lane"
TABLE = """sample,barcode,aliases,experiment
S 1,ACGTACGTAA+TTTTCCCCAA,S1,pool
S2,TGCATGCATT+GGGGAAAATT,,pool
Q1,AAAAAAAA,,twins
Q2,AAAAAATT,,twins
"""


@pytest.fixture
def told(fresh: TinyLab, fresh_labrelay: Command, tmp_path: Path) -> Command:
    table = tmp_path / "announced.csv"
    table.write_text(TABLE)
    assert fresh_labrelay("announce", table).code == 0
    return fresh_labrelay


def test_a_sheet_is_written_from_the_announced_samples_and_the_runs_own_recipe(told: Command, tmp_path: Path) -> None:
    (run_info,) = RUN_INFO.rglob("RunInfo.xml")
    lanes = tmp_path / "lanes.csv"
    lanes.write_text("Sample,Lane\ns1,1\nS2,1\nS2,8\n")
    out = tmp_path / "SampleSheet.csv"
    words = ("samplesheet", "pool", "--run-info", run_info, "--lane-map", lanes, "--out", out)
    said = told(*words)
    assert said.code == 0, said.err
    assert "Y151;I10N8;I10;Y151" in said.out
    assert (
        "second index: forward, RunInfo.xml has IsReverseComplement, by which BCL Convert turns it where needed"
        in said.out
    )
    sheet = read_sample_sheet(out.read_bytes(), out.name, 8)
    assert sheet.problems == ()
    assert [(s.sample_id, s.lane, s.index2) for s in sheet.samples] == [
        ("S1", 1, "TTTTCCCCAA"),
        ("S2", 1, "GGGGAAAATT"),
        ("S2", 8, "GGGGAAAATT"),
    ]
    assert told(*words).code == 0, "the same sheet again is no conflict"
    other = told(*words, "--mismatches", 0)
    assert (other.code, "is another sheet" in other.err) == (2, True)


def test_the_second_index_of_a_recipe_in_numbers_has_to_be_said(told: Command, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    words = ("samplesheet", "pool", "--cycles", "151,10,10,151", "--out", out)
    said = told(*words)
    assert said.code == 2
    assert "say --i5 forward or --i5 reverse-complement" in said.err
    assert not out.exists()
    turned = told(*words, "--i5", "reverse-complement", "--json")
    assert json.loads(turned.out)["override_cycles"] == ["Y151;I10;I10;Y151"]
    assert "S1,ACGTACGTAA,TTGGGGAAAA\n" in out.read_text()


def test_samples_that_cannot_be_told_apart_are_refused_with_what_would_do(told: Command, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    said = told("samplesheet", "twins", "--cycles", "76,8", "--out", out)
    assert (said.code, out.exists()) == (2, False)
    assert "Q1 and Q2 differ in 2 bases" in said.err
    assert told("samplesheet", "twins", "--cycles", "76,8", "--mismatches", 0, "--out", out).code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nothing", "--cycles", "76,8"), "no experiment is called nothing"),
        (("twins",), "say either --run-info"),
        (("twins", "--cycles", "76,8", "--run-info", "x"), "say either --run-info"),
        (("twins", "--cycles", "seventy"), "is no recipe"),
        (("twins", "--run-info", "absent.xml"), "there is no file absent.xml"),
        (("twins", "--cycles", "76,8", "--lane-map", "absent.csv"), "there is no file absent.csv"),
    ],
)
def test_mistakes_are_told_in_a_sentence(told: Command, tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    said = told("samplesheet", *words, "--out", tmp_path / "s.csv")
    assert said.code == 2
    assert expected in said.err


def test_a_lane_map_with_a_strange_name_is_refused_at_its_line(told: Command, tmp_path: Path) -> None:
    lanes = tmp_path / "lanes.csv"
    lanes.write_text("sample,lane\nQ1,1\nQ9,2\nQ2,x\n")
    words = ("--cycles", "76,8", "--lane-map", lanes, "--out", tmp_path / "s.csv")
    said = told("samplesheet", "twins", *words)
    assert said.code == 2
    assert "lanes.csv:3" in said.err
    assert "lanes.csv:4" in said.err


def test_all_that_is_wrong_is_told_at_once_the_second_index_and_pairs_too_alike_with_it(
    told: Command, tmp_path: Path
) -> None:
    table = tmp_path / "wrong.csv"
    table.write_text(
        "sample,experiment,barcode\nR1,wrong,AAAAAAAA+CCCCCCCC\nR2,wrong,AAAAAAAT+CCCCCCCC\nR3,wrong,ACGTNNNN+GGGGTTTT\n"
    )
    assert told("announce", table).code == 0
    lanes = tmp_path / "lanes.csv"
    lanes.write_text("sample,lane\nR1,1\nR2,1\nR3,2\nR9,1\n")
    said = told("samplesheet", "wrong", "--cycles", "76,8,8", "--lane-map", lanes, "--out", tmp_path / "s.csv")
    assert said.code == 2
    for words in (
        "lanes.csv:5: 'R9' is no sample of the experiment",
        "index 1 of R3 has other letters",
        "R1 and R2 in lane 1 differ in 1 and 0 bases",
        "index 2 of R1 has 8 bases and the recipe no cycles",
        "say --i5 forward or --i5 reverse-complement",
    ):
        assert words in said.err, words
