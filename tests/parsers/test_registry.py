from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_folders import BASECALLS, CASES, RUN_ID, case, codes, illumina_run, mates, put

from labrelay.model.errors import RefusedInput
from labrelay.model.files import FileRole
from labrelay.model.instrument import CycleQuality, Detection, InstrumentRun
from labrelay.model.problem import refusal_of
from labrelay.model.qc import QCMetric
from labrelay.parsers import registry
from labrelay.parsers.listing import Listing
from labrelay.parsers.registry import detect, read_run
from labrelay.parsers.zero_yield import zero_yield

EMPTY_BGZF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@pytest.fixture
def fresh_platforms() -> Iterator[None]:
    registry.platforms.cache_clear()
    yield
    registry.platforms.cache_clear()


def test_two_kinds_at_one_root_are_both_found_the_likeliest_first(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    found = detect(root)
    assert [seen.platform for seen in found] == ["illumina", "delivery", "reads"]
    assert found[0].evidence == ("RunInfo.xml", "SampleSheet.csv")


def test_a_run_info_in_any_case_is_recognised(tmp_path: Path) -> None:
    root = illumina_run(tmp_path)
    (root / "RunInfo.xml").rename(root / "runinfo.XML")
    assert detect(root)[0].platform == "illumina"
    assert read_run(root).run_id == RUN_ID


def test_the_caller_may_choose_the_platform(tmp_path: Path) -> None:
    assert read_run(illumina_run(tmp_path, mates("A_S1_L001")), platform="reads").platform == "reads"


@pytest.mark.parametrize("platform", [None, "illumina", "nonsense"])
def test_an_unknown_folder_is_refused_with_what_was_looked_for(tmp_path: Path, platform: str | None) -> None:
    put(tmp_path, "holiday.jpg")
    assert detect(tmp_path) == []
    with pytest.raises(RefusedInput) as refused:
        read_run(tmp_path, platform)
    assert refused.value.problems[0].code == "UNKNOWN_FOLDER"
    told = {
        None: "it is none of illumina, ",
        "illumina": "is known by RunInfo.xml",
        "nonsense": "no platform is called nonsense",
    }
    assert told[platform] in str(refused.value)
    assert ("among its 1 file (1 jpg)" in str(refused.value)) is (platform != "nonsense")


def test_the_run_one_level_down_is_named(tmp_path: Path) -> None:
    illumina_run(tmp_path)
    with pytest.raises(RefusedInput, match=RUN_ID):
        read_run(tmp_path)


def test_a_refused_folder_tells_what_was_odd_in_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "RunInfo.xml")
    with pytest.raises(RefusedInput) as refused:
        read_run(tmp_path)
    assert [problem.code for problem in refused.value.problems] == ["UNKNOWN_FOLDER", "NOT_A_REGULAR_FILE"]


