from __future__ import annotations

from pathlib import Path

import pytest
from fastq_text import members

from labrelay.model.problem import Problem, Severity
from labrelay.parsers.fastq import scan_fastq
from labrelay.parsers.mates import Mismatch, check_mates, first_mate_mismatch


def write(path: Path, names: list[str]) -> Path:
    text = "".join(f"@{name}\nACGT\n+\nIII{chr(33 + len(path.name))}\n" for name in names).encode()
    path.write_bytes(members(text, [len(text) // 3]) if path.suffix == ".gz" else text)
    return path


def judge(tmp_path: Path, first: list[str], second: list[str]) -> list[Problem]:
    paths = write(tmp_path / "a_R1.fastq.gz", first), write(tmp_path / "a_2_R2.fastq", second)
    return check_mates(scan_fastq(paths[0]), scan_fastq(paths[1]), *paths, names=("run/a_R1", "run/a_R2"))


def said(problems: list[Problem]) -> list[tuple[str, str | None, int | None]]:
    return [(problem.code, problem.path, problem.line) for problem in problems]


NAMES = [f"M01:1:FC:1:1101:{n}:{n * 7}" for n in range(50)]


@pytest.mark.parametrize(
    "ends", [("/1", "/2"), (" 1:N:0:A", " 2:N:0:A"), ("", ""), (" 1", " 2"), (".1", ".2"), ("\tx", " y")]
)
def test_true_mates_pass_in_every_naming(tmp_path: Path, ends: tuple[str, str]) -> None:
    first, second = ([name + end for name in NAMES] for end in ends)
    assert judge(tmp_path, first, second) == []


def test_two_files_without_reads_are_a_pair(tmp_path: Path) -> None:
    assert judge(tmp_path, [], []) == []


def test_swapped_mates_are_named(tmp_path: Path) -> None:
    for ends in ((" 2:N:0:A", " 1:N:0:A"), ("/2", "/1")):
        first, second = ([name + end for name in NAMES] for end in ends)
        assert said(judge(tmp_path, first, second)) == [("MATES_SWAPPED", "run/a_R1", 1)]


def test_the_same_mate_number_in_both_files_is_a_warning(tmp_path: Path) -> None:
    names = [f"{name} 1:N:0:A" for name in NAMES]
    problems = judge(tmp_path, names, names)
    assert [(p.code, p.severity) for p in problems] == [("MATE_NUMBERS", Severity.WARNING)]


def test_one_file_given_twice_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fastq", NAMES)
    stats = scan_fastq(path)
    assert said(check_mates(stats, stats, path, path)) == [("MATES_IDENTICAL", "a.fastq", None)]


@pytest.mark.parametrize("place", [0, 1, 24, 49])
def test_the_first_name_that_differs_is_given_with_its_line(tmp_path: Path, place: int) -> None:
    other = [*NAMES[:place], "stranger", *NAMES[place + 1 :]]
    problems = judge(tmp_path, NAMES, other)
    assert said(problems) == [("MATE_NAMES", "run/a_R2", 4 * place + 1)]
    assert f"record {place + 1} is stranger here but {NAMES[place]} in run/a_R1" in problems[0].message


def test_two_neighbours_in_another_order_are_no_mates(tmp_path: Path) -> None:
    other = [*NAMES[:10], NAMES[11], NAMES[10], *NAMES[12:]]
    assert said(judge(tmp_path, NAMES, other)) == [("MATE_NAMES", "run/a_R2", 41)]


@pytest.mark.parametrize(("second", "record"), [(NAMES[:-1], 50), (NAMES[1:], 1), ([], 1), ([*NAMES, "more"], 51)])
def test_other_numbers_of_reads_are_named_with_where_they_part(tmp_path: Path, second: list[str], record: int) -> None:
    problems = judge(tmp_path, NAMES, second)
    assert said(problems) == [("MATE_COUNT", "run/a_R2", 4 * record - 3)]
    assert f"has 50 reads and run/a_R2 has {len(second)}" in problems[0].message


def test_archive_suffixes_the_wrong_way_round_are_no_mates(tmp_path: Path) -> None:
    first, second = ([name + end for name in NAMES] for end in (".2", ".1"))
    assert said(judge(tmp_path, first, second)) == [("MATE_NAMES", "run/a_R2", 1)]


def test_the_second_pass_reads_large_files_in_pieces(tmp_path: Path) -> None:
    names = [f"read{n}" for n in range(30_000)]
    first = write(tmp_path / "1.fastq.gz", names)
    second = write(tmp_path / "2.fastq", [*names[:29_999], "last"])
    assert first_mate_mismatch(first, second) == Mismatch(30_000, "read29999", "last")
    assert first_mate_mismatch(first, first) is None


def test_a_second_reading_says_now_and_then_that_it_lives(tmp_path: Path) -> None:
    paths = write(tmp_path / "a_R1.fastq", NAMES), write(tmp_path / "a_R2.fastq", [*NAMES[:-1], "other"])
    calls: list[None] = []
    found = check_mates(scan_fastq(paths[0]), scan_fastq(paths[1]), *paths, alive=lambda: calls.append(None))
    assert [problem.code for problem in found] == ["MATE_NAMES"]
    assert calls