def test_detection_opens_no_file_of_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    put(root, "md5.txt", "0" * 32 + "  x.bam\n")
    opened = []
    real = os.open

    def watched(path: str, *args: object, **more: object) -> int:
        opened.append(os.fspath(path))
        return real(path, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", watched)
    detect(root)
    assert "SampleSheet.csv" in opened
    assert not [path for path in opened if str(path).endswith((".fastq.gz", ".bam"))]


class Outside:
    NAME = "outside"
    LOOKED_FOR = "outside.flag"

    @staticmethod
    def detect(listing: Listing) -> Detection | None:
        flag = listing.find("outside.flag")
        return Detection(platform="outside", confidence=1.0, evidence=(flag.path,)) if flag else None

    @staticmethod
    def read(folder: Path, listing: Listing) -> InstrumentRun:
        return InstrumentRun(run_id="o1", folder_name=folder.name, platform="outside")


def test_a_platform_of_another_package_joins_and_a_broken_one_takes_none_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_platforms: None
) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    ours = [platform.NAME for platform in registry.platforms()]
    registry.platforms.cache_clear()
    points = [
        EntryPoint("a-broken", "no.such.module:x", registry.GROUP),
        EntryPoint("b-lacking", "os:path", registry.GROUP),
        SimpleNamespace(name="c-outside", load=lambda: Outside),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    put(tmp_path, "outside.flag")
    assert [platform.NAME for platform in registry.platforms()] == [*ours, "outside"]
    assert read_run(tmp_path).run_id == "o1"


def test_every_case_folder_is_recognised_as_itself() -> None:
    folders = [path.parent for path in CASES.rglob("RunInfo.xml") if path.parent.name != "Reports"]
    assert len(folders) == 13
    for folder in folders:
        assert detect(folder)[0].platform == "illumina"
        assert read_run(folder).run_id == folder.name


def test_a_platform_that_counts_quality_by_cycle_is_asked_for_it_and_another_is_not(
    fresh_platforms: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point = CycleQuality(lane=1, cycle=1, read=1, q30_percent=90.0)
    told = SimpleNamespace(
        NAME="tally", LOOKED_FOR="", detect=lambda _at: None, read=lambda *_of: None, cycles=lambda *_of: [point]
    )
    loaded = SimpleNamespace(name="tally", load=lambda: told)
    monkeypatch.setattr(registry, "entry_points", lambda group: [loaded])
    run = InstrumentRun(run_id="r", folder_name="r", platform="tally")
    assert registry.cycles_of(run, Listing(tmp_path, ())) == (point,)
    assert registry.cycles_of(run.model_copy(update={"platform": "reads"}), Listing(tmp_path, ())) == ()


@pytest.mark.parametrize("name", ["a.nd2", "a.raw", "a.czi", "a.txt"])
def test_an_empty_file_is_said_to_be_empty_and_what_that_means(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, b"")
    for place in (tmp_path / name, tmp_path):
        with pytest.raises(RefusedInput) as refused:
            read_run(place)
        [problem] = refused.value.problems
        assert (problem.code, problem.path) == ("ZERO_BYTE_FILE", name)
        assert "its copy broke off, or the instrument has not written it yet" in problem.message


def test_an_empty_file_among_others_that_nobody_knows_is_told_beside_them(tmp_path: Path) -> None:
    put(tmp_path, "a.nd2", b"")
    put(tmp_path, "holiday.jpg")
    with pytest.raises(RefusedInput) as refused:
        read_run(tmp_path)
    assert [problem.code for problem in refused.value.problems] == ["UNKNOWN_FOLDER", "ZERO_BYTE_FILE"]


def test_one_file_is_spoken_of_as_a_file(tmp_path: Path) -> None:
    put(tmp_path, "alpha.fastq", b"@r\nA\n+\nI\n")
    alone, folder = read_run(tmp_path / "alpha.fastq"), read_run(tmp_path)
    assert (alone.place, folder.place) == ("file", "folder")
    assert "no file says a run's id, so the file's name is used" in alone.problems[0].message
    assert "no file says a run's id, so the folder's name is used" in folder.problems[0].message
    put(tmp_path, "notes.txt")
    with pytest.raises(RefusedInput, match="the file is of no known instrument"):
        read_run(tmp_path / "notes.txt")


def test_several_runs_one_level_down_are_named_without_a_list_of_all_platforms(tmp_path: Path) -> None:
    for name in ("run1", "run2"):
        (tmp_path / name).mkdir()
        put(tmp_path / name, "RunInfo.xml")
    with pytest.raises(RefusedInput) as refused:
        read_run(tmp_path)
    [problem] = refused.value.problems
    assert problem.message == (
        "it is no run itself, and holds 2 folders that look like runs, such as run1, run2; give one of them"
    )


def test_a_platform_that_there_is_not_is_said_to_be_unknown_whatever_the_folder_holds(tmp_path: Path) -> None:
    illumina_run(tmp_path)
    with pytest.raises(RefusedInput) as refused:
        read_run(tmp_path, "nanopore")
    assert refused.value.problems[0].message.startswith("no platform is called nanopore; there are illumina, ")


def test_a_folder_of_two_illumina_runs_is_an_error_that_names_both(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        root = illumina_run(tmp_path / name, mates(f"{name}_S1_L001"))
        root.rename(tmp_path / f"{name}-run")
        (tmp_path / name).rmdir()
    run = read_run(tmp_path)
    assert [(p.code, p.path) for p in run.problems if p.code == "INNER_RUN"] == [
        ("INNER_RUN", "one-run"),
        ("INNER_RUN", "two-run"),
    ]


@pytest.mark.parametrize("above", ["a", "deep/a"])
@pytest.mark.parametrize("sheet", [True, False])
def test_the_folder_above_one_illumina_run_is_an_error_that_names_it(tmp_path: Path, above: str, sheet: bool) -> None:
    (tmp_path / above).mkdir(parents=True)
    root = illumina_run(tmp_path / above, mates("A_S1_L001"))
    if not sheet:
        (root / "SampleSheet.csv").unlink(missing_ok=True)
    for folder in (tmp_path, tmp_path / "a", tmp_path / "deep"):
        if root.is_relative_to(folder):
            found = [(p.code, p.path) for p in read_run(folder).problems if p.severity == "error"]
            assert found == [("INNER_RUN", root.relative_to(folder).as_posix())]


def test_a_delivery_with_its_own_list_or_without_reads_in_the_run_stays_one(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    (tmp_path / "md5sum.txt").write_text(f"{'0' * 32}  A_S1_L001_R1_001.fastq.gz\n")
    assert "INNER_RUN" not in {p.code for p in read_run(tmp_path).problems}
    (tmp_path / "md5sum.txt").unlink()
    for path in list(root.rglob("*.fastq.gz")):
        path.rename(tmp_path / path.name)
    (tmp_path / "samples.csv").write_text("sample\nA\n")
    run = read_run(tmp_path)
    assert (run.platform, "INNER_RUN" in {p.code for p in run.problems}) == ("delivery", False)


@pytest.mark.parametrize("part", ["fastq_pass", "fastq_pass/barcode01"])
def test_a_part_of_what_minknow_wrote_is_not_taken_as_a_run_of_its_own(tmp_path: Path, part: str) -> None:
    put(tmp_path, "run/fastq_pass/barcode01/FAX1_pass_barcode01_a_b_0.fastq.gz")
    [problem] = [p for p in read_run(tmp_path / "run" / part).problems if p.severity == "error"]
    assert problem.code == "PART_OF_RUN"
    assert "give the flow cell's folder" in problem.message
    assert "PART_OF_RUN" not in {p.code for p in read_run(tmp_path / "run").problems}


@pytest.mark.parametrize("part", ["Data", BASECALLS, f"{BASECALLS}/A_S1_L001_R1_001.fastq.gz"])
def test_the_reads_inside_an_illumina_run_folder_are_not_taken_as_a_run_of_their_own(tmp_path: Path, part: str) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    [problem] = [p for p in read_run(root / part).problems if p.severity == "error"]
    assert problem.code == "PART_OF_RUN"
    assert f"a part of the Illumina run {root.name}; give that run's folder" in problem.message
    assert "PART_OF_RUN" not in {p.code for p in read_run(root).problems}
    (root / "RunInfo.xml").unlink()
    assert "PART_OF_RUN" not in {p.code for p in read_run(root / part).problems}


@pytest.mark.parametrize("content", [b"", gzip.compress(b""), EMPTY_BGZF])
def test_a_run_whose_files_hold_not_one_read_says_so_before_all_else(tmp_path: Path, content: bytes) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001"))
    files = [file.path for file in read_run(root).files if file.role is FileRole.READS]
    for path in files:
        (root / path).write_bytes(content)
    first = read_run(root).problems[0]
    assert (first.code, first.severity) == ("ZERO_YIELD", "warning")
    assert "2 files of reads, which hold not one read" in first.message
    (root / files[0]).write_bytes(gzip.compress(b"@r\nA\n+\nI\n"))
    assert all(problem.code != "ZERO_YIELD" for problem in read_run(root).problems)


def test_a_run_whose_samples_got_none_of_its_reads_says_so_in_one_line_before_the_error() -> None:
    problems = case("illumina-nextseq2000-bclconvert-zero-yield/240131_VH00384_146_AACCHKLHV").problems
    assert [p.code for p in problems if p.code in ("ZERO_YIELD", "NO_READS")] == ["ZERO_YIELD", "NO_READS"]
    assert (
        "189 samples have 0 reads, for all 1,288,866,297 are Undetermined; the sheet, an index" in problems[0].message
    )
    assert [p.code for p in refusal_of(problems)] == ["ZERO_YIELD", "NO_READS"]
    assert refusal_of(problems[:1]) == []


def test_a_run_whose_samples_have_no_reads_names_the_unknown_barcode_that_has_most(tmp_path: Path) -> None:
    root = illumina_run(tmp_path, mates("A_S1_L001", "out"), "[Data]\nSample_ID,index\nA,AACC\n")
    put(root, "out/Reports/Demultiplex_Stats.csv", "Lane,SampleID,# Reads\n1,A,0\n1,Undetermined,70\n")
    put(root, "out/Reports/Top_Unknown_Barcodes.csv", "Lane,index,index2,# Reads\n1,GGTT,,55\n1,ACAC,,9\n")
    found = read_run(root).problems
    assert found[0].message.endswith("compare it with the unknown barcodes, of which GGTT, lane 1 has most (55)")
    assert "that of A the wrong way round" in next(p.message for p in found if p.code == "UNKNOWN_BARCODE")
    put(root, "out/Reports/Demultiplex_Stats.csv", "Lane,SampleID,# Reads\n1,A,0\n1,Undetermined,0\n")
    assert "nothing came of this run: 1 sample has 0 reads" in read_run(root).problems[0].message
    put(root, "out/Reports/Demultiplex_Stats.csv", "Lane,SampleID,# Reads\n1,A,1\n1,Undetermined,70\n")
    assert "ZERO_YIELD" not in codes(read_run(root))


def test_a_run_that_counts_no_reads_in_all_says_so(tmp_path: Path) -> None:
    none = QCMetric(name="reads", value=0, unit="count", scope="run", source="RunStats.json")
    run = InstrumentRun(run_id="r", folder_name="r", platform="element", qc=(none,))
    found = zero_yield(run, tmp_path)
    assert found is not None
    assert "nothing came of this run: RunStats.json counts 0 reads" in found.message
    of_a_sample = none.model_copy(update={"scope": "blank"})
    assert zero_yield(run.model_copy(update={"qc": (of_a_sample,)}), tmp_path) is None
